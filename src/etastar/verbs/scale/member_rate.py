"""How the members of a family are measured: eta* or the best rate, within one limit of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from etastar import arguments
from etastar.core.lane import Runs
from etastar.core.problem import Problem
from etastar.designs.eta_star.eta_star import Precision
from etastar.engine.preflight import start_steps
from etastar.errors import ProblemError
from etastar.verbs.find.eta_star import eta_star_in
from etastar.verbs.find.find import EFFORTS, find_in
from etastar.verbs.options import Options
from etastar.verbs.scale.family import FamilyMember, Numbers
from etastar.verbs.scale.scale_answer import QUANTITY, MeasuredMember
from etastar.verbs.workplace import USUAL_SHARE, Workplace

PRECISION = Precision(half_width=0.12, max_runs=36, min_runs=12)
"""What is asked of each member's eta*."""
EFFORT = "quick"
"""Of `find` for each member's best rate."""
SCAN_LANES, FIND_LANES = 14, 24
"""Of a scan for eta* that a probe has centred, and of a quick find."""


@dataclass
class MemberRate:
    """Measures one quantity of one member after the other.

    Args:
        measure: "eta-star" or "best".
        precision: of each eta*.
        effort: of `find`, for "best".
        seed: of every measurement; None: each problem's.
        options: store, workers, device, limits, progress.
    """

    measure: str
    precision: Precision
    effort: str
    seed: int | None
    options: Options
    place: Workplace = field(init=False)
    """Where all of them are measured; to be entered before the first. What it costs is announced here, for all at once."""
    runs: Runs = field(default_factory=Runs)
    new_gradient_steps: int = 0
    engine: str = "none"

    def __post_init__(self) -> None:
        arguments.word("measure", self.measure, QUANTITY)
        arguments.word("effort", self.effort, EFFORTS)
        if self.measure == "best" and self.precision != PRECISION:
            raise ProblemError(
                "precision is that of eta*, which measure best does not measure; drop it, or pass measure eta-star"
            )
        if self.measure != "best" and self.effort != EFFORT:
            raise ProblemError(f"effort is {self.effort}, but only measure best has one; drop it, or pass measure best")
        arguments.instance("options", self.options, Options, "an etastar.Options, e.g. etastar.Options(workers=2)")
        if self.seed is not None:
            arguments.SEED("seed", self.seed)
        self.place = Workplace(replace(self.options, on_plan=None, on_note=None))

    @property
    def quantity(self) -> str:
        """What is measured, in words."""
        return QUANTITY[self.measure]

    def announce(self, members: Sequence[FamilyMember], times: Sequence[int]) -> None:
        """Say what measuring each member so many times will cost, before anything is trained."""
        lanes, steps, seconds = 0, 0.0, 0.0
        for m, count in zip(members, times, strict=True):
            own = FIND_LANES if self.measure == "best" else SCAN_LANES + self.precision.max_runs
            each = EFFORTS[self.effort] * m.problem.steps
            if self.measure == "eta-star":
                each = own * start_steps(m.problem) * USUAL_SHARE
            lanes, steps = lanes + own * count, steps + each * count
            seconds += each * count * m.facts.seconds_per_step
        if self.options.on_plan:
            self.options.on_plan(
                f"{len(members)} members, at most {lanes} lanes; usually about {steps:,.0f} gradient steps and "
                f"{seconds:.2g} s, less where lanes train together",
                lanes,
            )

    def __call__(self, sizes: Numbers, problem: Problem) -> MeasuredMember:
        """Measure one problem; through the store, so that what was trained before is not trained again."""
        began = self.place.seconds
        session, seed = self.place.of(problem), problem.seed if self.seed is None else self.seed
        if self.measure == "best":
            answer = find_in(session, self.effort, seed)
            lr = answer.lr
        else:
            answer = eta_star_in(session, self.precision, seed)
            lr = answer.estimate
        self.runs, self.engine = self.runs + answer.runs, answer.engine
        steps, new = answer.runs.gradient_steps, int(answer.cost["new_gradient_steps"])
        self.new_gradient_steps += new
        seconds = max(self.place.seconds - began, sum(o.seconds for o in answer.runs))  # also when the store answered
        why = "" if lr.ok else f"no {self.quantity} ({lr.status.value}): {lr.reason}"
        return MeasuredMember(sizes, lr, seconds, steps, answer.cost["full_runs"], why)
