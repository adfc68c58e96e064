"""What `find` found: its verdict in one line, and the JSON contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Outcome, Runs
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight
from etastar.verbs.find.eta_star import bracket
from etastar.verbs.find.judge import Yours
from etastar.verbs.finite import finite
from etastar.version import __version__


@dataclass(frozen=True)
class FindAnswer:
    """What `find` found; `to_json()` is the same in the contract's form.

    Args:
        problem: its name.
        effort: glance, quick or thorough.
        schedule, steps: what the rate is best for.
        best: the recommended rate, its interval, the plateau, the reliability there.
        lr_per_group: (group, rate) at the recommended rate.
        band: eta* and the band of rates that train; None if not measured.
        end: the same for lanes that must still train at the end of their steps; None if not measured.
        yours: the rate in use, judged; None if unknown.
        cost: gradient_steps, new_gradient_steps, validation_steps (three forward passes count as one), full_runs (of both),
            seconds, full_run_seconds (one ordinary training).
        flags: keys of `etastar.FLAGS`.
        runs: every lane's outcome.
        facts: what was known of the problem before.
        steps_to_start: steps within which a lane had to start to train.
        engine, choice, seed, environment: with what it was measured; `choice` is how the engine was chosen.
        watched: a lane of all steps at the recommended rate, which the monitors asked for have read; None without.
    """

    problem: str
    effort: str
    schedule: str
    steps: int
    best: BestRate
    lr_per_group: tuple[tuple[str, float], ...]
    band: SuccessBand | None
    end: SuccessBand | None
    yours: Yours | None
    cost: dict[str, float]
    flags: tuple[str, ...]
    runs: Runs
    facts: Preflight
    steps_to_start: int
    engine: str
    choice: Choice
    seed: int
    environment: dict[str, Any]
    watched: Outcome | None = None

    @property
    def lr(self) -> Estimate:
        """The recommended rate; its interval is that of the optimum."""
        return self.best.lr

    @property
    def eta_star(self) -> Estimate:
        """eta*, the 50 % point of the upper flank; bounds without a value where it was not measured."""
        if self.band:
            return self.band.eta_star
        if self.effort == "glance":
            return Estimate.none(Status.NOT_MEASURED, "eta* is bracketed with effort=quick, measured with effort=thorough")
        return bracket(self.runs, self.steps_to_start)

    @property
    def eta_star_end(self) -> Estimate:
        """The same for lanes that still train at the end of their steps."""
        return self.end.eta_star if self.end else _not_measured("eta*_end")

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        parts = []
        if self.lr.ok:
            interval = f"[{self.lr.low:.2g}, {self.lr.high:.2g}]"
            own = self.facts.said(self.lr.require())
            rates = f" = {own}" if "(" in own else ""
            parts.append(f"use {self.lr.value:.2g} {interval}{rates} ({self.schedule}, {self.steps} steps)")
        else:
            parts.append(f"no answer ({self.lr.status.value}): {self.lr.reason}")
        eta_star = self.eta_star
        if eta_star.ok:
            parts.append(f"eta* = {eta_star.value:.3g} [{eta_star.low:.3g}, {eta_star.high:.3g}]")
        elif self.band:
            parts.append(f"no eta* ({eta_star.status.value}): {eta_star.reason}")
        if self.yours and self.yours.verdict != "unknown":
            parts.append(self.yours.sentence)
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The JSON contract, with NaN and infinities as null."""
        return finite(
            {
                "etastar": __version__,
                "command": "find",
                "problem": self.problem,
                "summary": self.summary,
                "effort": self.effort,
                "schedule": self.schedule,
                "steps": self.steps,
                "lr": self.lr.to_json(),
                "lr_per_group": self._per_group(self.lr.require()) if self.lr.ok else [],
                "plateau": dict(zip(("low", "high"), self.best.plateau, strict=True)) if self.best.plateau else None,
                "best": self.best.to_json(),
                "eta_star": self.eta_star.to_json(),
                **self._band_json(),
                "eta_star_end": self.eta_star_end.to_json(),
                "yours": {**vars(self.yours), "per_group": self._per_group(self.yours.lr)} if self.yours else None,
                "optimizer": self.facts.optimizer,
                "cost": self.cost,
                "flags": list(self.flags),
                "raised": self.runs.raised_json(),
                "engine": self.engine,
                "engine_choice": self.choice.to_json(),
                "seed": self.seed,
                "environment": self.environment,
                "watched": self._watched_json(),
            }
        )

    def _per_group(self, lr: float) -> list[dict[str, Any]]:
        return [{"group": group.name, "lr": lr * group.multiplier} for group in self.facts.groups]

    def _watched_json(self) -> dict[str, Any] | None:
        if self.watched is None:
            return None
        lane, readings = self.watched.lane, [vars(reading) for reading in self.watched.readings]
        return {"lr": lane.lr, "seed": lane.seed, "status": self.watched.status.value, "readings": readings}

    def _band_json(self) -> dict[str, Any]:
        band, criterion = self.band, self.facts.criterion
        rates = band.rates if band else ()
        return {
            "eta_star_90": (band.eta_star_90 if band else _not_measured("eta*_90")).to_json(),
            "transition_width": (band.width if band else _not_measured("the transition")).to_json(),
            "lower_edge": band.lower_edge if band else None,
            "criterion": {"sentence": criterion.sentence(), "steps": self.steps_to_start},
            "rates": [vars(rate) for rate in rates],
        }


def _not_measured(what: str) -> Estimate:
    return Estimate.none(Status.NOT_MEASURED, f"{what} is measured with effort=thorough, and only once eta* is known")
