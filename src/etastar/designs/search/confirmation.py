"""The best trials of a search, trained again on fresh seeds.

The lowest of N losses is low by luck as well as by merit: with one seed a trial it lies about two standard deviations of
the seeds below what its setting is worth (N = 32). Fresh seeds know nothing of that luck.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scipy.special import stdtrit

from etastar.core.design import Plan
from etastar.core.lane import Lane, Runs
from etastar.core.randomness import derive_seed
from etastar.core.told import Range
from etastar.designs.search.trials import Found, Trial, objective

FINALISTS, FRESH = 3, 3
"""Trials trained again, and on how many fresh seeds: 9 lanes beside the 64 of a usual search."""
ROUNDS = 2
"""Where a lane fails in each of the finalists, the next best are tried, so often in all."""
QUANTILE = 0.96
"""Of Student's t: the interval then holds in 90 % of the searches, the choice among the finalists included."""


@dataclass(frozen=True)
class Finalist:
    """A trial and what it does on fresh seeds.

    Args:
        trial: as the search trained it.
        losses: of the fresh seeds, a failed lane as it is counted; empty where it was not trained again.
        failed: fresh lanes that did not end with a finite loss.
        steps: gradient steps spent on them.
    """

    TOLD: ClassVar = ("number", "params", "lr", "loss", "interval", "losses", "failed", "confirmed", "steps", "trial_loss")

    trial: Trial
    losses: tuple[float, ...] = ()
    failed: int = 0
    steps: int = 0

    @property
    def number(self) -> int:
        """The trial's."""
        return self.trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The trial's."""
        return self.trial.params

    @property
    def lr(self) -> float:
        """The trial's."""
        return self.trial.lr

    @property
    def confirmed(self) -> bool:
        """Whether it was trained again and no fresh lane failed."""
        return bool(self.losses) and not self.failed

    @property
    def loss(self) -> float:
        """Mean over the fresh seeds; the trial's own, which luck has made too low, where there are none."""
        assert self.trial.loss is not None
        return statistics.fmean(self.losses) if self.losses else self.trial.loss

    @property
    def trial_loss(self) -> float | None:
        """The trial's own loss."""
        return self.trial.loss

    @property
    def interval(self) -> Range | None:
        """90 % of the mean: mean -+ t s / sqrt(n) over the fresh seeds.

        >>> low, high = Finalist(Trial(0, {}, 0.1, 0.5), (1.0, 2.0, 3.0)).interval
        >>> round(low, 2), round(high, 2)
        (0.08, 3.92)
        """
        n = len(self.losses)
        if not self.confirmed or n < 2:
            return None
        reach = float(stdtrit(n - 1, QUANTILE)) * statistics.stdev(self.losses) / math.sqrt(n)
        return Range(self.loss - reach, self.loss + reach)


class Confirmation:
    """Train the best trials of a search again. A `Design`.

    Args:
        found: what the search found.
        lane_of: (trial, seed) -> its lane over the whole schedule.
        seeds: fresh ones for each finalist.
        seed: of the search; the fresh seeds follow from it, and are none of its own.
    """

    def __init__(self, found: Found, lane_of: Callable[[Trial, int], Lane], seeds: int = FRESH, seed: int = 0) -> None:
        self._queue = _different(found)[: FINALISTS * ROUNDS]
        self._lane_of, self._first_loss = lane_of, found.first_loss
        self._seeds = [derive_seed(seed, "fresh", index) for index in range(seeds)]
        self._told: list[Finalist] = []
        self._stopped = False

    def planned(self) -> Plan:
        """Every finalist of every round."""
        lanes = [self._lane_of(trial, seed) for trial in self._queue for seed in self._seeds]
        return Plan(len(lanes), sum(lane.steps for lane in lanes))

    def ask(self) -> Sequence[Lane]:
        """Every finalist on every fresh seed; the next best where a lane failed in each; empty at the end."""
        if self._stopped or any(f.confirmed for f in self._told):
            return []
        return [self._lane_of(trial, seed) for trial in self._next() for seed in self._seeds]

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        n = len(self._seeds)
        for i, trial in enumerate(self._next()):
            own = outcomes[i * n : (i + 1) * n]
            losses = tuple(objective(o, self._first_loss) for o in own)
            self._told.append(Finalist(trial, losses, sum(o.scored_loss is None for o in own), Runs(own).gradient_steps))

    def stop(self, flag: str) -> None:
        """End now."""
        self._stopped = True

    def answer(self) -> tuple[Finalist, ...]:
        """The finalists trained again, the best first; those with a failed lane last."""
        return tuple(sorted(self._told, key=lambda f: (f.failed, f.loss)))

    def _next(self) -> list[Trial]:
        done = len(self._told)
        return self._queue[done : done + FINALISTS]


def confirmation_of(trials: int, seeds: int, steps: int) -> Plan:
    """What `Confirmation` takes at most after a search of `trials` trials over `steps` steps: known before the search."""
    lanes = min(trials, FINALISTS * ROUNDS) * seeds
    return Plan(lanes, lanes * steps)


def _different(found: Found) -> list[Trial]:
    """The trained trials, the lowest loss first, each setting once: two of the same are the same lanes."""
    trained = sorted((t for t in found.trials if t.trained), key=lambda t: t.loss or 0.0)
    keys = [(t.lr, *(v for k, v in t.params.items() if k != "lr")) for t in trained]
    return [t for i, t in enumerate(trained) if keys[i] not in keys[:i]]
