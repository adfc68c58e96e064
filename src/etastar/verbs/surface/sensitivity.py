"""`sensitivity`: what does the learning rate do? The classic grid, the user's own optimizer, schedule and horizon."""

from __future__ import annotations

from dataclasses import dataclass

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.core.problem import Problem
from etastar.designs.surface.surface import Row, RowVerdict, Surface, SurfaceData, lattice
from etastar.designs.surface.surface_cells import Cell, chosen_among
from etastar.engine.preflight import Preflight
from etastar.errors import attributed
from etastar.verbs.answer import Answer, Yours
from etastar.verbs.options import Options, asked
from etastar.verbs.workplace import Session, Workplace

CLASSIC = (-6.0, 0.0)
"""log10 of the classic grid's ends: 1e-6, 1e-5 ... 1."""


@dataclass(frozen=True, kw_only=True)
class SensitivityAnswer(Answer):
    """What the rate does.

    Args:
        schedule, steps: of every lane.
        lr: the best rate of the grid; its interval reaches to the neighbours on the grid.
        cells: one per rate, lowest first.
        data: every record.
        loss_name: "validation loss" or "training loss".
        yours: the rate in use, beside the best; None if unknown.
        facts: what was known of the problem before.
    """

    command = "sensitivity"
    TOLD = ("schedule", "steps", "lr", "best", "cells", "loss_name", "target_loss", "yours")

    schedule: str
    steps: int
    lr: Estimate
    cells: tuple[Cell, ...]
    data: SurfaceData
    loss_name: str
    yours: Yours | None
    facts: Preflight

    @property
    def best(self) -> Cell | None:
        """The cell with the smallest final loss."""
        alive = [c for c in self.cells if c.loss is not None]
        return min(alive, key=lambda c: (c.loss, c.lr)) if alive else None

    @property
    def target_loss(self) -> float | None:
        """The training loss whose time is measured."""
        return self.data.target

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        best = self.best
        if not self.lr.ok or best is None:
            return f"no answer ({self.lr.status.value}): {self.lr.reason}"
        metric = "" if best.metric is None else f", accuracy {best.metric:.3g}"
        luck = chosen_among(best, sum(c.loss is not None for c in self.cells))
        text = f"best of the grid is {best.lr:.2g} ({self.loss_name} {best.loss:.3g}{metric}; {luck})"
        slow = [c.lr for c in self.cells if c.lr < best.lr and c.trained == 0]
        wild = [c.lr for c in self.cells if c.lr > best.lr and c.trained == 0]
        if slow:
            text += f"; up to {max(slow):.2g} no seed trains within {self.steps} steps"
        if wild:
            text += f"; from {min(wild):.2g} up none does"
        return text + (f"; {self.yours.sentence}" if self.yours else "")


@attributed
def sensitivity(
    problem: Problem,
    *,
    half_decades: bool = False,
    seeds: int = 3,
    seed: int | None = None,
    options: Options | None = None,
) -> SensitivityAnswer:
    """Train at 1e-6, 1e-5 ... 1 with everything else as the problem has it.

    Args:
        problem: what is trained.
        half_decades: also at the rates between.
        seeds: trainings per rate, the same seeds at every rate.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Raises:
        ProblemError: the problem, an argument or an option cannot be used.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    arguments.SEEDS("seeds", seeds)
    arguments.yes_or_no("half_decades", half_decades)
    row = Row(problem.schedule_name, problem.steps, problem.policy)
    rates = lattice(*CLASSIC, 0.5 if half_decades else 1.0)
    with Workplace(options) as place:
        session = place.of(problem)
        design = Surface(session.facts.criterion, [row], rates, seeds=seeds, seed=seed, refine=False, widen=False)
        return _answer(session, session.run(design), row, seed)


def _answer(session: Session, data: SurfaceData, row: Row, seed: int) -> SensitivityAnswer:
    facts = session.facts
    (verdict,) = data.verdicts
    lr = best_of_the_grid(data.cells, verdict)
    stopped = (data.stopped,) if data.stopped else ()
    return SensitivityAnswer(
        problem=session.problem.title,
        schedule=row.schedule,
        steps=row.horizon,
        lr=lr,
        cells=data.cells,
        data=data,
        loss_name="training loss" if session.problem.valid is None else "validation loss",
        yours=_beside(facts.lr, facts.said(facts.lr), lr) if facts.lr else None,
        facts=facts,
        made=session.made(seed, (*stopped, *data.flags)),
    )


def best_of_the_grid(cells: tuple[Cell, ...], verdict: RowVerdict) -> Estimate:
    """The rate with the smallest median loss, its interval between the neighbours on the grid: no law is fitted."""
    n = sum(c.n for c in cells)
    if verdict.status is not Status.OK:
        at_end = verdict.status is Status.EDGE_OF_RANGE
        bound = {"low" if verdict.best == cells[-1].lr else "high": verdict.best} if at_end else {}
        return Estimate.none(verdict.status, verdict.reason, n=n, **bound)
    at = next(i for i, c in enumerate(cells) if c.lr == verdict.best)
    method = "smallest median loss of the grid, between its neighbours"
    return Estimate(cells[at].lr, cells[at - 1].lr, cells[at + 1].lr, n=n, method=method, cost=n * cells[at].horizon)


def _beside(lr: float, said: str, best: Estimate) -> Yours:
    if best.value is None or best.low is None or best.high is None:
        return Yours(lr, "unknown", f"your {said} cannot be judged without a best rate")
    verdict = "too-high" if lr > best.high else "low" if lr < best.low else "plausible"
    ratio = lr / best.value
    return Yours(lr, verdict, f"your {said} is {ratio:.2g} of it: {verdict.replace('-', ' ')}", of_best=ratio)
