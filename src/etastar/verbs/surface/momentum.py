"""`momentum`: the best rate and the loss at several momenta (beta1 for Adam and its kin)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.core.problem import Problem
from etastar.designs.surface.surface import Row, Surface, SurfaceData, lattice_around
from etastar.designs.surface.surface_cells import Cell, chosen_among
from etastar.designs.together import Together
from etastar.engine.preflight import Preflight
from etastar.errors import ProblemError, attributed
from etastar.laws.surface import SurfaceLaw
from etastar.verbs.answer import Answer
from etastar.verbs.options import Options, asked
from etastar.verbs.surface.surface import best_rate
from etastar.verbs.surface.surface_answer import BestOfRow
from etastar.verbs.workplace import Session, Workplace

VALUES = (0.0, 0.5, 0.9, 0.99)
UNKNOWN_LR = 1e-2
"""Centre of the rates where the optimizer says none."""


@dataclass(frozen=True)
class MomentumRow:
    """One momentum.

    Args:
        value: the momentum, or beta1.
        best: its best rate, the plateau, and the loss there.
        effective_lr: best rate / (1 - momentum), the length of a step along a constant gradient; None for beta1, whose
            average is not a sum, or without a best rate.
        data: every record.
    """

    TOLD: ClassVar = ("value", "best.lr", "effective_lr", "best.plateau", "best.cell", "data.cells")

    value: float
    best: BestOfRow
    effective_lr: float | None
    data: SurfaceData

    @property
    def cell(self) -> Cell | None:
        """The best cell measured."""
        return self.best.cell


@dataclass(frozen=True, kw_only=True)
class MomentumAnswer(Answer):
    """The effect of momentum.

    Args:
        setting: "momentum" or "beta1".
        own: the problem's own value.
        rows: one per value, smallest first.
        lr: the best rate of the best value.
        schedule, steps: of every lane.
        loss_name: "validation loss" or "training loss".
        facts: what was known of the problem before.
    """

    command = "momentum"
    TOLD = ("setting", "own", "schedule", "steps", "lr", "best", "rows", "loss_name")

    setting: str
    own: float
    rows: tuple[MomentumRow, ...]
    schedule: str
    steps: int
    loss_name: str
    facts: Preflight

    @property
    def best(self) -> MomentumRow | None:
        """Of the rows with a best rate: the most reliable, of those the one with the smallest loss."""
        known = [(r, r.cell) for r in self.rows if r.best.lr.ok and r.cell is not None and r.cell.loss is not None]
        return min(known, key=lambda pair: (-pair[1].reliability, pair[1].loss))[0] if known else None

    @property
    def lr(self) -> Estimate:
        """The best rate at the best momentum."""
        return self.rows[0].best.lr if self.best is None else self.best.best.lr

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        best = self.best
        if best is None or best.cell is None:
            return f"no answer ({self.lr.status.value}): {self.lr.reason}"
        luck = chosen_among(best.cell, sum(c.loss is not None for r in self.rows for c in r.data.cells))
        text = f"{self.setting} {best.value:g} at lr {self.lr.value:.2g}: {self.loss_name} {best.cell.loss:.3g} ({luck})"
        own = next((r for r in self.rows if r.value == self.own), None)
        if own is None or own is best or own.cell is None or own.cell.loss is None:
            return text + (", which is yours" if own is best else "")
        rate = f" at lr {own.best.lr.value:.2g}" if own.best.lr.ok else ""
        spread = best.cell.loss_high
        close = " (within the spread of the seeds)" if spread is not None and own.cell.loss <= spread else ""
        return f"{text}; your {own.value:g}{rate}: {own.cell.loss:.3g}{close}"


@attributed
def momentum(
    problem: Problem,
    *,
    values: Sequence[float] | None = None,
    seeds: int = 3,
    seed: int | None = None,
    options: Options | None = None,
) -> MomentumAnswer:
    """Find the best rate at each momentum, everything else as the problem has it.

    Args:
        problem: what is trained, with an optimizer that has a `momentum`, or `betas` as Adam has them.
        values: default 0, 0.5, 0.9, 0.99 and the problem's own.
        seeds: trainings per rate, the same seeds everywhere.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Raises:
        ProblemError: the optimizer has no momentum; the problem, an argument or an option cannot be used.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    arguments.SEEDS("seeds", seeds)
    if problem.is_loop:
        raise ProblemError(
            "got a training loop of your own; momentum can be set only where etastar makes the optimizer: change the loop "
            "itself"
        )
    with Workplace(options) as place:
        session = place.of(problem)
        setting, own = _setting(session.facts)
        chosen = _values(VALUES if values is None else values, setting, None if values is not None else own)
        designs = [_design(session, setting, value, own, seeds, seed) for value in chosen]
        measured = session.run(Together(designs))
        rows = tuple(_row(setting, value, data) for value, data in zip(chosen, measured, strict=True))
        return _answer(session, setting, own, rows, seed)


def _design(session: Session, setting: str, value: float, own: float, seeds: int, seed: int) -> Surface:
    """The best rate at one momentum; its lattice lies where a constant gradient moves as far as with the rate in use."""
    problem, facts = session.problem, session.facts
    around = (facts.lr or UNKNOWN_LR) * ((1 - value) / (1 - own) if setting == "momentum" else 1.0)
    changed = (setting, value) if setting == "momentum" else ("betas", (value, *facts.defaults["betas"][1:]))
    row = Row(problem.schedule_name, problem.steps, problem.policy, (changed,))
    return Surface(facts.criterion, [row], lattice_around(around), seeds=seeds, seed=seed)


def _answer(session: Session, setting: str, own: float, rows: tuple[MomentumRow, ...], seed: int) -> MomentumAnswer:
    problem, data = session.problem, [row.data for row in rows]
    verdicts = [d.verdicts[0] for d in data]
    flags = {
        "range-extended": any(v.widened for v in verdicts),
        "rows-at-the-edge": any(v.status is Status.EDGE_OF_RANGE for v in verdicts),
    }
    found = [flag for d in data for flag in (*([d.stopped] if d.stopped else []), *d.flags)]
    found += [flag for flag, holds in flags.items() if holds]
    return MomentumAnswer(
        problem=problem.title,
        setting=setting,
        own=own,
        rows=rows,
        schedule=problem.schedule_name,
        steps=problem.steps,
        loss_name="training loss" if problem.valid is None else "validation loss",
        facts=session.facts,
        made=session.made(seed, found),
    )


def _setting(facts: Preflight) -> tuple[str, float]:
    """What this optimizer calls momentum, and its value today."""
    if isinstance(facts.defaults.get("momentum"), (int, float)):
        return "momentum", float(facts.defaults["momentum"])
    betas = facts.defaults.get("betas")
    if isinstance(betas, (tuple, list)) and len(betas) == 2:
        return "beta1", float(betas[0])
    raise ProblemError(
        f"{facts.optimizer} has neither momentum nor betas; expected SGD, RMSprop, or Adam and its kin: choose another with "
        "--optimizer"
    )


def _values(values: Sequence[float], setting: str, own: float | None) -> list[float]:
    for value in arguments.each_once("values", values, "a list of numbers in [0, 1), e.g. 0, 0.9"):
        arguments.MOMENTUM(f"a {setting}", value)
    if not values:
        raise ProblemError(f"no {setting} was given; expected numbers in [0, 1), e.g. --values 0,0.9")
    return sorted({*map(float, values), *([] if own is None else [own])})


def _row(setting: str, value: float, data: SurfaceData) -> MomentumRow:
    best = best_rate(data, SurfaceLaw.fit(data.records), data.verdicts[0])
    effective = best.lr.value / (1 - value) if setting == "momentum" and best.lr.value is not None else None
    return MomentumRow(value, best, effective, data)
