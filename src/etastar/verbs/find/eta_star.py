"""`eta_star`: the largest rate at which a fresh network starts to train, measured by itself."""

from __future__ import annotations

from dataclasses import dataclass

from etastar import arguments
from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.kept import undisturbed
from etastar.core.lane import LaneStatus, Runs, Until
from etastar.core.problem import Problem
from etastar.designs.eta_star.eta_star import SCAN_REACH, EtaStar, Precision
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight, start_steps
from etastar.errors import attributed
from etastar.policies.policy import is_steady
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.start import starting_point
from etastar.verbs.options import Options, asked
from etastar.verbs.session import Session, open_session

ADAM_LIKE = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax"}
CENTRES: dict[str, tuple[float, float]] = {"sgd": (-0.5, 1.5), "adam": (0.75, 1.0)}
"""kind of optimizer -> (log10(eta* / eta_c), half-range of it over networks with a margin, in decades)."""
PROBE_SAMPLES = 128
UNKNOWN_START = 1e-2
"""Centre of the scan for a user's own loop that does not say its rate."""


@dataclass(frozen=True)
class EtaStarAnswer:
    """What `eta_star` measured.

    Args:
        band: eta* and the band of rates that train.
        end: the same for lanes that must still train at the end of their steps; None if not measured.
        cost: gradient_steps, new_gradient_steps, validation_steps, full_runs, seconds.
        runs: every lane's outcome.
        facts, engine, choice: what was known of the problem before, and what trained its lanes.
    """

    band: SuccessBand
    end: SuccessBand | None
    cost: dict[str, float]
    runs: Runs
    facts: Preflight
    engine: str
    choice: Choice

    @property
    def estimate(self) -> Estimate:
        """eta*, the 50 % point of the upper flank."""
        return self.band.eta_star


@attributed
def eta_star(
    problem: Problem,
    *,
    precision: Precision | None = None,
    end: Precision | None = None,
    steps_to_start: int | None = None,
    seed: int | None = None,
    options: Options | None = None,
) -> EtaStarAnswer:
    """Measure eta*, and eta*_end where its precision is given.

    Args:
        problem: what is trained.
        precision: of eta*; default +-10 %.
        end: precision of the rate that still trains at the end of the steps; None: not measured.
        steps_to_start: steps within which a lane must meet the criterion; default min(problem.steps, 200).
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Raises:
        ProblemError: the problem or an option cannot be used.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    precision = checked_precision("precision", precision) or Precision()
    checked_precision("end", end)
    steps = checked_steps(problem, steps_to_start)
    designs: list[EtaStar] = []

    def plan(facts: Preflight) -> Plan:
        designs.append(start_design(problem, facts, steps, precision, options.device, seed))
        return planned(designs[0], end)

    with open_session(problem, options, plan) as session:
        band, last = measure(session, designs[0], end)
        return EtaStarAnswer(band, last, session.cost(), session.runs, session.facts, session.engine.name, session.choice)


def checked_steps(problem: Problem, steps_to_start: int | None) -> int:
    """Steps a lane has to start to train."""
    if steps_to_start is None:
        return start_steps(problem)
    planned = f"1 .. {problem.steps}, the planned steps"
    return arguments.Whole(1, problem.steps, words=planned)("steps_to_start", steps_to_start)


def checked_precision(name: str, precision: Precision | None) -> Precision | None:
    """A precision, or None."""
    if precision is not None:
        arguments.instance(name, precision, Precision, "an etastar.Precision, e.g. etastar.Precision(half_width=0.1)")
    return precision


def start_design(
    problem: Problem, facts: Preflight, steps: int, precision: Precision, device: str, seed: int | None
) -> EtaStar:
    """The measurement of eta*, centred by what a probe says."""
    around, reach = centre(problem, facts, device)
    seed = problem.seed if seed is None else seed
    easy = tuple(flag for flag in facts.flags if flag == "criterion-too-easy")
    return EtaStar(
        facts.criterion, steps, around, policy=problem.policy, precision=precision, seed=seed, reach=reach, flags=easy
    )


def measure(session: Session, start: EtaStar, end: Precision | None) -> tuple[SuccessBand, SuccessBand | None]:
    """Run `start`, and the measurement of eta*_end where it is wanted and eta* is known."""
    band = session.run(start)
    if end is None or not band.eta_star.ok:
        return band, None
    return band, session.run(_end_design(start, band.eta_star.require(), end))


def centre(problem: Problem, facts: Preflight, device: str) -> tuple[float, tuple[float, float]]:
    """Where the scan for eta* begins: (rate, decades below and above it).

    eta_c, the rate that raises the loss in one step, takes a few forward passes; eta* lies within a decade or so of a
    multiple of it (`CENTRES`). Without it: three decades on either side of the rate in use.
    """
    kind = "adam" if facts.optimizer in ADAM_LIKE else "sgd" if facts.optimizer == "SGD" else None
    if kind and problem.loop is None and is_steady(problem.policy):
        with undisturbed(problem):
            reading = CriticalRate()(starting_point(problem, problem.seed, samples=PROBE_SAMPLES, device=device))
        if reading.value:
            shift, reach = CENTRES[kind]
            return reading.value * 10**shift, (reach, reach)
    return facts.lr or UNKNOWN_START, (SCAN_REACH, SCAN_REACH)


def planned(start: EtaStar, end: Precision | None) -> Plan:
    """What eta* and, if it is wanted, eta*_end take at most."""
    return start.planned() + _end_design(start, 1.0, end).planned() if end else start.planned()


def bracket(runs: Runs, steps: int) -> Estimate:
    """Bounds on eta* from lanes that were run for another reason: the highest rate that started to train within `steps`
    and the lowest above it that did not. No value: one seed a rate is no measurement."""
    started = [o.lane.lr for o in runs if o.reached is not None and o.reached <= steps]
    low = max(started, default=None)
    lost = [o for o in runs if o.broken or o.status is LaneStatus.DEAD]
    failed = [o.lane.lr for o in lost if o.lane.lr > (low or 0)]
    high = min(failed, default=None)
    said = [f"at least {low:.3g}" if low else "", f"at most {high:.3g}" if high else ""]
    text = " and ".join(filter(None, said)) or "not bracketed"
    reason = f"{text}, by the lanes run for the best rate; --effort thorough measures it"
    return Estimate.none(Status.NOT_MEASURED, reason, low=low, high=high, n=len(runs))


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
