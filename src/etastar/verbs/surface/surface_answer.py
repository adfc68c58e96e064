"""What `surface` found: cells, the Pareto front, the default choice, the best rates and how they fall with the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Runs
from etastar.designs.surface.surface import SurfaceData
from etastar.designs.surface.surface_cells import Cell
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight
from etastar.laws.surface import SurfaceLaw
from etastar.verbs.find.judge import Yours
from etastar.verbs.finite import finite
from etastar.version import __version__

ETA_STAR_ELSEWHERE = "this verb does not measure eta*; `etastar find` does"


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
    plateau: tuple[float, float] | None
    loss: Estimate
    cell: Cell | None


@dataclass(frozen=True)
class SurfaceAnswer:
    """What `surface` found; `to_json()` is the same in the contract's form.

    Args:
        problem: its name.
        lr: the recommended rate, for `chosen`'s schedule and horizon.
        chosen: the cell chosen by default; None if none has a final loss. choice: how, in a sentence.
        lr_per_group: (group, rate) at the recommended rate.
        data: every record and cell.
        best: the best rate of every schedule and horizon.
        exponents: schedule -> gamma of best rate ~ horizon^-gamma.
        front: the cells no other beats in time, loss and reliability.
        law: predicts between the cells.
        loss_name: "validation loss" or "training loss".
        yours: the rate in use, judged; None if unknown.
        cost, flags, runs, facts, engine, engine_choice, seed, environment: as in `FindAnswer`.
    """

    problem: str
    lr: Estimate
    chosen: Cell | None
    choice: str
    lr_per_group: tuple[tuple[str, float], ...]
    data: SurfaceData
    best: tuple[BestOfRow, ...]
    exponents: dict[str, Estimate]
    front: tuple[Cell, ...]
    law: SurfaceLaw
    loss_name: str
    yours: Yours | None
    cost: dict[str, float]
    flags: tuple[str, ...]
    runs: Runs
    facts: Preflight
    engine: str
    engine_choice: Choice
    seed: int
    environment: dict[str, Any]

    @property
    def schedules(self) -> list[str]:
        """In the order asked for."""
        return list(dict.fromkeys(b.schedule for b in self.best))

    @property
    def horizons(self) -> list[int]:
        """Shortest first."""
        return sorted({b.horizon for b in self.best})

    @property
    def plateau(self) -> tuple[float, float] | None:
        """That of the recommended rate's schedule and horizon."""
        if not self.lr.ok or self.chosen is None:
            return None
        where = (self.chosen.schedule, self.chosen.horizon)
        return next(b.plateau for b in self.best if (b.schedule, b.horizon) == where)

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

    def to_json(self) -> dict[str, Any]:
        """The JSON contract, with NaN and infinities as null; the schema is cli/surface.schema.json."""
        return finite(
            {
                "etastar": __version__,
                "command": "surface",
                "problem": self.problem,
                "summary": self.summary,
                "lr": self.lr.to_json(),
                "lr_per_group": [{"group": name, "lr": lr} for name, lr in self.lr_per_group],
                "plateau": _range(self.plateau),
                "eta_star": Estimate.none(Status.NOT_MEASURED, ETA_STAR_ELSEWHERE).to_json(),
                "chosen": None if self.chosen is None else vars(self.chosen),
                "choice": self.choice,
                "loss": self.loss_name,
                "target_loss": self.data.target,
                "criterion": self.facts.criterion.sentence(),
                "best": [
                    {
                        "schedule": b.schedule,
                        "horizon": b.horizon,
                        "lr": b.lr.to_json(),
                        "plateau": _range(b.plateau),
                        "loss": b.loss.to_json(),
                    }
                    for b in self.best
                ],
                "horizon_exponents": [{"schedule": s, "gamma": e.to_json()} for s, e in self.exponents.items()],
                "front": [vars(c) for c in self.front],
                "cells": [vars(c) for c in self.data.cells],
                "yours": vars(self.yours) if self.yours else None,
                "optimizer": self.facts.optimizer,
                "cost": self.cost,
                "flags": list(self.flags),
                "raised": self.runs.raised_json(),
                "engine": self.engine,
                "engine_choice": self.engine_choice.to_json(),
                "seed": self.seed,
                "environment": self.environment,
            }
        )


def _range(pair: tuple[float, float] | None) -> dict[str, float] | None:
    return None if pair is None else {"low": pair[0], "high": pair[1]}
