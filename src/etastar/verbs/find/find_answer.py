"""What `find` found: its verdict in one line, and the JSON contract."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Outcome, ReadingRow
from etastar.core.told import Range
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.budgeted import Bought
from etastar.designs.eta_star.success_band import RateCount, SuccessBand
from etastar.engine.preflight import Preflight
from etastar.verbs.answer import Answer, GivesRate, GroupRate, per_group
from etastar.verbs.find.budget import lines_of
from etastar.verbs.find.eta_star import bracket
from etastar.verbs.find.judge import Judged

UNMEASURED = ("glance", "budget")
"""Efforts that say nothing of eta*."""


@dataclass(frozen=True, kw_only=True)
class FindAnswer(GivesRate, Answer):
    """What `find` found; its `made.cost` holds full_run_seconds (one ordinary training), too.

    Args:
        effort: glance, quick, thorough or budget.
        schedule, steps: what the rate is best for.
        best: the recommended rate, its interval, the plateau, the reliability there.
        band: eta* and the band of rates that train; None if not measured.
        end: the same for lanes that must still train at the end of their steps; None if not measured.
        yours: the rate in use, judged; None if unknown.
        facts: what was known of the problem before.
        steps_to_start: steps within which a lane had to start to train.
        at: the step from which it is, of a run under way; None for a run from its start.
        watched: a lane of all steps at the recommended rate, which the monitors asked for have read; None without.
        bought: what a budget of the user's bought; None without one.
    """

    command = "find"
    TOLD = (
        "effort", "schedule", "steps", "lr", "lr_per_group", "plateau", "best", "eta_star", "eta_star_90", "eta_star_end",
        "transition_width", "lower_edge", "rates", "criterion", "steps_to_start", "yours", "yours_per_group",
        "readings", "bought", "advice", "at",
    )  # fmt: skip

    effort: str
    schedule: str
    steps: int
    best: BestRate
    band: SuccessBand | None
    end: SuccessBand | None
    yours: Judged | None
    facts: Preflight
    steps_to_start: int
    watched: Outcome | None = None
    bought: Bought | None = None
    at: int | None = None

    @property
    def readings(self) -> tuple[ReadingRow, ...]:
        """What monitors read of that lane."""
        return self.watched.readings if self.watched else ()

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do where a budget has not decided, a line each."""
        if self.bought is None or self.lr.ok:
            return ()
        return lines_of(self.bought, self.steps, self.facts.seconds_per_step)

    @property
    def lr(self) -> Estimate:
        """The recommended rate; its interval is that of the optimum."""
        return self.best.lr

    @property
    def lr_per_group(self) -> tuple[GroupRate, ...]:
        """The groups' rates at the recommended one."""
        return per_group(self.facts.groups, self.lr)

    @property
    def yours_per_group(self) -> tuple[GroupRate, ...]:
        """The groups' rates today."""
        return per_group(self.facts.groups, self.yours.lr if self.yours else None)

    @property
    def plateau(self) -> Range | None:
        """Rates expected within 0.05 nats or 1 % of the best."""
        return Range(*self.best.plateau) if self.best.plateau else None

    @property
    def criterion(self) -> str:
        """When a lane has started to train, in words."""
        return self.facts.criterion.sentence()

    @property
    def rates(self) -> tuple[RateCount, ...]:
        """What happened at each rate of the measurement of eta*."""
        return self.band.rates if self.band else ()

    @property
    def lower_edge(self) -> float | None:
        """Lowest rate that trains, of those seen."""
        return self.band.lower_edge if self.band else None

    @property
    def eta_star_90(self) -> Estimate:
        """The rate at which nine of ten fresh seeds train."""
        return self.band.eta_star_90 if self.band else _not_measured("eta*_90")

    @property
    def transition_width(self) -> Estimate:
        """Decades from 90 % to 10 %."""
        return self.band.width if self.band else _not_measured("the transition")

    @property
    def eta_star(self) -> Estimate:
        """eta*, the 50 % point of the upper flank; bounds without a value where it was not measured."""
        if self.band:
            return self.band.eta_star
        if self.at is not None:
            return Estimate.none(Status.NOT_MEASURED, "eta* is of fresh networks; this run is under way")
        if self.effort in UNMEASURED:
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
            over = f"{self.steps} steps" if self.at is None else f"the {self.steps} steps after step {self.at}"
            parts.append(f"use {self.lr.value:.2g} {interval}{rates} ({self.schedule}, {over}{self._from})")
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

    @property
    def _from(self) -> str:
        """The lanes that a budget bought."""
        bought = self.bought
        return f", from {bought.lanes} lanes of {1 / bought.extrapolation:.2g} of them" if bought else ""


def _not_measured(what: str) -> Estimate:
    return Estimate.none(Status.NOT_MEASURED, f"{what} is measured with effort=thorough, and only once eta* is known")
