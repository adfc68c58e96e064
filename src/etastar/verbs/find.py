"""`find`: which learning rate for this problem, and is the one in use any good?

First version: eta* is measured; the recommended rate is a fixed fraction of it, with the spread that fraction was seen to
have, and says so. The rate in use today is judged against both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import FLAGS, Estimate, Status
from etastar.core.lane import Runs, Until
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness
from etastar.designs.eta_star import SCAN_REACH, EtaStar, Precision
from etastar.designs.success_band import SuccessBand
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight, start_steps
from etastar.errors import ProblemError
from etastar.policies.policy import Constant
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.start import starting_point
from etastar.verbs.session import Options, Session, environment, open_session
from etastar.version import __version__

EFFORTS: dict[str, tuple[Precision, Precision | None]] = {
    "glance": (Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1), None),
    "quick": (Precision(half_width=0.25, max_runs=24), None),
    "thorough": (Precision(), Precision(half_width=0.25, max_runs=24, min_runs=8, scan_seeds=1)),
}
"""effort -> (precision of eta*, precision of eta*_end or None where it is not measured)."""

FRACTIONS: dict[str, tuple[float, float]] = {"sgd": (0.25, 0.54), "momentum": (0.2, 0.54), "adam": (0.05, 0.59)}
"""kind of optimizer -> (recommended fraction of eta*, sd over tasks of log10(best rate / (fraction x eta*))).

Fractions: measured on 15 + 15 + 11 + 10 networks at 100 steps, constant rate. Spread: leave-one-task-out over nine tasks.
"""
ADAM_LIKE = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax"}
CENTRES: dict[str, tuple[float, float]] = {"sgd": (-0.5, 1.5), "adam": (0.75, 1.0)}
"""kind of optimizer -> (log10(eta* / eta_c), half-range of it over networks with a margin, in decades)."""
PROBE_SAMPLES = 128
Z_90 = 1.645
UNKNOWN_START = 1e-2
"""Centre of the scan for a user's own loop that does not say its rate."""


@dataclass(frozen=True)
class Yours:
    """The rate in use today, judged.

    Args:
        lr: the rate.
        of_best: its ratio to the recommended rate; of_eta_star: to eta*; None without an answer.
        probability: share of fresh seeds that start to train at it.
        verdict: too-high, on-the-edge, will-not-last, plausible, low, or unknown.
        sentence: the verdict in words.
    """

    lr: float
    of_best: float | None
    of_eta_star: float | None
    probability: float | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class FindAnswer:
    """What `find` found; `to_json()` is the same in the contract's form.

    Args:
        problem: its name.
        effort: glance, quick or thorough.
        lr: the recommended rate.
        lr_per_group: (group, rate) at the recommended rate.
        band: eta* and the band of rates that train.
        end: the same for lanes that must still train at the end of their steps; None if not measured.
        yours: the rate in use, judged; None if unknown.
        cost: gradient_steps, new_gradient_steps, full_runs, seconds.
        flags: keys of `etastar.FLAGS`.
        runs: every lane's outcome, both measurements.
        facts: what was known of the problem before.
        engine, choice, seed, environment: with what it was measured; `choice` is how the engine was chosen.
    """

    problem: str
    effort: str
    lr: Estimate
    lr_per_group: tuple[tuple[str, float], ...]
    band: SuccessBand
    end: SuccessBand | None
    yours: Yours | None
    cost: dict[str, float]
    flags: tuple[str, ...]
    runs: Runs
    facts: Preflight
    engine: str
    choice: Choice
    seed: int
    environment: dict[str, Any]

    @property
    def eta_star(self) -> Estimate:
        """eta*, the 50 % point of the upper flank."""
        return self.band.eta_star

    @property
    def eta_star_end(self) -> Estimate:
        """The same for lanes that still train at the end of their steps."""
        reason = "eta*_end is measured with effort=thorough, and only once eta* is known"
        return self.end.eta_star if self.end else Estimate.none(Status.NOT_MEASURED, reason)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        eta_star = self.eta_star
        if not eta_star.ok:
            return f"no answer ({eta_star.status.value}): {eta_star.reason}"
        text = f"eta* = {eta_star.value:.3g} [{eta_star.low:.3g}, {eta_star.high:.3g}]"
        if self.lr.ok:
            text += f"; use about {self.lr.value:.2g}"
        return text + (f"; {self.yours.sentence}" if self.yours else "")

    def to_json(self) -> dict[str, Any]:
        """The JSON contract, with NaN and infinities as null."""
        return _finite(
            {
                "etastar": __version__,
                "command": "find",
                "problem": self.problem,
                "summary": self.summary,
                "effort": self.effort,
                "lr": self.lr.to_json(),
                "lr_per_group": [{"group": name, "lr": lr} for name, lr in self.lr_per_group],
                "plateau": None,
                "eta_star": self.eta_star.to_json(),
                "eta_star_90": self.band.eta_star_90.to_json(),
                "eta_star_end": self.eta_star_end.to_json(),
                "transition_width": self.band.width.to_json(),
                "lower_edge": self.band.lower_edge,
                "criterion": {"sentence": self.band.criterion.sentence(), "steps": self.band.steps},
                "rates": [
                    {
                        "lr": r.lr,
                        "runs": r.runs,
                        "trained": r.trained,
                        "diverged": r.diverged,
                        "slow": r.slow,
                        "dead": r.dead,
                    }
                    for r in self.band.rates
                ],
                "yours": vars(self.yours) if self.yours else None,
                "optimizer": self.facts.optimizer,
                "cost": {**self.cost, "scan_runs": self.band.scan_runs, "refine_runs": self.band.refine_runs},
                "flags": list(self.flags),
                "engine": self.engine,
                "engine_choice": self.choice.to_json(),
                "seed": self.seed,
                "environment": self.environment,
            }
        )


def find(
    problem: Problem,
    *,
    effort: str = "thorough",
    steps_to_start: int | None = None,
    precision: Precision | None = None,
    seed: int | None = None,
    options: Options | None = None,
) -> FindAnswer:
    """Measure eta*, judge the rate in use and recommend one.

    Args:
        problem: what is trained.
        effort: "glance" (one seed a rate, +-50 %), "quick" (+-25 %) or "thorough" (+-10 %, and eta*_end).
        steps_to_start: steps within which a lane must meet the criterion; default min(problem.steps, 200).
        precision: of eta*, instead of the effort's.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Returns:
        A `FindAnswer`. It may carry no value; `answer.lr.require()` raises `NoAnswer` then.

    Raises:
        ProblemError: the problem or an option cannot be used.
        StoreError: the store cannot be used.
    """
    if not isinstance(problem, Problem):
        raise ProblemError(f"got a {type(problem).__name__}; expected an etastar.Problem")
    if effort not in EFFORTS:
        raise ProblemError(f"effort is {effort!r}; expected one of {', '.join(EFFORTS)}")
    steps = start_steps(problem) if steps_to_start is None else steps_to_start
    if not 1 <= steps <= problem.steps:
        raise ProblemError(f"steps_to_start is {steps}; expected 1 .. {problem.steps}, the planned steps")
    start_precision, end_precision = EFFORTS[effort]
    seed = problem.seed if seed is None else seed

    options = options or Options()

    designs: list[EtaStar] = []

    def plan(facts: Preflight) -> tuple[int, int]:
        around, reach = centre(problem, facts, options.device)
        kind = precision or start_precision
        designs.append(
            EtaStar(facts.criterion, steps, around, policy=problem.policy, precision=kind, seed=seed, reach=reach)
        )
        lanes = planned_lanes(designs[0], end_precision)
        return lanes, lanes * steps

    with open_session(problem, options, plan) as session:
        (start,) = designs
        band = session.run(start)
        end = None
        if end_precision and band.eta_star.ok:
            end = session.run(_end_design(start, band.eta_star.require(), end_precision))
        return _answer(session, effort, band, end, seed)


def centre(problem: Problem, facts: Preflight, device: str) -> tuple[float, tuple[float, float]]:
    """Where the scan for eta* begins: (rate, decades below and above it).

    eta_c, the rate that raises the loss in one step, takes a few forward passes; eta* lies within a decade or so of a
    multiple of it (`CENTRES`). Without it: three decades on either side of the rate in use.
    """
    kind = "adam" if facts.optimizer in ADAM_LIKE else "sgd" if facts.optimizer == "SGD" else None
    if kind and problem.loop is None and problem.policy == Constant():
        with isolated_randomness():
            reading = CriticalRate()(starting_point(problem, problem.seed, samples=PROBE_SAMPLES, device=device))
        if reading.value:
            shift, reach = CENTRES[kind]
            return reading.value * 10**shift, (reach, reach)
    return facts.lr or UNKNOWN_START, (SCAN_REACH, SCAN_REACH)


def planned_lanes(start: EtaStar, end: Precision | None) -> int:
    """Lanes at most, for eta* and, if it is wanted, eta*_end."""
    lanes = sum(start.planned_runs())
    return lanes + (sum(_end_design(start, 1.0, end).planned_runs()) if end else 0)


def _end_design(start: EtaStar, eta_star: float, precision: Precision) -> EtaStar:
    """Lanes that run all their steps, from two decades below eta* to just above it."""
    return EtaStar(
        start.criterion,
        start.steps,
        eta_star,
        until=Until.END,
        policy=start.policy,
        precision=precision,
        seed=start.seed,
        reach=(2.0, 0.5),
    )


def _answer(session: Session, effort: str, band: SuccessBand, end: SuccessBand | None, seed: int) -> FindAnswer:
    facts = session.facts
    lr = recommend(band.eta_star, facts.optimizer, facts.momentum)
    yours = _judge(facts.lr, band, end, lr) if facts.lr else None
    fallback = ("fallback-loop",) if session.choice.fell_back else ()
    flags = tuple(dict.fromkeys((*band.eta_star.flags, *lr.flags, *facts.flags, *fallback)))
    return FindAnswer(
        problem=session.problem.title,
        effort=effort,
        lr=lr,
        lr_per_group=tuple((g.name, lr.require() * g.multiplier) for g in facts.groups) if lr.ok else (),
        band=band,
        end=end,
        yours=yours,
        cost=session.cost(),
        flags=flags,
        runs=session.runs,
        facts=facts,
        engine=session.engine.name,
        choice=session.choice,
        seed=seed,
        environment=environment(),
    )


def recommend(eta_star: Estimate, optimizer: str, momentum: bool) -> Estimate:
    """A rate to use: fraction x eta*, with the 90 % interval of the best rate that this rule leaves.

    interval = value x 10^(-+ 1.645 sd), sd the spread over tasks of log10(best / (fraction x eta*)), cut at eta*.

    Args:
        optimizer: class name.
        momentum: whether it is SGD with momentum.

    >>> lr = recommend(Estimate(0.5, 0.45, 0.55), "SGD", momentum=False)
    >>> lr.value, lr.flags
    (0.125, ('rule-not-measured',))
    """
    if not eta_star.ok:
        return Estimate.none(
            eta_star.status, f"the recommended rate is a fraction of eta*, which has no value: {eta_star.reason}"
        )
    flags = ["rule-not-measured"]
    if optimizer == "SGD":
        kind = "momentum" if momentum else "sgd"
    else:
        kind = "adam"
        if optimizer not in ADAM_LIKE:
            flags.append("rule-borrowed")
    fraction, sd = FRACTIONS[kind]
    value = fraction * eta_star.require()
    return Estimate(
        value=value,
        low=value * 10 ** (-Z_90 * sd),
        high=min(value * 10 ** (Z_90 * sd), max(eta_star.require(), value)),
        n=eta_star.n,
        method=f"{fraction:g} x eta* ({kind} rule)",
        cost=eta_star.cost,
        flags=tuple(flags),
    )


def _judge(lr: float, band: SuccessBand, end: SuccessBand | None, best: Estimate) -> Yours:
    """The verdict on the rate in use."""
    eta_star = band.eta_star
    if not eta_star.ok or not best.ok:
        return Yours(lr, None, None, None, "unknown", f"your {lr:.3g} cannot be judged without eta*")
    of_best, of_eta_star = lr / best.require(), lr / eta_star.require()
    beside = f"{of_eta_star:.2g} of eta* and {of_best:.2g} of the recommended rate"
    if eta_star.high is not None and lr > eta_star.high:
        verdict, text = (
            "too-high",
            f"your {lr:.3g} is too high: {of_eta_star:.2g} x eta*, most fresh networks do not start to train",
        )
    elif band.eta_star_90.value is not None and lr > band.eta_star_90.value:
        verdict, text = "on-the-edge", f"your {lr:.3g} is on the edge: {beside}; some seeds fail"
    elif end and end.eta_star.value is not None and lr > end.eta_star.value:
        verdict, text = (
            "will-not-last",
            f"your {lr:.3g} starts to train but loses it again within {band.steps} steps: {beside}",
        )
    elif best.low is not None and lr < best.low:
        verdict, text = "low", f"your {lr:.3g} is below the range of the rule: {beside}"
    else:
        verdict, text = "plausible", f"your {lr:.3g} is {beside}: plausible"
    return Yours(lr, of_best, of_eta_star, band.probability(lr), verdict, text)


def flag_sentences(flags: tuple[str, ...]) -> list[tuple[str, str]]:
    """(flag, its sentence)."""
    return [(flag, FLAGS[flag]) for flag in flags]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
