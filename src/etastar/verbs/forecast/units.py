"""What a log counts in (updates, tokens, samples, epochs), and whether an update always took as many of them."""

from __future__ import annotations

import re

import numpy as np

from etastar.errors import ProblemError
from etastar.laws.curves.curve import Array
from etastar.verbs.forecast.readers.log import Frame

NOT_UPDATES = re.compile(r"(^|[/_\-. ])(tokens|samples|examples|images)([/_\-. ]|$)", re.IGNORECASE)
EPOCHS = re.compile(r"(^|[/_\-. ])epochs?([/_\-. ]|$)", re.IGNORECASE)
MOST_UPDATES = 10**8
"""The rate of every update is kept: 0.8 GB for so many. Nobody made more, so that a log which goes further counts something
else."""
OTHER_BATCH, SCATTER = 0.05, 8.0
"""Relative change of the batch from one row to the next that is a ramp, if it stands out by so many robust standard
deviations: sequences of several lengths make tokens of an update vary."""
FEWEST_BATCHES = 4


def in_updates(steps: Frame, name: str, per_step: float | None) -> tuple[Frame, list[str]]:
    """The column of steps in updates, and what to say of it.

    Args:
        steps: the column.
        name: its own.
        per_step: how many of what it counts one update takes.

    Raises:
        ProblemError: it counts something else, and nobody has said how many an update takes.

    >>> import pandas as pd
    >>> in_updates(pd.Series([4096.0, 8192.0]), "tokens", 1024)
    (0    4.0
    1    8.0
    dtype: float64, ["'tokens' counted in updates of 1024"])
    """
    ask = "say how many an update takes (per_step=, --per-step)"
    if per_step is not None:
        steps, notes = steps / per_step, [f"{name!r} counted in updates of {per_step:g}"]
    elif NOT_UPDATES.search(name):
        raise ProblemError(f"the log counts in {name!r}, and a law in updates; {ask}, e.g. 524288 tokens")
    elif EPOCHS.search(name) and (steps.dropna() % 1 != 0).any():
        raise ProblemError(
            f"the log counts in parts of {name!r}, and a law in updates; {ask}, e.g. 0.001 for 1,000 an epoch"
        )
    else:
        notes = []
    if steps.max() > MOST_UPDATES:
        raise ProblemError(f"the log goes to update {steps.max():.3g} by {name!r}; if it counts tokens or samples, {ask}")
    return steps, notes


def refuse_ramp(table: Frame, from_step: int) -> list[str]:
    """What to say of a batch that changed before `from_step`.

    Args:
        table: columns "step" and "batch" (or "seen": what had been seen by then), NaN where a row does not say.

    Raises:
        ProblemError: it changed after that; the noise in a loss follows the batch, and no law here knows it.
    """
    steps, batch = _batches(table)
    if len(batch) < FEWEST_BATCHES:
        return []
    around = np.lib.stride_tricks.sliding_window_view(np.pad(batch, 1, mode="reflect"), 3)
    batch = np.median(around, axis=1)  # one odd batch is none of the run
    change = np.abs(np.diff(batch))
    at = np.flatnonzero(change > np.maximum(OTHER_BATCH * batch[:-1], SCATTER * 1.4826 * np.median(change)))
    if not len(at):
        return []
    last = at[-1] + 1
    begins = int(steps[last])
    said = f"the batch changes {len(at)} time{'s' if len(at) > 1 else ''}, last from {batch[last - 1]:g} to {batch[last]:g}"
    if begins > from_step:
        raise ProblemError(f"{said} by step {begins}; a law holds for one batch: forecast from there (from_step={begins})")
    return [f"{said} by step {begins}: rates before it count as those after it, though noise follows the batch"]


def _batches(table: Frame) -> tuple[Array, Array]:
    """(steps, batch) of the rows that say it."""
    if "batch" in table:
        known = table[table["batch"].notna()]
        return known["step"].to_numpy(), known["batch"].to_numpy()
    if "seen" in table:
        known = table[table["seen"].notna()]
        steps = known["step"].to_numpy()
        return steps[1:], np.diff(known["seen"].to_numpy()) / np.diff(steps)
    return np.zeros(0), np.zeros(0)
