"""What `surface` found: cells, the Pareto front, the default choice, the best rates and how they fall with the horizon."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.core.estimate import Estimate
from etastar.core.told import Range
from etastar.designs.surface.surface import SurfaceData
from etastar.designs.surface.surface_cells import Cell
from etastar.engine.preflight import Preflight
from etastar.laws.surface import SurfaceLaw
from etastar.verbs.answer import Answer, GivesRate, GroupRate, Yours, per_group


@dataclass(frozen=True)
class BestOfRow:
    """The best rate of one schedule over one horizon.

    Args:
        schedule, horizon: where.
        lr: where the final loss is smallest, with the interval of the optimum itself.
        plateau: rates whose predicted loss is within 2 % of the smallest; None without a best rate.
        loss: predicted there.
        cell: the best cell measured; None if half of the seeds or more diverged at every rate.
    """

    schedule: str
    horizon: int
    lr: Estimate
    plateau: Range | None
    loss: Estimate
    cell: Cell | None


@dataclass(frozen=True, kw_only=True)
class SurfaceAnswer(GivesRate, Answer):
    """What `surface` found.

    Args:
        lr: the recommended rate, for `chosen`'s schedule and horizon.
        chosen: the cell chosen by default; None if none has a final loss. choice: how, in a sentence.
        data: every record and cell.
        rows: the best rate of every schedule and horizon.
        exponents: schedule -> gamma of best rate ~ horizon^-gamma.
        front: the cells no other beats in time, loss and reliability.
        law: predicts between the cells.
        loss_name: "validation loss" or "training loss".
        yours: the rate in use, judged; None if unknown.
        facts: what was known of the problem before.
    """

    command = "surface"
    TOLD = (
        "lr", "lr_per_group", "plateau", "best", "rows", "exponents", "chosen", "choice", "front", "cells", "loss_name",
        "target_loss", "criterion", "yours",
    )  # fmt: skip

    lr: Estimate
    chosen: Cell | None
    choice: str
    data: SurfaceData
    rows: tuple[BestOfRow, ...]
    exponents: dict[str, Estimate]
    front: tuple[Cell, ...]
    law: SurfaceLaw
    loss_name: str
    yours: Yours | None
    facts: Preflight

    @property
    def schedules(self) -> list[str]:
        """In the order asked for."""
        return list(dict.fromkeys(b.schedule for b in self.rows))

    @property
    def horizons(self) -> list[int]:
        """Shortest first."""
        return sorted({b.horizon for b in self.rows})

    @property
    def best(self) -> BestOfRow | None:
        """The row of the recommended rate."""
        if not self.lr.ok or self.chosen is None:
            return None
        where = (self.chosen.schedule, self.chosen.horizon)
        return next(b for b in self.rows if (b.schedule, b.horizon) == where)

    @property
    def plateau(self) -> Range | None:
        """That of the recommended rate's schedule and horizon."""
        return self.best.plateau if self.best else None

    @property
    def lr_per_group(self) -> tuple[GroupRate, ...]:
        """The groups' rates at the recommended one."""
        return per_group(self.facts.groups, self.lr)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every rate of every schedule and horizon."""
        return self.data.cells

    @property
    def target_loss(self) -> float | None:
        """The training loss whose time is measured."""
        return self.data.target

    @property
    def criterion(self) -> str:
        """When a lane trains, in words."""
        return self.facts.criterion.sentence()

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if not self.lr.ok or self.chosen is None:
            return f"no answer ({self.lr.status.value}): {self.lr.reason}"
        cell = self.chosen
        text = (
            f"use about {self.lr.value:.2g} [{self.lr.low:.2g}, {self.lr.high:.2g}] with {cell.schedule} over "
            f"{cell.horizon} steps: {cell.trained} of {cell.n} seeds train, {self.loss_name} {cell.loss:.3g}"
        )
        if cell.metric is not None:
            text += f", accuracy {cell.metric:.3g}"
        return text + (f"; {self.yours.sentence}" if self.yours else "")
