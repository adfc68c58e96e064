"""What was trained last: a log of a run that was resumed holds steps twice, of which the later ones count."""

from __future__ import annotations

from typing import Any

import numpy as np

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Frame

LOSSES = ("loss", "training", "evaluation")
MOST_RESUMED = 20
"""A log whose steps go back more often, and in more than a tenth of its rows, is no log of one run."""

RESTARTS = 2
"""Where a log without epochs begins again at its first step so often, and goes back nowhere else, steps count within one."""


def path_trained_last(frame: Frame) -> tuple[Frame, list[str]]:
    """One row for each step, rising, of the path that was trained last; and sentences about what was left out.

    Args:
        frame: columns "step" and quantities, in the order in which rows were written.

    Raises:
        ProblemError: steps of two runs, mixed; steps that count within an epoch; steps that only fall.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"step": [1.0, 2, 3, 2, 3, 4], "loss": [9.0, 8, 7, 6, 5, 4]})
    >>> found, notes = path_trained_last(rows)
    >>> found["loss"].tolist(), notes
    ([9.0, 6.0, 5.0, 4.0], ['resumed at step 2: what was trained beyond it before is left out'])
    """
    steps = frame["step"].to_numpy()
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if len(steps) > 2 and len(back) == len(steps) - 1:
        raise ProblemError(f"the steps fall from {steps[0]:g} to {steps[-1]:g}; sort the rows by step")
    _refuse_epochs(frame, back)
    if len(back) > MOST_RESUMED and len(back) > len(steps) / 10:
        raise ProblemError(
            f"the steps go back {len(back)} times in {len(steps)} rows: two runs mixed, or rows out of order; give one run, "
            "sorted by step"
        )
    _refuse_two_runs(frame)
    least_after = np.minimum.accumulate(steps[::-1])[::-1]
    kept = frame[steps <= least_after]
    notes = [f"resumed at step {steps[i]:g}: what was trained beyond it before is left out" for i in back]
    return kept.groupby("step", sort=True).last().reset_index(), notes


def _refuse_epochs(frame: Frame, back: Any) -> None:
    """Steps that begin again while the epoch goes on, or at their first again and again, count within an epoch."""
    steps = frame["step"].to_numpy()
    begun = back[steps[back] <= steps[0]]
    epochs = frame["epoch"].to_numpy() if "epoch" in frame else np.zeros(len(steps))
    gone_on = (epochs[back] > epochs[back - 1]).any()
    alike = 0 < len(begun) == len(back) and (len(begun) >= RESTARTS or steps[back[0] - 1] == steps[-1])
    if gone_on or ("epoch" not in frame and alike):
        raise ProblemError(
            f"the steps begin again (at {steps[back[0]]:g} after {steps[back[0] - 1]:g}, {len(back)} in all): they count "
            "within an epoch, or several runs are in one log; name a column that goes on (step=, --step), or give one run"
        )


def _refuse_two_runs(frame: Frame) -> None:
    """Two losses at one step, one row after the other, again and again."""
    for name in frame.columns.intersection(LOSSES):
        own = frame[["step", name]].dropna()
        twice = (own["step"].diff() == 0) & (own[name].diff() != 0)
        if len(own) > 3 and twice.mean() > 0.1:
            step = own["step"][twice].iloc[0]
            raise ProblemError(f"the log has several losses at step {step:g} and others: two runs mixed; give one run a log")
