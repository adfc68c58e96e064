"""Which column of a log is the step, the rate, the training loss and the evaluation loss: guessed, and said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Frame
from etastar.verbs.forecast.units import NOT_UPDATES

STEP = (
    "global_step",
    "trainer/global_step",
    "train/global_step",
    "step",
    "_step",
    "iteration",
    "iter",
    "update",
    "tokens",
    "samples",
)
"""In this order: beside a global step, a step may begin again with each epoch."""
RATE = re.compile(r"(^|[/_\-. ])(lr|learning[_ ]?rate)([/_\-. ]|$)", re.IGNORECASE)
NO_RATE = re.compile(r"momentum|decay|beta", re.IGNORECASE)
LOSS = re.compile(r"(^|[/_\-. ])loss([/_\-. ]|$)", re.IGNORECASE)
NO_LOSS = re.compile(r"(^|[/_\-. ])loss[_ ](scale|scaler|weight|std|var|count|ratio)$", re.IGNORECASE)
PLAIN = re.compile(
    r"([/_\-. ]|loss|train|training|val|valid|validation|eval|evaluation|dev|test|total|lm|step|epoch)+", re.IGNORECASE
)
"""Names of a loss that is no part of another, nor a moving average of one (which lags)."""
EVALUATION = re.compile(r"(^|[/_\-. ])(val|valid|validation|eval|evaluation|dev|test)([/_\-. ]|$)", re.IGNORECASE)
BATCH = re.compile(r"(^|[/_\-. ])batch[_ ]?size$", re.IGNORECASE)
OF_AN_EPOCH = re.compile(r"_epoch$", re.IGNORECASE)
RATIO_SPREAD = 1e-3
"""Relative: rates of groups whose ratio varies by no more than this are in a fixed ratio, and count as one."""


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where there is none.

    Beside the steps: `batch` is its size, `seen` what was seen so far, `epoch` the pass over the data.
    """

    step: str
    rate: str | None
    training: str | None
    evaluation: str | None
    batch: str | None = None
    seen: str | None = None
    epoch: str | None = None

    @property
    def sentence(self) -> str:
        """What was taken for what."""
        names = {"rate": self.rate, "training loss": self.training, "evaluation loss": self.evaluation}
        return f"steps from {self.step!r}, " + ", ".join(f"{k} from {v!r}" if v else f"no {k}" for k, v in names.items())


def columns_of(frame: Frame, step: str | None = None, rate: str | None = None, loss: str | None = None) -> Columns:
    """The columns by their usual names, or those that are given.

    Args:
        frame: of a log.
        step, rate, loss: names that are given; a given loss is an evaluation loss if its name says so.

    Raises:
        ProblemError: a given column is not there; there is no step or no loss; rates of groups that change apart.

    >>> import pandas as pd
    >>> columns_of(pd.DataFrame(columns=["step", "lr-AdamW", "train_loss_step", "train_loss_epoch", "val_loss"])).sentence
    "steps from 'step', rate from 'lr-AdamW', training loss from 'train_loss_step', evaluation loss from 'val_loss'"
    """
    names = [str(name) for name in frame.columns]
    for what, given in (("step", step), ("rate", rate), ("loss", loss)):
        if given is not None and given not in names:
            raise ProblemError(f"the log has no column {shown(given)} for the {what}; it has {', '.join(names)}")
    losses = [loss] if loss else [n for n in names if LOSS.search(n) and not NO_LOSS.search(n)]
    evaluation = _whole([n for n in losses if EVALUATION.search(n)])
    training = _whole([n for n in losses if not EVALUATION.search(n)], bool(evaluation))
    lowered = {n.lower(): n for n in names}
    found = step or next((lowered[n] for n in STEP if n in lowered), None) or (lowered.get("epoch") if losses else None)
    if found is None:
        raise ProblemError(f"the log has no column of steps among {', '.join(names)}; name it (step=, --step)")
    if not losses:
        raise ProblemError(f"the log has no column of losses among {', '.join(names)}; name it (loss=, --loss)")
    first = lambda some: some[0] if some else None
    rate = rate or _rate(frame, [n for n in names if RATE.search(n) and not NO_RATE.search(n)])
    batch, seen = (first([n for n in names if kind.search(n) and n != found]) for kind in (BATCH, NOT_UPDATES))
    epoch = next((n for n in names if n.lower() == "epoch" and n != found), None)
    return Columns(found, rate, first(training), first(evaluation), batch, seen, epoch)


def _whole(names: Sequence[str], spare: bool = False) -> list[str]:
    """Those that are no part of a loss, by step before by epoch; `spare`: none will do, too."""
    plain = [n for n in names if PLAIN.fullmatch(n)]
    if len(names) > 1 and not plain:
        if spare:
            return []
        raise ProblemError(
            f"the log has the losses {', '.join(map(repr, names))}, of several runs or of several parts; name one "
            "(loss=, --loss)"
        )
    return sorted(plain or names, key=lambda n: bool(OF_AN_EPOCH.search(n)))


def _rate(frame: Frame, names: Sequence[str]) -> str | None:
    """The column of rates; of several groups in a fixed ratio the first that is not frozen."""
    if len(names) < 2:
        return names[0] if names else None
    rates = {name: numbers(frame, name) for name in names}
    first, *others = [name for name in names if rates[name].max() > 0] or names
    for other in others:
        ratio = (rates[other] / rates[first].where(rates[first] > 0)).dropna()
        if ratio.max() - ratio.min() > RATIO_SPREAD * abs(ratio.mean()):
            raise ProblemError(
                f"the rates {first!r} and {other!r} change apart, and a law follows one; name the one that trains most "
                "of the network (rate=, --rate)"
            )
    return first


def numbers(frame: Frame, name: str) -> Frame:
    """A column as numbers, NaN where a row has none.

    Raises:
        ProblemError: something in it is no number.
    """
    import pandas as pd

    column = frame[name]
    if column.dtype == object:  # a loop's own list of tensors
        column = column.map(lambda x: x.item() if getattr(x, "ndim", None) == 0 else x)
    listed = column.map(lambda x: isinstance(x, (list, tuple, dict)))
    found = cast(Frame, pd.to_numeric(column.mask(listed), errors="coerce"))
    wrong = column[found.isna() & column.notna()]
    wrong = wrong[~wrong.astype(str).str.strip().str.lower().isin(("", "nan", "none", "null", "inf", "-inf"))]
    if len(wrong):
        text = str(wrong.iloc[0])
        raise ProblemError(f"the column {name!r} holds {shown(text)}, which is no number; {_remedy(text)}")
    return found.astype(float)


def _remedy(text: str) -> str:
    if "%" in text:
        return "divide by 100 and drop the percent signs"
    return (
        "write decimals with a point, and thousands without a comma" if re.search(r"\d,\d", text) else "leave such rows out"
    )
