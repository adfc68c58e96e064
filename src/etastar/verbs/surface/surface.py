"""`surface`: time, accuracy and reliability over learning rate x schedule x horizon, kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from etastar import arguments
from etastar.arguments import LARGEST_RATE, SMALLEST_RATE
from etastar.core.estimate import Estimate, Status
from etastar.core.problem import Problem
from etastar.designs.surface.surface import Row, RowVerdict, Surface, SurfaceData, lattice, lattice_around
from etastar.designs.surface.surface_cells import Cell, chosen_among, pareto_front
from etastar.errors import ProblemError, attributed
from etastar.laws.surface import PLATEAU, SurfaceLaw
from etastar.policies.compose import has_horizon, squeezed
from etastar.policies.named import policy_over
from etastar.verbs.answer import Yours
from etastar.verbs.options import Options, asked
from etastar.verbs.surface.surface_answer import BestOfRow, SurfaceAnswer
from etastar.verbs.workplace import Session, Workplace

SCHEDULES = ("constant", "warmup-cosine", "wsd")
"""Compared with the problem's own unless said otherwise."""
FINEST, MOST_RATES = 0.05, 100
STEEP_WITHIN = 2.0
"""Factor above the best rate within which fewer seeds training makes the recommendation more careful."""
HALF_OCTAVE = 2**-0.5
UNKNOWN_LR = 1e-2
"""Centre of the rates for a user's own loop that does not say its rate."""


@attributed
def surface(
    problem: Problem,
    *,
    schedules: Sequence[str] | None = None,
    horizons: Sequence[int] | None = None,
    rates: tuple[float, float, float] | None = None,
    seeds: int = 3,
    target: float | None = None,
    seed: int | None = None,
    options: Options | None = None,
) -> SurfaceAnswer:
    """Train over learning rate x schedule x horizon x seed, and say what each does to time, accuracy and reliability.

    Args:
        problem: what is trained.
        schedules: names (`etastar.policies.named.SCHEDULES`, also with settings); default the problem's own and three more.
        horizons: steps; default a quarter, half and all of the problem's.
        rates: (lowest, highest, decades between them) of the first lattice; default a decade on either side of the rate
            in use, half a decade apart. Each schedule and horizon widens its own range while the best rate is at its end.
        seeds: trainings per cell, the same seeds in every cell.
        target: training loss whose time is measured; default what half of the lanes that train
            reach at their end.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Returns:
        A `SurfaceAnswer`. It may carry no rate; `answer.lr.require()` raises `NoAnswer` then.

    Raises:
        ProblemError: the problem, an argument or an option cannot be used.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    rows = rows_of(problem, schedules, horizons)
    arguments.SEEDS("seeds", seeds)
    if target is not None:
        arguments.FINITE("target", target)
    first = None if rates is None else rates_of(rates)
    with Workplace(options) as place:
        session = place.of(problem)
        own = first or lattice_around(session.facts.lr or UNKNOWN_LR)
        design = Surface(session.facts.criterion, rows, own, seeds=seeds, seed=seed, target=target)
        return _answer(session, session.run(design), seed)


def rows_of(problem: Problem, schedules: Sequence[str] | None, horizons: Sequence[int] | None) -> list[Row]:
    """Every schedule over every horizon.

    Raises:
        ProblemError: no such schedule, a horizon that is no number of steps, or a user's own loop asked for either.
    """
    if problem.is_loop:
        if schedules is not None or horizons is not None:
            what = "schedules" if schedules is not None else "horizons"
            raise ProblemError(
                f"{what} were given for a training loop of your own, which sets its rate and length itself; leave them out"
            )
        return [Row("own", problem.steps, problem.policy)]
    lengths = _horizons(problem, horizons)
    if schedules is not None:
        arguments.each_once("schedules", schedules, "a list of names, e.g. constant, warmup-cosine")
    own = problem.schedule_name
    rows: list[Row] = []
    for name in schedules if schedules is not None else [own, *SCHEDULES]:
        policies = [squeezed(problem.policy, h) if name == own else policy_over(name, h) for h in lengths]
        if not any(row.policy == policies[-1] for row in rows):
            rows += [Row(name, h, policy) for h, policy in zip(lengths, policies, strict=True)]
    if not rows:
        raise ProblemError("no schedule was given; expected one or more, e.g. --schedules constant,warmup-cosine")
    return rows


def _horizons(problem: Problem, horizons: Sequence[int] | None) -> list[int]:
    if horizons is None:
        return sorted({max(problem.steps // 4, 1), max(problem.steps // 2, 1), problem.steps})
    for h in arguments.each_once("horizons", horizons, "a list of steps, e.g. 100,200,400"):
        arguments.HORIZON("a horizon", h)
    if not horizons:
        raise ProblemError("no horizon was given; expected one or more, e.g. --horizons 100,200,400")
    return sorted(horizons)


def rates_of(rates: tuple[float, float, float]) -> tuple[float, ...]:
    """The lattice of (lowest, highest, decades between them)."""
    if not isinstance(rates, (tuple, list)) or len(rates) != 3:
        raise ProblemError(
            f"rates is {arguments.shown(rates)}; expected three numbers: lowest, highest, decades between them, "
            "e.g. (1e-3, 1, 0.5)"
        )
    low, high, step = (arguments.FINITE("one of the rates", rate) for rate in rates)
    shown = f"{low:g}:{high:g}:{step:g}"
    if not SMALLEST_RATE <= low < high <= LARGEST_RATE:
        raise ProblemError(f"the rates are {shown}; expected 0 < lowest < highest, e.g. --rates 1e-3:1:0.5")
    if not step >= FINEST:
        raise ProblemError(f"the rates are {shown}; expected a step of {FINEST:g} decades or more, e.g. --rates 1e-3:1:0.5")
    found = lattice(math.log10(low), math.log10(high), step)
    if not 2 <= len(found) <= MOST_RATES:
        raise ProblemError(f"the rates {shown} are {len(found)}; expected 2 to {MOST_RATES}: change the step (in decades)")
    return found


def _answer(session: Session, data: SurfaceData, seed: int) -> SurfaceAnswer:
    problem, facts = session.problem, session.facts
    law = SurfaceLaw.fit(data.records)
    best = tuple(best_rate(data, law, verdict) for verdict in data.verdicts)
    chosen, choice = default_choice(data, problem.steps)
    lr = _recommended(data, best, chosen) if chosen else _no_rate(data)
    verdicts = [v.status for v in data.verdicts]
    flags = {
        "range-extended": any(v.widened for v in data.verdicts),
        "rows-at-the-edge": Status.EDGE_OF_RANGE in verdicts,
        "schedule-not-squeezed": not problem.is_loop and not has_horizon(problem.policy),
    }
    found = (
        *([data.stopped] if data.stopped else []),
        *lr.flags,
        *data.flags,
        *(f for f, on in flags.items() if on),
    )
    return SurfaceAnswer(
        problem=problem.title,
        lr=lr,
        chosen=chosen,
        choice=choice,
        data=data,
        rows=best,
        exponents={s: law.horizon_exponent(s) for s in dict.fromkeys(b.schedule for b in best)},
        front=pareto_front(data.cells),
        law=law,
        loss_name="training loss" if problem.valid is None else "validation loss",
        yours=_judge(facts.lr, facts.said(facts.lr), problem, best, law) if facts.lr else None,
        facts=facts,
        made=session.made(seed, found),
    )


def best_rate(data: SurfaceData, law: SurfaceLaw, verdict: RowVerdict) -> BestOfRow:
    """The best rate of a row, by the law where the search found the optimum inside its range."""
    schedule, horizon = verdict.row.schedule, verdict.row.horizon
    cells = data.row(schedule, horizon)
    cell = next((c for c in cells if c.lr == verdict.best), None)
    n = sum(c.n for c in cells)
    if verdict.status is not Status.OK:
        at_end = verdict.status is Status.EDGE_OF_RANGE and verdict.best is not None
        bound = {"low" if verdict.best == cells[-1].lr else "high": verdict.best} if at_end else {}
        none = Estimate.none(verdict.status, verdict.reason, n=n, **bound)
        return BestOfRow(schedule, horizon, none, None, Estimate.none(verdict.status, verdict.reason, unit="loss"), cell)
    lr = law.best_lr(schedule, horizon)
    loss = law.predict(lr.require(), schedule, horizon) if lr.ok else Estimate.none(lr.status, lr.reason, unit="loss")
    return BestOfRow(schedule, horizon, lr, law.plateau(schedule, horizon), loss, cell)


def default_choice(data: SurfaceData, steps: int) -> tuple[Cell | None, str]:
    """At the planned steps (else the longest horizon): the most reliable cells, of those the smallest losses, then time."""
    horizons = {c.horizon for c in data.cells}
    horizon = steps if steps in horizons else max(horizons, default=0)
    alive = [c for c in data.cells if c.horizon == horizon and c.loss is not None]
    if not alive:
        return None, "no cell has a final loss"
    most = max(c.reliability for c in alive)
    reliable = [c for c in alive if c.reliability == most]
    smallest = min(c.loss for c in reliable if c.loss is not None)
    margin = (PLATEAU - 1) * abs(smallest)
    near = [c for c in reliable if c.loss is not None and c.loss <= smallest + margin]
    chosen = min(near, key=lambda c: (math.inf if c.time is None else c.time, c.loss, c.lr))
    sentence = (
        f"of {len(alive)} cells over {horizon} steps that end with a loss, the {len(reliable)} in which most seeds train "
        f"({most:.0%}); of those the {len(near)} within 2 % of the smallest loss; of those the first to reach the target. "
        f"Its loss: {chosen_among(chosen, len(reliable))} or within 2 % of it, which makes it a little too low"
    )
    return chosen, sentence


def _recommended(data: SurfaceData, best: Sequence[BestOfRow], chosen: Cell) -> Estimate:
    """The best rate of the chosen row; the chosen cell's own where seeds fail beside the best; lower if R is steep above."""
    row = next(b for b in best if (b.schedule, b.horizon) == (chosen.schedule, chosen.horizon))
    if row.lr.value is None or row.lr.low is None or row.lr.high is None:
        return row.lr
    cells = data.row(chosen.schedule, chosen.horizon)
    value = row.lr.value
    beside = [max((c for c in cells if c.lr <= value), key=lambda c: c.lr, default=None)]
    beside.append(min((c for c in cells if c.lr >= value), key=lambda c: c.lr, default=None))
    if any(c is not None and c.reliability < chosen.reliability for c in beside):
        value = chosen.lr
    steep = any(value < c.lr <= STEEP_WITHIN * value and c.reliability < chosen.reliability for c in cells)
    if steep:
        value *= HALF_OCTAVE
    return Estimate(
        value,
        min(row.lr.low, value),
        max(row.lr.high, value),
        row.lr.level,
        n=row.lr.n,
        method=row.lr.method + (", half an octave below" if steep else ""),
        cost=sum(c.n * c.horizon for c in cells),
        flags=("steep-above",) if steep else (),
    )


def _no_rate(data: SurfaceData) -> Estimate:
    verdict = data.verdicts[-1]
    return Estimate.none(verdict.status, verdict.reason, n=len(data.records))


def _judge(lr: float, said: str, problem: Problem, best: Sequence[BestOfRow], law: SurfaceLaw) -> Yours:
    """The rate in use against the best one for the problem's own schedule over its planned steps."""
    own = problem.schedule_name
    row = next((b for b in best if b.schedule == own and b.horizon == problem.steps), None)
    where = f"{own} over {problem.steps} steps"
    if row is None or not row.lr.ok or row.plateau is None:
        why = "was not measured" if row is None else "has no best rate"
        return Yours(lr, "unknown", f"your {said} cannot be judged: {where} {why}")
    ratio, expected = lr / row.lr.require(), law.predict(lr, own, problem.steps)
    beside = f"{ratio:.2g} of the best rate for {where} ({row.lr.value:.2g})"
    if expected.ok and row.loss.ok:
        beside += f"; expect a loss of {expected.value:.2g} against {row.loss.value:.2g}"
    low, high = min(row.lr.low or lr, row.plateau[0]), max(row.lr.high or lr, row.plateau[1])
    verdict = "too-high" if lr > high else "low" if lr < low else "plausible"
    return Yours(lr, verdict, f"your {said} is {beside}: {verdict.replace('-', ' ')}", of_best=ratio)
