"""A log as a `Curve`: which of its losses, at which steps, and the rate of every update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etastar.errors import ProblemError
from etastar.laws.curves.curve import Array, Curve, scatter
from etastar.laws.curves.logged_rates import rates_of_every_update
from etastar.verbs.forecast.columns import Columns, columns_of, numbers
from etastar.verbs.forecast.oddities import changes, without_spikes
from etastar.verbs.forecast.paths import path_trained_last
from etastar.verbs.forecast.ran import Ran
from etastar.verbs.forecast.readers.log import Frame, Log, frame_of
from etastar.verbs.forecast.readers.reading import read_log
from etastar.verbs.forecast.units import in_updates, refuse_ramp

ENOUGH_EVALUATIONS, SOME_EVALUATIONS = 20, 3
"""So many evaluation losses are fitted alone; so many, with the training losses beside them and one offset between."""
BINS = 150
"""Bins of a training loss: 100 to 200 leave the fits of 25M and 100M as they are; a moving average would lag."""
FEWEST = 4
LATE = 3
"""A log whose first row comes after more than this many of its intervals was begun late, or lost its first rows: the hidden
warm-up doubled the error of a forecast of 25M's wsd run (.0018 to .0036 nats)."""


@dataclass(frozen=True)
class Measured:
    """A run as a forecast takes it.

    Args:
        curve: its losses.
        notes: what was taken for what, masked, left out.
        planned: [T] the rates of its own plan, where that was stated.
    """

    curve: Curve
    notes: tuple[str, ...]
    planned: Array | None = field(default=None, repr=False)


def measured(
    source: Any,
    *,
    name: str,
    step: str | None = None,
    rate: str | None = None,
    loss: str | None = None,
    per_step: float | None = None,
    ran: Ran | None = None,
    warmup: int = 0,
    from_step: int = 0,
    until: int | None = None,
    mask: bool = True,
    passes: float | None = None,
) -> Measured:
    """The curve of a log.

    Evaluation losses where there are `ENOUGH_EVALUATIONS`, else training losses in bins: at the level of the evaluation
    losses, and fitted with them, where there are `SOME_EVALUATIONS`. The path trained last counts;
    spikes are masked and listed; changes of level at a steady rate are listed (`from_step` begins after them).

    Args:
        source: path or table, see `read_log`.
        name: of the run.
        step, rate, loss: columns, instead of guessing.
        per_step: how many of what the column of steps counts one update takes.
        ran: what ran, where the log has no rates.
        warmup: updates of a linear warm-up that was over when the log begins.
        from_step: losses before it are left out.
        until: nothing after this step is looked at.
        mask: whether spikes are left out.
        passes: over the data, until the end of the log.

    Raises:
        ProblemError: no log, no rates, numbers that are none, losses that cannot be forecast.
    """
    log = read_log(source)
    columns = columns_of(log.frame, step, rate, loss)
    whole, units = _table(log.frame, columns, per_step)
    table, notes = path_trained_last(whole)
    table = table if until is None else table[table["step"] <= until]
    notes = [*units, *notes, *refuse_ramp(table, from_step)]
    rates, rate_notes = _rates(table, columns, ran, warmup)
    found, how, losses_notes = _losses(table, columns, log, rates, loss is not None)
    found = found[found["step"] >= max(from_step, 1)]
    if len(found) < FEWEST:
        raise ProblemError(
            f"the log of {name!r} has {len(found)} losses from step {from_step} on; a curve needs at least {FEWEST}"
        )
    bad = found[~(np.isfinite(found["loss"]) & (found["loss"] > 0))]
    if len(bad):
        raise ProblemError(
            f"the log of {name!r} has a loss of {bad['loss'].iloc[0]:g} at step {bad['step'].iloc[0]:g}; laws need "
            "losses > 0: cut the log there, or name another loss"
        )
    found, masked = without_spikes(found) if mask else (found, [])
    fields = {"weights": found["weight"], "shifted": found["shifted"]}
    curve = Curve(found["step"], found["loss"], rates, how, passes=passes, name=name, **fields)
    notes = [*notes, *rate_notes, *losses_notes, *_diverged(table, how), *masked]
    said = (*log.notes, columns.sentence, *notes, *changes(curve))
    return Measured(curve, said, ran.rates if ran else None)


def _table(frame: Frame, columns: Columns, per_step: float | None) -> tuple[Frame, list[str]]:
    """Its columns by what they are, steps in updates; and what to say of those."""
    wanted = {"rate": columns.rate, "training": columns.training, "evaluation": columns.evaluation}
    wanted |= {"batch": columns.batch} if columns.batch else {"seen": columns.seen}
    wanted |= {"epoch": columns.epoch}
    steps, notes = in_updates(numbers(frame, columns.step), columns.step, per_step)
    table = frame_of({"step": steps} | {key: numbers(frame, name) for key, name in wanted.items() if name})
    table["step"] = table["step"].ffill() if table["step"].isna().any() and table["step"].notna().any() else table["step"]
    table = table[table["step"].notna() & table.drop(columns=["step", "epoch"], errors="ignore").notna().any(axis=1)]
    if not len(table):
        raise ProblemError(f"no row of the log has both a step ({columns.step!r}) and a number; check the columns")
    return table, notes


def _rates(table: Frame, columns: Columns, ran: Ran | None, warmup: int) -> tuple[Array, list[str]]:
    last = int(np.ceil(table["step"].max()))
    if ran is not None:
        if last > ran.steps:
            raise ProblemError(
                f"the log goes to step {last} and the schedule that ran to {ran.steps}; give its whole horizon"
            )
        return ran.rates[:last], [
            f"rates from what is said to have run: {ran.schedule} at {ran.lr:g} over {ran.steps} steps"
        ]
    if columns.rate is None or not table["rate"].notna().any():
        raise ProblemError(
            "the log has no learning rate; name its column (rate=), or say what ran, e.g. "
            "ran='warmup-cosine:warmup=0.02,floor=0.1', lr=6e-4, horizon=100_000"
        )
    known = table[table["rate"].notna()]
    steps, rates = known["step"].to_numpy(), known["rate"].to_numpy()
    if len(rates) > 1 and rates[-1] == 0 and rates[-2] > rates.max() / 2:  # logged after the last update of a constant rate
        rates = np.append(rates[:-1], rates[-2])
    return rates_of_every_update(steps, rates, max(last, 1), warmup), [] if warmup else _hidden_warmup(steps, rates)


def _hidden_warmup(steps: Array, rates: Array) -> list[str]:
    """What to say of a log that begins late, at its largest rate."""
    if len(steps) < 2 or rates[0] < rates.max() or steps[0] <= LATE * np.median(np.diff(steps)):
        return []
    return [f"the log begins at step {steps[0]:g}, at its largest rate: if a warm-up came before, say its updates (warmup=)"]


def _losses(table: Frame, columns: Columns, log: Log, rates: Array, given: bool) -> tuple[Frame, str, list[str]]:
    """Columns step, loss, weight, shifted; which kind of loss; and what to say of it."""
    total = np.concatenate([[0.0], np.cumsum(rates)])
    own = table[table["evaluation"].notna()] if columns.evaluation else table[:0]
    evaluated = _frame(own["step"], own["evaluation"], np.ones(len(own))) if len(own) else own
    if len(own) and (len(own) >= ENOUGH_EVALUATIONS or columns.training is None or given):
        return evaluated, "validation", []
    trained = _training(table[table["training"].notna()], log, total)
    if len(own) < SOME_EVALUATIONS or not len(trained):
        return trained, "training", []
    return _together(evaluated, trained, total)


def _training(own: Frame, log: Log, total: Array) -> Frame:
    """Training losses, in bins where there are many."""
    steps, losses = own["step"].to_numpy(), own["training"].to_numpy()
    if log.means and len(steps):  # of the rows since the one before: in the middle of their intrinsic time
        before = np.concatenate([[0.0], steps[:-1]])
        steps = _step_at((_total(total, before) + _total(total, steps)) / 2, total)
    return _frame(steps, losses, np.ones(len(steps))) if len(steps) <= 2 * BINS else _binned(steps, losses, total)


def _together(evaluated: Frame, trained: Frame, total: Array) -> tuple[Frame, str, list[str]]:
    """Few evaluation losses, and the training losses at their level: a law fits what is left as one offset.

    The first guess of the offset is the median of what lies between both, in intrinsic time. Training losses, which scatter
    more, count as the inverse of their variance does.
    """
    s = lambda frame: _total(total, frame["step"].to_numpy())
    between = evaluated["loss"] - np.interp(s(evaluated), s(trained), trained["loss"])
    offset = float(np.median(between[np.isfinite(between)])) if np.isfinite(between).any() else np.nan
    moved = trained[~trained["step"].isin(evaluated["step"])].assign(shifted=True)
    moved["loss"] = moved["loss"] + offset
    if not (moved["loss"] > 0).all():  # no number among them, or no level they share
        return trained, "training", []
    noises = [scatter(some["loss"].to_numpy()) for some in (evaluated, moved)]
    moved["weight"] *= float(np.clip((noises[0] / max(noises[1], 1e-12)) ** 2, 1e-4, 1.0))
    note = (
        f"{len(evaluated)} evaluation losses and {len(moved)} training losses are fitted together, with one offset between "
        f"(first guess {offset:+.3g}); the evaluation loss is forecast"
    )
    both = _concatenated(evaluated, moved).sort_values("step").reset_index(drop=True)
    return both, "validation", [note]


def _concatenated(*frames: Frame) -> Frame:
    import pandas as pd

    return pd.concat(frames)


def _diverged(table: Frame, how: str) -> list[str]:
    """What to say of a loss that is no number from a step on."""
    losses = table["evaluation" if how == "validation" else "training"]
    missing = losses.isna()
    if not missing.iloc[-1] or missing.mean() > 0.5:  # a column that other rows do not have
        return []
    step = table["step"][losses.last_valid_index()]
    return [f"the loss is no number after step {step:g}; the curve ends there"]


def _binned(steps: Array, losses: Array, total: Array) -> Frame:
    """Means over bins of equal numbers of steps, at their mean intrinsic time, with weights n / variance."""
    width = (steps[-1] - steps[0] + 1) / BINS
    own = frame_of({"bin": ((steps - steps[0]) // width), "loss": losses, "s": _total(total, steps)}).groupby("bin")
    n, variance = own.size(), own["loss"].var(ddof=1)
    variance = variance.fillna(variance.median()).clip(lower=0.1 * variance.median() or 1.0)
    weight = (n / variance).to_numpy()
    return _frame(_step_at(own["s"].mean().to_numpy(), total), own["loss"].mean().to_numpy(), weight / weight.mean())


def _frame(steps: Any, losses: Any, weights: Any) -> Frame:
    found = frame_of({"step": np.asarray(steps), "loss": np.asarray(losses), "weight": np.asarray(weights)})
    found["step"], found["shifted"] = found["step"].round().astype(np.int64), False
    return found.groupby("step").last().reset_index()


def _total(total: Array, steps: Array) -> Array:
    return np.interp(steps, np.arange(len(total)), total)


def _step_at(s: Array, total: Array) -> Array:
    """Where the sum of rates is s."""
    return np.interp(s, total, np.arange(len(total)))
