"""`find`: which learning rate for this problem, optimizer, schedule and horizon, and is the one in use any good?

glance: at most 0.6 of one full run's gradient steps, weighed with other tasks. quick: at most 3.2, and bounds on eta*.
thorough: eta* measured, then lanes of the full length until the interval is as narrow as asked for. A budget: what it buys,
weighed with other tasks.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from etastar import arguments
from etastar.core.estimate import Status
from etastar.core.kinds import optimizer_kind
from etastar.core.lane import Lane, Until, quantise
from etastar.core.monitor import Monitor
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.budgeted import weighed
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.best_rate.rate_priors import mean_factor
from etastar.designs.eta_star.eta_star import Precision
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.designs.fixed_lanes import FixedLanes
from etastar.engine.preflight import Preflight, start_steps
from etastar.errors import ProblemError, attributed
from etastar.policies.policy import is_steady
from etastar.probes.monitors.named import monitors_over
from etastar.verbs.find.answering import answer_of
from etastar.verbs.find.budget import budgeted_in, checked_budget, prior_for
from etastar.verbs.find.efforts import EFFORTS, ETA_STAR, ETA_STAR_END, end_design
from etastar.verbs.find.eta_star import checked_precision, checked_steps, measure, start_design
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.find.from_checkpoint import begun_from, rest_in
from etastar.verbs.find.in_order import order_flags
from etastar.verbs.find.one_seed import of_one_seed, searches_in_a_step
from etastar.verbs.options import Options, asked
from etastar.verbs.workplace import USUAL_SHARE, Session, Workplace

WITHIN = 0.25
"""Decades: the half-width of the interval `thorough` asks for."""
USUAL: dict[str, float] = {"sgd": 0.2, "momentum": 0.05, "adam": 0.006, "rmsprop": 0.004}
"""kind of optimizer -> median best rate over small networks at 160 steps and a constant rate: a place to begin."""
USUAL_STEPS, USUAL_GAMMA = 160, 0.5


@attributed
def find(
    problem: Problem,
    *,
    effort: str | None = None,
    budget: float | None = None,
    budget_steps: int | None = None,
    budget_seconds: float | None = None,
    within: float = WITHIN,
    steps_to_start: int | None = None,
    precision: Precision | None = None,
    start: float | None = None,
    start_from: Any = None,
    at: int | None = None,
    monitors: str | Sequence[str | Monitor] = (),
    seed: int | None = None,
    options: Options | None = None,
) -> FindAnswer:
    """Find the best rate for the problem's optimizer, schedule and horizon, judge the one in use, measure eta*.

    Args:
        problem: what is trained.
        effort: "glance" (at most 0.6 full runs of gradient steps), "quick" (at most 3.2, bounds on eta*) or "thorough" (eta*
            and eta*_end measured, then lanes of the full length), which is the default without a budget.
        budget, budget_steps, budget_seconds: instead, what it may cost: a share of one training in (0, 1), gradient steps,
            or seconds at the measured time of a step. Up to five lanes are weighed with what is known of other
            tasks; where they say no more than that, the answer is status prior-only and says what would.
        within: decades; half-width of the interval of the best rate that `thorough` works for; of no use to the others.
        steps_to_start: steps within which a lane must meet the criterion of eta*; default min(problem.steps, 200).
        precision: of eta*; given, eta* is measured whatever the effort.
        start: where the search begins; default: between the rate in use and what is usual for the optimizer.
        start_from: a run under way, whose rest the rate is for: (model state, optimizer state), a dict of them, or the file
            such a dict was saved in; lanes branch from there. eta* and monitors are of runs from their start.
        at: optimizer steps of `problem.steps` that are over, with `start_from`.
        monitors: names ("sharpness", "move") or monitors, which read one more lane of all steps at the recommended rate.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Returns:
        A `FindAnswer`. It may carry no value; `answer.lr.require()` raises `NoAnswer` then.

    Raises:
        ProblemError: the problem or an option cannot be used.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    if start_from is not None or at is not None:
        alien = {"steps_to_start": steps_to_start, "precision": precision, "monitors": monitors or None}
        alien |= {"budget": budget, "budget_steps": budget_steps, "budget_seconds": budget_seconds}
        begun = begun_from(problem, start_from, at, alien)
        return rest_in(begun, effort or "thorough", within, start, seed, options)
    wait_for = checked_steps(problem, steps_to_start)
    if effort is not None:
        arguments.word("effort", effort, EFFORTS)
    arguments.WITHIN("within", within)
    bought = checked_budget(
        effort=effort, within=within != WITHIN or precision is not None or bool(monitors),
        budget=budget, budget_steps=budget_steps, budget_seconds=budget_seconds,
    )  # fmt: skip
    effort = effort or "thorough"
    if effort != "thorough" and within != WITHIN:
        raise ProblemError(
            f"within is {within:g}, but effort {effort} works for no interval; drop it, or pass effort thorough"
        )
    checked_precision("precision", precision)
    if start is not None:
        arguments.RATE("start", start)
    watching = monitors_over(monitors, problem.steps)
    if watching and problem.is_loop:
        raise ProblemError("monitors cannot look into a training loop of your own; drop them, or make a Problem of parts")
    with Workplace(options) as place:
        if bought:
            session = place.of(problem)
            best, paid = budgeted_in(session, bought, seed, start)
            flags = order_flags(problem, best)
            return answer_of(session, "budget", best, wait_for, seed, flags=flags, bought=paid)
        return find_in(place.of(problem), effort, seed, within, wait_for, precision, start, watching)


def find_in(
    session: Session,
    effort: str,
    seed: int,
    within: float = WITHIN,
    steps_to_start: int | None = None,
    precision: Precision | None = None,
    start: float | None = None,
    monitors: tuple[Monitor, ...] = (),
) -> FindAnswer:
    """`find`, in a workplace that is open; arguments as there, checked."""
    problem, facts = session.problem, session.facts
    thorough, wait_for = effort == "thorough", steps_to_start or start_steps(problem)
    horizon = (problem.steps, problem.policy, start or start_rate(problem, facts))
    short = BestLR(facts.criterion, *horizon, EFFORTS[effort], seed=seed, squeezes=facts.squeezes)
    full = FullLength(facts.criterion, *horizon, within, seed, ends=(horizon[2], horizon[2]))
    eta = start_design(session, wait_for, precision or ETA_STAR, seed) if thorough or precision else None
    end = end_design(eta, ETA_STAR_END) if thorough and eta else None
    watch = FixedLanes([_watched(session, horizon[2], monitors, seed)]) if monitors else None
    wanted = [short, eta, end, full if thorough else None, watch]
    session.plan(*(design.planned() for design in wanted if design), usual=USUAL_SHARE if eta else 1.0)
    best = session.run(short)
    if effort == "glance":
        best = weighed(best, prior_for(problem, facts, start), problem.steps)
    if searches_in_a_step(problem, session.place.options.device):
        best = of_one_seed(best, problem.steps)
    band, last = measure(session, eta, end) if eta else (None, None)
    if thorough and best.lr.ok:
        assert best.lr.low is not None and best.lr.high is not None
        best = _confirmed(best, session.run(replace(full, start=best.lr.require(), ends=(best.lr.low, best.lr.high))))
    best, watched = _capped(best, problem, last), None
    if monitors and best.lr.ok:
        lane = _watched(session, best.lr.require(), monitors, seed)
        watched = next(iter(session.run(FixedLanes([lane]))), None)
    flags = order_flags(problem, best)
    return answer_of(session, effort, best, wait_for, seed, band=band, end=last, flags=flags, watched=watched)


def start_rate(problem: Problem, facts: Preflight, usual: float | None = None) -> float:
    """Where the search begins: the geometric mean of the rate in use and what is usual for the optimizer.

    Usual: the median over small networks, over the mean factor of the schedule, times (160 / steps)^0.5. Either may be far
    off, seldom both to the same side; a search copes with a start 1.5 decades off.

    Args:
        usual: that median, instead of the one in `USUAL`.
    """
    kind = optimizer_kind(facts.optimizer)
    known = [facts.lr] if facts.lr else []
    usual = usual or USUAL.get("momentum" if kind == "sgd" and facts.momentum else kind)
    if usual:
        known.append(usual / mean_factor(problem.policy, problem.steps) * (USUAL_STEPS / problem.steps) ** USUAL_GAMMA)
    return statistics.geometric_mean(known) if known else USUAL["adam"]


def _confirmed(short: BestRate, full: BestRate) -> BestRate:
    """The answer of lanes of the full length, with what the short ones said before; the short answer if they carry none."""
    if full.lr.ok or full.lr.status in (Status.NO_PROGRESS, Status.DIVERGED_EVERYWHERE):
        return replace(full, rungs=(*short.rungs, *full.rungs), full_runs=short.full_runs + full.full_runs)
    return replace(short, lr=replace(short.lr, flags=(*short.lr.flags, "time-limit")))


def _watched(session: Session, lr: float, monitors: tuple[Monitor, ...], seed: int) -> Lane:
    """A lane of all steps, read by the monitors; on a seed of its own, so that no lane is trained twice for them."""
    own, problem, criterion = derive_seed(seed, "watched"), session.problem, session.facts.criterion
    return Lane(quantise(lr), own, problem.steps, criterion, Until.END, problem.policy, monitors=monitors)


def _capped(best: BestRate, problem: Problem, end: SuccessBand | None) -> BestRate:
    """No more than half of what still trains at the end, where the rate is constant and was read off shorter lanes."""
    measured = any(rung.steps == problem.steps for rung in best.rungs)
    if measured or not is_steady(problem.policy) or end is None or not end.eta_star.ok or not best.lr.ok:
        return best
    cap = end.eta_star.require() / 2
    if best.lr.require() <= cap:
        return best
    lr = best.lr
    flags = (*lr.flags, "half-of-eta-star")
    return replace(best, lr=replace(lr, value=cap, low=min(lr.low or cap, cap), flags=flags))
