"""`Workplace`: one store, one time limit, what trains lanes. `Session`: a checked problem in it, whose designs it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TypeVar

from etastar.core.deadline import Deadline, TimeOver
from etastar.core.design import Design, Engine, Plan, Store, run
from etastar.core.lane import Lane, Runs
from etastar.core.problem import Problem
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight, preflight
from etastar.engine.ray.connection import check_address
from etastar.engine.scoring_cost import looks_of, scoring_of
from etastar.engine.validation import on_a_part
from etastar.errors import ProblemError
from etastar.store.database import check
from etastar.store.fingerprint import fingerprint
from etastar.store.run_store import RunStore
from etastar.verbs.answer import Made, once
from etastar.verbs.crew import Crew, crew_beside, crew_for
from etastar.verbs.options import Options
from etastar.verbs.pace import Pace, TimeLeft
from etastar.verbs.prices import duration, prices
from etastar.version import __version__

Answer = TypeVar("Answer")
LEAST = 1.0
"""Seconds: a shorter limit asks for what is known anyway, which begins with the preflight (.1 - .5 s of small networks)."""
WORTH_SAYING = 5.0
"""Seconds of a run from which it is said before the plan what a step takes: that of a shorter one is there at once."""
USUAL_SHARE = 1 / 3
"""Share of the planned gradient steps a search usually takes: decided lanes stop early."""


class Workplace:
    """Where problems are measured. A context manager: store, worker processes and cluster are let go of at the end.

        with Workplace(options) as place:
            session = place.of(problem)
            answer = session.run(BestLR(session.facts.criterion, problem.steps))

    Args:
        options: store, workers, device, engine, and the time limit, which runs from now for all problems together.
        clock: in seconds; default the system's.

    Raises:
        ProblemError: there is no such cluster.
        StoreError: the store cannot be used. (Both when it is entered.)
    """

    def __init__(self, options: Options, clock: Callable[[], float] | None = None) -> None:
        self.options, self.deadline = options, Deadline(options.max_seconds, clock or time.monotonic, options.since)
        self._facts: dict[Problem, Preflight] = {}
        self._crews: list[Crew] = []
        self._closing = ExitStack()

    def __enter__(self) -> Workplace:
        if self.options.on == "ray":
            check_address(self.options.ray_address)
        check(self.options.store)
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.close()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.deadline.spent

    def late(self, share: float = 1.0) -> bool:
        """Whether a share of the time limit is over, and no further lane should be begun."""
        return self.deadline.part(share).over

    @cached_property
    def store(self) -> RunStore:
        """The store; made where there is none when the first problem has been checked."""
        store = RunStore(self.options.store)
        self._closing.callback(store.close)
        store.on_outcome = self.options.on_outcome
        return store

    def facts(self, problem: Problem) -> Preflight:
        """What the preflight finds, once for a problem. A limit of less than `LEAST` lets it run to its end.

        Raises:
            ProblemError: it cannot be used; or there is no time for the preflight.
        """
        if problem not in self._facts:
            limit = self.deadline if (self.deadline.seconds or 0) >= LEAST else Deadline()
            try:
                with limit.held():
                    self._facts[problem] = preflight(problem, self.options.device, partial(self._say_prices, problem))
            except TimeOver:
                raise ProblemError(
                    f"the time limit of {limit.seconds:g} s was over before {problem.title} had been built and checked; "
                    "expected more, or none: leave max_seconds out to see what a step takes"
                ) from None
        return self._facts[problem]

    def _say_prices(self, problem: Problem, step: float) -> None:
        if self.options.on_note and step * problem.steps >= WORTH_SAYING:
            self.options.on_note(prices(step, problem.steps))

    def of(self, problem: Problem) -> Session:
        """A session of `problem`.

        Raises:
            ProblemError: it cannot be used.
        """
        began = self.seconds
        return Session(self, problem, self.facts(problem), began)

    def hire(self, crew: Crew) -> Crew:
        """Close `crew` at the end."""
        self._crews.append(crew)
        self._closing.callback(crew.close)
        return crew

    def at_work(self, crew: Crew) -> None:
        """Worker processes of one problem at a time: end those of the others."""
        for other in self._crews:
            if other is not crew:
                other.rest()


@dataclass
class Session:
    """A checked problem in a workplace: runs designs and counts what they cost. A `Store` for their lanes.

    Args:
        place: where.
        problem: what is trained.
        facts: what the preflight found.
        started: seconds of the workplace.
        planned: lanes and steps that may be asked for, at most.
    """

    place: Workplace
    problem: Problem
    facts: Preflight
    started: float
    planned: Plan = field(default_factory=lambda: Plan(0, 0))
    runs: Runs = field(default_factory=Runs)
    before: float = 0.0
    """Seconds that preflight and trial took."""
    crew: Crew = field(init=False)
    """What trains the lanes; there is one from the first plan on."""

    def __post_init__(self) -> None:
        self._planned, self._new_steps = False, 0

    @property
    def choice(self) -> Choice:
        """Which engine trains the lanes, and why."""
        return self.crew.choice

    @property
    def engine(self) -> Engine:
        """What trains the lanes."""
        return self.crew.engine

    def plan(self, *plans: Plan, usual: float = USUAL_SHARE, note: str = "") -> None:
        """Choose what trains the lanes of all these plans, and say what they cost.

        Args:
            plans: of the designs that will be run; without any word of it, a session plans for the first of them alone.
            usual: share of the steps that is usually taken.
            note: what else the sentence says.
        """
        plan, options = sum(plans, Plan(0, 0)), self.place.options
        self.planned = plan
        self._register()
        place = self.place
        self.crew = place.hire(crew_for(self.problem, self.facts, options, place.store, plan, usual, place.deadline))
        self._ready()
        if options.on_plan:
            takes = duration(plan.steps * self.crew.seconds_per_step / self.crew.at_once)
            often = " (usually a third of it)" if usual == USUAL_SHARE else ""
            options.on_plan(
                f"at most {plan.lanes} lanes and {plan.steps:,} gradient steps = {plan.steps / self.problem.steps:.3g} full "
                f"runs of {self.problem.steps:,} steps, at most about {takes} {self.crew.where} "
                f"({self.choice.sentence()}){often}{note}",
                plan.lanes,
            )

    def beside(self, problem: Problem) -> Session:
        """A session of another problem whose lanes train between this one's: as many of them, in the same places."""
        other, place = self.place.of(problem), self.place
        other.planned = self.planned
        other._register()
        crew = crew_beside(self.crew, problem, other.facts, place.options, place.store, self.planned, place.deadline)
        other.crew = place.hire(crew)
        other._ready()
        return other

    def run(self, design: Design[Answer], store: Store | None = None, share: float = 1.0) -> Answer:
        """Run one design within what is left of the time limit, or of a `share` of it.

        `store` may stand in front of this session.
        """
        if not self._planned:
            self.plan(design.planned())

        def keep(outcomes: Runs) -> None:
            self.runs = self.runs + outcomes
            if any(o.valid_loss is not None and on_a_part(self.problem, o.lane) for o in outcomes):
                self.facts = replace(self.facts, flags=tuple(dict.fromkeys((*self.facts.flags, "validated-on-part"))))

        self.place.at_work(self.crew)  # a store in front may train lanes without asking this one
        trained = self.place.store.new_gradient_steps
        deadline = self.place.deadline.part(share)
        left = TimeLeft(deadline, self._pace, self._missing)
        with deadline.held():
            answer = run(design, self.problem, self.engine, store or self, time=left, progress=keep)
        self._new_steps += self.place.store.new_gradient_steps - trained
        return answer

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """Outcomes in the order of `lanes`, from the store where they are known."""
        self.place.at_work(self.crew)
        todo, began = self._missing(lanes), self.place.seconds
        found = self.place.store.get_or_train(engine, problem, lanes)
        trained = set(todo)
        self._pace.learn([outcome for outcome in found if outcome.lane in trained], self.place.seconds - began)
        return found

    def _missing(self, lanes: Sequence[Lane]) -> Sequence[Lane]:
        """Those that are not stored; of interest only where there is a limit."""
        limited = self.place.deadline.seconds is not None
        return self.place.store.missing(self.engine, self.problem, lanes) if limited else ()

    def _ready(self) -> None:
        """Everything is known that lanes need."""
        together = self.choice.chunk  # fewer lanes than a chunk take as long
        self._pace = Pace(self.problem, together * self.crew.seconds_per_step, together * self.crew.at_once)
        self.before = self.place.seconds - self.started

    def cost(self) -> dict[str, float]:
        """What the designs run so far cost, in gradient steps; a forward pass (`validation_steps`) is a third of one, and
        `look_steps` are what policies saw of second derivatives.

        `seconds` are all that passed, `before_seconds` those of preflight and trial; `wall_runs` is the first of them over
        what one run takes on one core.
        """
        seconds = self.place.seconds - self.started
        steps, validation, looks = self.runs.gradient_steps, scoring_of(self.problem, self.runs), looks_of(self.runs)
        return {
            "gradient_steps": steps,
            "new_gradient_steps": self._new_steps,
            "validation_steps": validation,
            "look_steps": looks,
            "full_runs": (steps + validation + looks) / self.problem.steps,
            "seconds": seconds,
            "before_seconds": self.before,
            "wall_runs": seconds / (self.facts.seconds_per_step * self.problem.steps),
        }

    def made(self, seed: int, flags: Iterable[str] = (), **more: float) -> Made:
        """How the answer of this session was made.

        Args:
            seed: of the measurement.
            flags: of the answer; those of the problem, of its lanes and of the engine are added.
            more: by name, what else it cost.
        """
        fallback = ("fallback-loop",) if self.choice.fell_back else ()
        return Made(
            seed=seed,
            optimizer=self.facts.optimizer,
            cost={**self.cost(), **more},
            flags=once(flags, self.facts.flags, self.runs.flags, fallback),
            runs=self.runs,
            engine=self.engine.name,
            engine_choice=self.choice,
        )

    def _register(self) -> None:
        """Tell the store which problem this is."""
        facts, store = self.facts, self.place.store
        identity = {
            "optimizer": facts.optimizer,
            "defaults": {k: repr(v) for k, v in facts.defaults.items()},
            "multipliers": [g.multiplier for g in facts.groups],
            "shapes": facts.shapes,
        }
        digest = fingerprint(self.problem, identity, __version__)
        store.register(self.problem, digest, facts.trace, identity, reusable=facts.reproducible)
        self._planned = True
