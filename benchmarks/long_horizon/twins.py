"""Narrow twins of the tasks in muP, and the two arms that read them: the rate at the full horizon, and its slope in it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.bakeoff.tasks import plain
from benchmarks.long_horizon.arms import vertex
from benchmarks.long_horizon.fit import LEAST_SD, fitted
from benchmarks.long_horizon.score import NATS
from benchmarks.long_horizon.tasks import TASKS, Cell
from benchmarks.long_horizon.truth import WINDOW, Row, Truth, ended, place_in, truth_lane
from etastar.core.problem import Problem
from etastar.designs.best_rate.budgeted import ERROR, QUANTILE
from etastar.designs.best_rate.rate_prior import Belief, BestSeen, RatePrior
from etastar.designs.fixed_lanes import FixedLanes
from etastar.verbs.scale.transfer import in_mup

SHORT = 100
"""Steps of the lanes that give level and slope: 1 % of the longest horizon."""
LANES, APART = 5, 2
"""Lanes around the prior's rate, and how many of the trained rates (a third of a decade each) lie between two."""
PRIOR, LEVEL, TWIN = "prior", "short lanes", "muP twin at the full horizon"
SLOPE, BOTH = "twin for the slope, short lanes for the level", "muP twin and short lanes"


def narrowed(cell: Cell, width: int) -> Problem:
    """The cell's problem with hidden layers of `width`, in muP relative to the real one: both have one peak rate."""
    real = cell.problem()
    first, *hidden, last = TASKS[cell.task].model.args  # type: ignore[attr-defined]
    return in_mup(real.but(model=partial(plain, first, *(width for _ in hidden), last), name=f"{real.name}/{width}"), real)


def can_be_narrowed(task: str) -> bool:
    """Whether its network is made anew; a pre-trained one has one width."""
    return getattr(TASKS[task].model, "func", None) is plain


def flops_share(task: str, width: int) -> float:
    """What a step of the twin takes of one of the real network: products of the sizes of neighbouring layers."""
    first, *hidden, last = TASKS[task].model.args  # type: ignore[attr-defined]
    of = lambda sizes: sum(a * b for a, b in itertools.pairwise(sizes))
    return of([first, *(width for _ in hidden), last]) / of([first, *hidden, last])


def recorded_twins(found: Sequence[Cell], width: int, horizons: Sequence[int], folder: Path) -> Iterator[Row]:
    """One row a cell and horizon: the loss that every rate ends at, and what a step takes beside one of the real network."""
    for cell in found:
        with place_in(folder) as place:
            real, session = place.of(cell.problem()), place.of(narrowed(cell, width))
            for steps in horizons:
                outcomes = session.run(FixedLanes([truth_lane(session, lr, steps) for lr in cell.rates]))
                yield {
                    "kind": "twin", "cell": cell.name, "width": width, "steps": steps, "rates": cell.rates,
                    "losses": [ended(o) for o in outcomes], "flops": flops_share(cell.task, width),
                    "seconds": session.facts.seconds_per_step / real.facts.seconds_per_step,
                }  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What lanes of one network say, by their length."""

    by_steps: dict[int, Truth]

    def best(self, steps: int, prior: RatePrior) -> float:
        """log10 of the best rate: the vertex of a few of the rates around the prior's."""
        own = self.by_steps[steps]
        half = APART * (LANES // 2)
        at = min(max(int(np.argmin(abs(own.x - prior.at(steps).mean))), half), len(own.x) - 1 - half)
        some = slice(at - half, at + half + 1, APART)
        return vertex(own.x[some], np.array(own.losses)[some])[0]

    def gamma(self, steps: int, prior: RatePrior) -> float:
        """The exponent between short lanes and those of `steps`."""
        return -(self.best(steps, prior) - self.best(SHORT, prior)) / math.log10(steps / SHORT)


def seen(rows: Sequence[Row], kind: str) -> dict[Cell, Seen]:
    """By cell."""
    found: dict[Cell, dict[int, Truth]] = {}
    for r in rows:
        if r["kind"] == kind:
            found.setdefault(Cell(*r["cell"].split("/")), {})[r["steps"]] = Truth.of(r)
    return {cell: Seen(by_steps) for cell, by_steps in found.items()}


def scored_arms(rows: Sequence[Row], steps: int) -> Iterator[Row]:
    """One row a cell and arm; how far a twin is to be trusted, and the prior, are learnt from the other tasks.

    Args:
        rows: of kind "truth", the real networks, and "twin", of one width.
        steps: the horizon.
    """
    real, twins = seen(rows, "truth"), seen(rows, "twin")
    twins = {cell: twin for cell, twin in twins.items() if steps in twin.by_steps}
    truths = [truth for some in real.values() for truth in some.by_steps.values()]
    for task in dict.fromkeys(cell.task for cell in twins):
        learnt = fitted([t for t in truths if t.cell.task != task])
        prior = {cell: learnt.prior(cell) for cell in twins}
        others = [cell for cell in twins if cell.task != task]
        at_end = [twins[c].best(steps, prior[c]) - real[c].by_steps[steps].best for c in others]
        slopes = [twins[c].gamma(steps, prior[c]) - real[c].gamma(steps, prior[c]) for c in others]
        for cell in (c for c in twins if c.task == task):
            own = prior[cell]
            level = [BestSeen(real[cell].best(SHORT, own), SHORT, ERROR)]
            twin = trusted(twins[cell].best(steps, own), at_end)
            slope = both(Belief(own.gamma, own.gamma_sd), trusted(twins[cell].gamma(steps, own), slopes))
            bent = replace(own, gamma=slope.mean, gamma_sd=slope.sd)
            beliefs = {
                PRIOR: own.at(steps), LEVEL: own.at(steps, level), TWIN: both(own.at(steps), twin),
                SLOPE: bent.at(steps, level), BOTH: both(own.at(steps, level), twin),
            }  # fmt: skip
            for arm, belief in beliefs.items():
                yield _scored(real[cell].by_steps[steps], arm, belief)


def _scored(truth: Truth, arm: str, belief: Belief) -> Row:
    low, high = belief.mean - QUANTILE * belief.sd, belief.mean + QUANTILE * belief.sd
    ratio, rate = truth.ratio(10**belief.mean), 10**belief.mean
    return {
        "kind": "arm", "cell": truth.cell.name, "arm": arm, "steps": truth.steps, "lr": rate,
        "off": belief.mean - truth.best,
        "good": ratio <= WINDOW, "near": truth.nats(rate) <= NATS, "holds": low <= truth.best <= high, "width": high - low,
    }  # fmt: skip


def both(one: Belief, other: Belief) -> Belief:
    """Two independent beliefs of one number.

    >>> both(Belief(0.0, 1.0), Belief(2.0, 1.0)).mean
    1.0
    """
    weight = one.sd**-2 + other.sd**-2
    return Belief((one.mean / one.sd**2 + other.mean / other.sd**2) / weight, weight**-0.5)


def trusted(x: float, off: Sequence[float]) -> Belief:
    """A reading less what such readings are off by on other tasks, as wide as those scatter.

    >>> trusted(-1.0, [0.0, 1.0, 2.0])
    Belief(mean=-2.0, sd=1.0)
    """
    return Belief(x - float(np.mean(off)), max(float(np.std(off, ddof=1)), LEAST_SD))


def more_seeds(found: Sequence[Cell], seeds: Sequence[int], steps: int, folder: Path) -> Iterator[Row]:
    """The loss that every rate of the real network ends at on other seeds."""
    for cell, seed in itertools.product(found, seeds):
        with place_in(folder) as place:
            session = place.of(cell.problem())
            outcomes = session.run(FixedLanes([truth_lane(session, lr, steps, seed) for lr in cell.rates]))
            losses = [ended(o) for o in outcomes]
            yield {"kind": "seed", "cell": cell.name, "seed": seed, "steps": steps, "rates": cell.rates, "losses": losses}
