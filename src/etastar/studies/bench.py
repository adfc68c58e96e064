"""`Bench`: what a study measures with: lanes through the store, within what is left of the time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from etastar.core.estimate import Z90, Estimate, Status, log_error
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness
from etastar.core.told import told
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.eta_star.eta_star import Precision
from etastar.probes.reading import Probe
from etastar.probes.start import starting_point
from etastar.verbs.find.eta_star import start_design
from etastar.verbs.workplace import Session, Workplace

Row = dict[str, Any]


class OutOfTime(Exception):
    """The time limit was reached within a measurement; its lanes are stored, its row is not."""


@dataclass
class Bench:
    """Measures rows.

    Args:
        place: where; its time limit is that of all rows.
        folder: of the record; None where nothing is kept beside it.
        rows: those before the one that is measured, in the order of the plan: a measurement may build on them.
    """

    place: Workplace
    folder: Path | None = None
    new_gradient_steps: int = 0
    rows: list[Row] = field(default_factory=list)

    def check_time(self) -> None:
        """Raise `OutOfTime` when nothing may be begun any more."""
        if self.place.late():
            raise OutOfTime

    def eta_star(self, problem: Problem, *, seeds: Sequence[int], precision: Precision) -> Row:
        """eta* of `problem`, measured once per seed from fresh lanes; `eta_star` is their geometric mean.

        Where most of the measurements have no answer there is none, and `status` says which.
        """
        session = self._session(problem)
        designs = [start_design(session, problem.steps, precision, seed) for seed in seeds]
        session.plan(*(design.planned() for design in designs))
        estimates = [self._not_cut(session.run(design).eta_star) for design in designs]
        return {**combine(estimates), **self._cost(session)}

    def best_rate(self, problem: Problem, *, start: float, seed: int, within: float = 0.15) -> Row:
        """The rate with the smallest validation loss after all steps, climbing from `start` on the same three seeds."""
        session = self._session(problem)
        found = session.run(FullLength(session.facts.criterion, problem.steps, start=start, within=within, seed=seed))
        self._not_cut(found.lr)
        return {"best": _estimate_row(found.lr), "rungs": told(found.rungs), **self._cost(session)}

    def probe(self, problem: Problem, probe: Probe, *, seeds: Sequence[int], samples: int = 256) -> Row:
        """What `probe` reads at fresh initialisations, one a seed, in the problem's own precision."""
        readings = []
        for seed in seeds:
            self.check_time()
            with isolated_randomness():
                readings.append(probe(starting_point(problem, seed, samples=samples, device=self.place.options.device)))
        values = [r.value for r in readings if r.value is not None]
        return {
            "values": values,
            "value": _geometric_mean(values),
            "reason": next((r.estimate.reason for r in readings), ""),
        }

    # -- inside ------------------------------------------------------------------------------------------------------

    def _session(self, problem: Problem) -> Session:
        self.check_time()
        return self.place.of(problem)

    def _cost(self, session: Session) -> Row:
        """What a row cost; its worker processes end here, so that their CPU time is counted with it."""
        session.crew.rest()
        cost = session.cost()
        self.new_gradient_steps += int(cost["new_gradient_steps"])
        return {"lanes": len(session.runs), "gradient_steps": int(cost["gradient_steps"]), "engine": session.engine.name}

    def _not_cut(self, estimate: Estimate) -> Estimate:
        if "time-limit" in estimate.flags or estimate.status is Status.NOT_MEASURED:
            raise OutOfTime
        return estimate


def combine(estimates: Sequence[Estimate]) -> Row:
    """Several measurements of one eta* as a row: geometric mean, and a 90 % interval of that mean.

    Its standard error is the larger of what the measurements say themselves and what they scatter.

    >>> row = combine([Estimate(0.9, 0.8, 1.0), Estimate(1.1, 1.0, 1.2)])
    >>> row["status"], round(row["eta_star"], 3), row["low"] < 0.9
    ('ok', 0.995, True)
    """
    good = [e for e in estimates if e.ok]
    row: Row = {"estimates": [_estimate_row(e) for e in estimates]}
    if 2 * len(good) <= len(estimates):
        bad = next(e for e in estimates if not e.ok)
        return {**row, "status": bad.status.value, "reason": bad.reason, "eta_star": None, "low": None, "high": None}
    logs = [math.log10(e.require()) for e in good]
    own = statistics.fmean(log_error(e.low, e.high) ** 2 for e in good) / len(good)
    seen = statistics.variance(logs) / len(logs) if len(logs) > 1 else 0.0
    middle, half = statistics.fmean(logs), Z90 * math.sqrt(max(own, seen))
    status = {"status": "ok", "reason": ""}
    return {**row, **status, "eta_star": 10**middle, "low": 10 ** (middle - half), "high": 10 ** (middle + half)}


def seeds_of(row: Row) -> list[float]:
    """The single measurements of eta* in a row, NaN where there is none."""
    return [math.nan if e["value"] is None else e["value"] for e in row["estimates"]]


def _estimate_row(e: Estimate) -> Row:
    return {
        "value": e.value, "low": e.low, "high": e.high, "status": e.status.value, "reason": e.reason, "n": e.n,
        "flags": list(e.flags),
    }  # fmt: skip


def _geometric_mean(values: Sequence[float]) -> float | None:
    if not values or min(values) <= 0:
        return None
    return float(torch.tensor(values, dtype=torch.float64).log().mean().exp())
