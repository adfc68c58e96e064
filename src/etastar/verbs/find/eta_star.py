"""`eta_star`: the largest rate at which a fresh network starts to train, measured by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.core.kept import undisturbed
from etastar.core.kinds import optimizer_kind
from etastar.core.lane import LaneStatus, Runs
from etastar.core.problem import Problem
from etastar.designs.eta_star.eta_star import SCAN_REACH, EtaStar, Precision
from etastar.designs.eta_star.success_band import RateCount, SuccessBand
from etastar.engine.preflight import Preflight, start_steps
from etastar.errors import attributed
from etastar.policies.policy import is_steady
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.start import starting_point
from etastar.verbs.answer import Answer
from etastar.verbs.find.efforts import end_design
from etastar.verbs.options import Options, asked
from etastar.verbs.workplace import Session, Workplace

CENTRES: dict[str, tuple[float, float]] = {"sgd": (-0.5, 1.5), "adam": (0.75, 1.0)}
"""kind of optimizer -> (log10(eta* / eta_c), half-range of it over networks with a margin, in decades)."""
PROBE_SAMPLES = 128
UNKNOWN_START = 1e-2
"""Centre of the scan for a user's own loop that does not say its rate."""


@dataclass(frozen=True, kw_only=True)
class EtaStarAnswer(Answer):
    """What `eta_star` measured.

    Args:
        band: eta* and the band of rates that train.
        end: the same for lanes that must still train at the end of their steps; None if not measured.
        facts: what was known of the problem before.
    """

    command = "eta-star"
    TOLD = ("estimate", "rates", "eta_star_end")

    band: SuccessBand
    end: SuccessBand | None
    facts: Preflight

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        e = self.estimate
        return f"eta* = {e.value:.3g} [{e.low:.3g}, {e.high:.3g}]" if e.ok else f"no eta* ({e.status.value}): {e.reason}"

    @property
    def rates(self) -> tuple[RateCount, ...]:
        """What happened at each rate."""
        return self.band.rates

    @property
    def eta_star_end(self) -> Estimate | None:
        """The same for lanes that still train at the end of their steps; None if not measured."""
        return self.end.eta_star if self.end else None

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
    with Workplace(options) as place:
        return eta_star_in(place.of(problem), precision, seed, steps, end)


def eta_star_in(
    session: Session, precision: Precision, seed: int, steps_to_start: int | None = None, end: Precision | None = None
) -> EtaStarAnswer:
    """`eta_star`, in a workplace that is open; arguments as there, checked."""
    steps = steps_to_start or start_steps(session.problem)
    start = start_design(session, steps, precision, seed)
    later = end_design(start, end) if end else None
    session.plan(*(design.planned() for design in (start, later) if design))
    band, last = measure(session, start, later)
    made = session.made(seed, band.eta_star.flags)
    return EtaStarAnswer(problem=session.problem.title, band=band, end=last, facts=session.facts, made=made)


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


def start_design(session: Session, steps: int, precision: Precision, seed: int) -> EtaStar:
    """The measurement of eta*, centred by what a probe says."""
    problem, facts = session.problem, session.facts
    around, reach = centre(problem, facts, session.place.options.device)
    easy = tuple(flag for flag in facts.flags if flag == "criterion-too-easy")
    return EtaStar(
        facts.criterion, steps, around, policy=problem.policy, precision=precision, seed=seed, reach=reach, flags=easy
    )


def measure(session: Session, start: EtaStar, end: EtaStar | None) -> tuple[SuccessBand, SuccessBand | None]:
    """Run `start`, and `end` around what it found, where that is wanted and eta* is known."""
    band = session.run(start)
    if end is None or not band.eta_star.ok:
        return band, None
    return band, session.run(replace(end, around=band.eta_star.require()))


def centre(problem: Problem, facts: Preflight, device: str) -> tuple[float, tuple[float, float]]:
    """Where the scan for eta* begins: (rate, decades below and above it).

    eta_c, the rate that raises the loss in one step, takes a few forward passes; eta* lies within a decade or so of a
    multiple of it (`CENTRES`). Without it: three decades on either side of the rate in use.
    """
    known = CENTRES.get(optimizer_kind(facts.optimizer))
    if known and not problem.is_loop and is_steady(problem.policy):
        with undisturbed(problem):
            reading = CriticalRate()(starting_point(problem, problem.seed, samples=PROBE_SAMPLES, device=device))
        if reading.value:
            shift, reach = known
            return reading.value * 10**shift, (reach, reach)
    return facts.lr or UNKNOWN_START, (SCAN_REACH, SCAN_REACH)


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
