"""The response surface: trainings over learning rate x schedule x horizon x seed, denser where the loss is smallest.

Every row (one schedule over one horizon) has its own rates. All rows start from one lattice; then each asks for the rates
half a step away from its best one, and for further ones while the best lies at an end of what it has tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.design import Plan
from etastar.core.estimate import Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.flat import is_flat
from etastar.designs.surface.surface_cells import LUCKIEST, Cell, cells_of, default_target, final_loss, final_metric, time_to
from etastar.laws.law import Record, median
from etastar.policies.policy import Policy

STEP = 0.5
"""Decades between the rates of the first lattice."""
WIDENINGS = 3
"""Decades by which a row may be widened on either side."""


@dataclass(frozen=True)
class Row:
    """One schedule over one horizon; with `settings` of the optimizer, as a `Lane` has them."""

    schedule: str
    horizon: int
    policy: Policy
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class RowVerdict:
    """How the search of one row ended.

    Args:
        row: which.
        status: OK, or why it has no best rate.
        reason: the sentence to it.
        best: the measured rate with the smallest median loss; None if every rate diverged.
        widened: whether more rates were tried than the first lattice had.
    """

    row: Row
    status: Status
    reason: str
    best: float | None
    widened: bool


@dataclass(frozen=True)
class SurfaceData:
    """What was measured.

    Args:
        records: one per lane.
        cells: the same by rate, schedule and horizon.
        verdicts: one per row.
        target: training loss whose time was measured; None if no lane lived.
        stopped: the flag it was stopped with, if it was.
    """

    records: tuple[Record, ...]
    cells: tuple[Cell, ...]
    verdicts: tuple[RowVerdict, ...]
    target: float | None
    stopped: str | None

    @property
    def flags(self) -> tuple[str, ...]:
        """Keys of `etastar.FLAGS`: whether the lowest loss is that of the luckiest of many single seeds."""
        alive = [c for c in self.cells if c.loss is not None]
        return (LUCKIEST,) if len(alive) > 1 and all(c.n == 1 for c in alive) else ()

    def row(self, schedule: str, horizon: int) -> tuple[Cell, ...]:
        """The cells of one row, lowest rate first."""
        return tuple(c for c in self.cells if (c.schedule, c.horizon) == (schedule, horizon))


def lattice(low: float, high: float, step: float = STEP) -> tuple[float, ...]:
    """log10 rates from `low` to `high` (log10), `step` decades apart, `high` included where it fits.

    >>> lattice(-2.0, -0.5)
    (-2.0, -1.5, -1.0, -0.5)
    """
    return tuple(round(low + step * i, 3) for i in range(math.floor((high - low) / step + 1e-6) + 1))


def lattice_around(lr: float, reach: float = 1.0) -> tuple[float, ...]:
    """The lattice `reach` decades on either side of `lr`, on multiples of `STEP`: neighbouring problems share rates."""
    centre = round(math.log10(lr) / STEP) * STEP
    return lattice(centre - reach, centre + reach)


class Surface:
    """The adaptive measurement. A `Design`.

    Args:
        criterion: when a lane has trained.
        rows: schedules x horizons.
        rates: log10 of the first rates, evenly spaced.
        seeds: lanes per cell; every cell has the same seeds.
        seed: of all lanes.
        target: training loss to time; None: what half of the lanes that train reach at their end.
        refine: whether rates half a step from the best are added.
        widen: whether a row may leave the first range.
    """

    def __init__(
        self,
        criterion: Criterion,
        rows: Sequence[Row],
        rates: Sequence[float],
        *,
        seeds: int = 3,
        seed: int = 0,
        target: float | None = None,
        refine: bool = True,
        widen: bool = True,
    ) -> None:
        self.criterion, self.rows, self.rates = criterion, tuple(rows), tuple(rates)
        self.seeds, self.seed, self.target, self.refine, self.widen = seeds, seed, target, refine, widen
        self.step = self.rates[1] - self.rates[0] if len(self.rates) > 1 else STEP
        self._told: list[dict[float, list[Outcome]]] = [{} for _ in self.rows]
        self._pending = [(i, x) for i in range(len(self.rows)) for x in self.rates]
        self._stopped: str | None = None

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """Every row with all the rates it may try."""
        extra = (2 if self.refine else 0) + (2 * self._most_beyond() if self.widen else 0)
        cells = len(self.rates) + extra
        return Plan(len(self.rows) * cells * self.seeds, sum(row.horizon for row in self.rows) * cells * self.seeds)

    def ask(self) -> Sequence[Lane]:
        """The first lattice of all rows, then what the rows want; empty at the end."""
        return [] if self._stopped else [self._lane(i, x, s) for i, x in self._pending for s in range(self.seeds)]

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        for index, outcome in enumerate(outcomes):
            i, x = self._pending[index // self.seeds]
            self._told[i].setdefault(x, []).append(outcome)
        self._pending = [(i, x) for i in range(len(self.rows)) for x in self._wanted(i)]

    def stop(self, flag: str) -> None:
        """End now, with what is known."""
        self._stopped = flag

    def answer(self) -> SurfaceData:
        """All records, the cells they fall in, and how each row ended."""
        told = [
            (row, o) for row, by_rate in zip(self.rows, self._told, strict=True) for x in sorted(by_rate) for o in by_rate[x]
        ]
        target = default_target([o for _, o in told]) if self.target is None else self.target
        records = tuple(
            Record(
                lr=o.lane.lr,
                schedule=row.schedule,
                horizon=row.horizon,
                seed=o.lane.seed,
                loss=final_loss(o),
                metric=final_metric(o),
                time=None if target is None else time_to(o, target),
                status=o.status,
            )
            for row, o in told
        )
        verdicts = tuple(self._verdict(i) for i in range(len(self.rows)))
        return SurfaceData(records, cells_of(records), verdicts, target, self._stopped)

    # -- a row -------------------------------------------------------------------------------------------------------

    def _lane(self, i: int, x: float, index: int) -> Lane:
        row, seed = self.rows[i], derive_seed(self.seed, "lane", index)
        return Lane(quantise(10.0**x), seed, row.horizon, self.criterion, Until.END, row.policy, row.settings)

    def _wanted(self, i: int) -> list[float]:
        """Rates a row asks for next: further ones beyond its edge, then those beside its best."""
        tried, best = sorted(self._told[i]), self._best(i)
        if self._is_flat(i):
            return []
        if best is None or best == tried[0]:
            return self._further(tried[0], -1)
        if best == tried[-1]:
            return self._further(tried[-1], +1)
        if not self.refine:
            return []
        at = tried.index(best)
        gaps = [(tried[at - 1], best), (best, tried[at + 1])]
        return [round((a + b) / 2, 3) for a, b in gaps if b - a > 0.75 * self.step]

    def _further(self, edge: float, sign: int) -> list[float]:
        """The next decade of rates (one rate at least) beyond `edge`, as far as the limit allows."""
        if not self.widen:
            return []
        beyond = round(abs(edge - (self.rates[0] if sign < 0 else self.rates[-1])) / self.step)
        n = min(max(round(1 / self.step), 1), self._most_beyond() - beyond)
        return [round(edge + sign * self.step * (k + 1), 3) for k in range(n)]

    def _most_beyond(self) -> int:
        return max(round(WIDENINGS / self.step), 1)

    def _best(self, i: int) -> float | None:
        """log10 of the rate with the smallest median loss; None if half of the seeds or more diverge at every rate."""
        losses = {x: median(final_loss(o) for o in outcomes) for x, outcomes in self._told[i].items()}
        best = min(sorted(losses), key=lambda x: losses[x], default=None)
        return best if best is not None and math.isfinite(losses[best]) else None

    def _is_flat(self, i: int) -> bool:
        """Whether every seed's loss is the same at every rate."""
        told = self._told[i]
        return len(told) > 1 and is_flat((o for outcomes in told.values() for o in outcomes), final_loss)

    def _verdict(self, i: int) -> RowVerdict:
        row, tried, best = self.rows[i], sorted(self._told[i]), self._best(i)
        widened = bool(tried) and (tried[0] < self.rates[0] or tried[-1] > self.rates[-1])
        status, reason = self._status(i, tried, best)
        return RowVerdict(row, status, reason, None if best is None else quantise(10.0**best), widened)

    def _status(self, i: int, tried: list[float], best: float | None) -> tuple[Status, str]:
        where = f"with {self.rows[i].schedule} over {self.rows[i].horizon} steps"
        if not tried:
            return Status.NOT_MEASURED, f"the search was stopped before anything was trained {where}"
        span = f"{10 ** tried[0]:.3g} .. {10 ** tried[-1]:.3g}"
        if best is None:
            text = f"half of the seeds or more diverge {where} at every rate in {span}; check data, model and loss"
            return Status.DIVERGED_EVERYWHERE, text
        if self._is_flat(i):
            return (
                Status.FLAT,
                f"the loss {where} is the same at every rate in {span}; check that it depends on the parameters",
            )
        if best in (tried[0], tried[-1]):
            side = "lowest" if best == tried[0] else "highest"
            return Status.EDGE_OF_RANGE, f"{where} the best rate is {10**best:.3g}, the {side} of {span}; measure further"
        return Status.OK, ""
