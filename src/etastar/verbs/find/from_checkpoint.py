"""`find` from a checkpoint: the best rate from here, for the rest of a run under way, and whether the one in use is it.

Lanes branch from the user's weights, buffers and moments and follow what is left of the schedule, at other rates and in
other orders of the data. A rate is still the whole schedule's peak: the rate in use branches into the run as it would go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from etastar import arguments
from etastar.core.beginning import Beginning
from etastar.core.lane import Criterion
from etastar.core.problem import Problem
from etastar.designs.best_rate.from_here import FromHere
from etastar.engine.preflight import Preflight, start_steps
from etastar.errors import ProblemError
from etastar.policies.compose import has_horizon, squeezed
from etastar.verbs.find.answering import answer_of
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

SHARES: dict[str, float] = {"glance": 1 / 16, "quick": 1 / 4, "thorough": 1.0}
"""effort -> length of a lane, as a share of what is left: nine to twenty of them are trained."""
HIGH = 10.0
"""Times the loss here that a lane may end at and still be scored, where the loss of knowing nothing is not known: one
batch's, late in a training, may be a tenth of the mean, and lanes that ended at the mean would count as diverged."""
SHORTEST = 20
"""Steps below which a lane says little."""


def begun_from(problem: Problem, state: Any, at: int | None, alien: Mapping[str, Any]) -> Problem:
    """The rest of `problem`, from the checkpoint `state` of step `at` on.

    Args:
        alien: arguments, by name, that mean nothing there; None where they were not given.

    Raises:
        ProblemError: one was given; or state and step do not go together with each other or with the problem.
    """
    if state is None or at is None:
        lacks = (
            "at=STEP, the optimizer steps that are over" if at is None else "start_from=CHECKPOINT, the state at that step"
        )
        raise ProblemError(f"{'start_from' if at is None else 'at'} was given alone; expected it with {lacks}")
    if given := [name for name, value in alien.items() if value is not None]:
        raise ProblemError(f"{given[0]} is for runs from their start; drop it, or drop start_from")
    begun = Beginning.of(state, at)
    if at >= problem.steps:
        raise ProblemError(
            f"at is {at}, but the problem plans {problem.steps} steps: nothing is left; expected a smaller at, or more "
            "steps (the whole run's, those that are over among them)"
        )
    return problem.but(start_from=begun, steps=problem.steps - at)


def rest_in(problem: Problem, effort: str, within: float, start: float | None, seed: int, options: Options) -> FindAnswer:
    """The best rate for a problem that `begun_from` made."""
    arguments.word("effort", effort, SHARES)
    arguments.WITHIN("within", within)
    if start is not None:
        arguments.RATE("start", start)
    with Workplace(options) as place:
        session = place.of(problem)
        quiet = tuple(flag for flag in session.facts.flags if flag != "criterion-too-easy")  # of fresh networks
        session.facts = facts = replace(session.facts, flags=quiet)
        steps = min(max(round(SHARES[effort] * problem.steps), SHORTEST), problem.steps)
        policy = squeezed(problem.policy, steps)
        design = FromHere(_criterion(facts), steps, policy, start or facts.lr or 1e-3, within, seed, rest=problem.steps)
        session.plan(design.planned())
        best = session.run(design)
        cut = steps < problem.steps and not has_horizon(problem.policy)
        flags = ("schedule-not-squeezed",) if cut else ()
        return answer_of(session, effort, best, start_steps(problem), seed, flags=flags, at=problem.before)


def _criterion(facts: Preflight) -> Criterion:
    """That of the problem, with a reference that a lane's first batch does not decide."""
    if facts.criterion.uninformed is not None:
        return facts.criterion
    return replace(facts.criterion, uninformed=HIGH * abs(facts.first_loss))
