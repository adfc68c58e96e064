"""A budget of the user's: what it is in gradient steps, and the answer of the lanes that it buys."""

from __future__ import annotations

import math
from dataclasses import replace

from etastar import arguments
from etastar.core.problem import Problem
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.budgeted import Bought, Budgeted
from etastar.designs.best_rate.rate_prior import REFERENCE, RatePrior
from etastar.designs.best_rate.rate_priors import UNKNOWN_SD, prior_of
from etastar.engine.preflight import Preflight
from etastar.errors import ProblemError
from etastar.verbs.workplace import Session

KINDS = {"budget": arguments.PART, "budget_steps": arguments.STEPS, "budget_seconds": arguments.BUDGET}
"""Ways to say one: a share of one training, gradient steps, seconds at the measured time of a step."""


def checked_budget(*, effort: str | None, within: bool, **budgets: float | None) -> tuple[str, float] | None:
    """The one budget that was given; None without any.

    Raises:
        ProblemError: two were given, or one beside what a budget cannot pay; or it is no budget.
    """
    given = {name: value for name, value in budgets.items() if value is not None}
    if not given:
        return None
    if len(given) > 1:
        raise ProblemError(f"{' and '.join(given)} are given; expected one budget: drop all but one")
    [(name, value)] = given.items()
    KINDS[name](name, value)
    if effort is not None:
        raise ProblemError(f"{name} is given with effort {effort}, which has a cost of its own; drop one of them")
    if within:
        raise ProblemError(f"{name} buys short lanes alone; drop within, precision and monitors, or pass effort thorough")
    return name, value


def steps_of(budget: tuple[str, float], problem: Problem, facts: Preflight) -> int:
    """The gradient steps of a budget."""
    name, value = budget
    if name == "budget_steps":
        return int(value)
    return int(value * problem.steps if name == "budget" else value / facts.seconds_per_step)


def budgeted_in(session: Session, budget: tuple[str, float], seed: int, start: float | None) -> tuple[BestRate, Bought]:
    """What a budget buys, in a workplace that is open.

    Raises:
        ProblemError: it buys no lane.
    """
    problem, facts = session.problem, session.facts
    design = Budgeted(
        facts.criterion, problem.steps, prior_for(problem, facts, start), steps_of(budget, problem, facts), problem.policy,
        seed, facts.squeezes,
    )  # fmt: skip
    session.plan(design.planned(), usual=1.0)
    return session.run(design)


def prior_for(problem: Problem, facts: Preflight, start: float | None) -> RatePrior:
    """That of the optimizer; around `start` where it is given, or around the rate in use where no task has used it."""
    per_epoch = None if problem.is_loop else problem.parts.batches.per_epoch
    prior = prior_of(facts.optimizer, facts.momentum, problem.policy, problem.steps, per_epoch)
    around = start or (facts.lr if prior.level_sd == UNKNOWN_SD else None)
    if around is None:
        return prior
    level = math.log10(around) + prior.gamma * math.log10(problem.steps / REFERENCE)
    return replace(prior, level=level, level_sd=UNKNOWN_SD)


def lines_of(bought: Bought, steps: int, seconds_per_step: float) -> tuple[str, ...]:
    """What to do where a budget has not decided: the prior's rate, what was seen stable, the next purchase, the way out."""
    prior, rate = bought.prior, f"{bought.prior.value:.2g}"
    stable = f"{bought.stable:.2g} over {bought.lane_steps} steps of the schedule, squeezed" if bought.stable else "none"
    further = bought.next
    price = (
        f"{further.steps:,} steps, {further.full_runs:.2g} of a run, about {_said(further.steps * seconds_per_step)}; it is "
        f"expected to leave {further.left:.0%} of the doubt"
        if further
        else "no budget below one run is expected to decide; --effort quick takes up to 3.2 runs"
    )
    return (
        f"the prior's rate: {rate} [{prior.low:.2g}, {prior.high:.2g}]",
        f"highest rate seen stable: {stable}",
        f"next purchase: {price}",
        f"or start the real run at {rate}, constant after its warm-up, keep a checkpoint, and decide again from it at steps "
        f"{round(0.1 * steps):,} and {round(0.3 * steps):,}: no step of such a trunk is wasted",
    )


def _said(seconds: float) -> str:
    return (
        f"{seconds:.2g} s" if seconds < 120 else f"{seconds / 60:.2g} min" if seconds < 7200 else f"{seconds / 3600:.2g} h"
    )
