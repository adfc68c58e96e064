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
    "step",
    "global_step",
    "trainer/global_step",
    "train/global_step",
    "_step",
    "iteration",
    "iter",
    "update",
    "tokens",
    "samples",
)
RATE = re.compile(r"(^|[/_\-. ])(lr|learning[_ ]?rate)([/_\-. ]|$)", re.IGNORECASE)
LOSS = re.compile(r"(^|[/_\-. ])loss([/_\-. ]|$)", re.IGNORECASE)
EVALUATION = re.compile(r"(^|[/_\-. ])(val|valid|validation|eval|evaluation|dev|test)([/_\-. ]|$)", re.IGNORECASE)
BATCH = re.compile(r"(^|[/_\-. ])batch[_ ]?size$", re.IGNORECASE)
OF_AN_EPOCH = re.compile(r"_epoch$", re.IGNORECASE)
RATIO_SPREAD = 1e-3
"""Relative: rates of groups whose ratio varies by no more than this are in a fixed ratio, and count as one."""


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where there is none. `batch` is its size, `seen` what was seen so far, beside the steps."""

    step: str
    rate: str | None
    training: str | None
    evaluation: str | None
    batch: str | None = None
    seen: str | None = None

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
    losses = [loss] if loss else [n for n in names if LOSS.search(n)]
    evaluation = [n for n in losses if EVALUATION.search(n)]
    training = sorted((n for n in losses if n not in evaluation), key=lambda n: bool(OF_AN_EPOCH.search(n)))
    lowered = {n.lower(): n for n in names}
    found = step or next((lowered[n] for n in STEP if n in lowered), None) or (lowered.get("epoch") if losses else None)
    if found is None:
        raise ProblemError(f"the log has no column of steps among {', '.join(names)}; name it (step=, --step)")
    if not losses:
        raise ProblemError(f"the log has no column of losses among {', '.join(names)}; name it (loss=, --loss)")
    first = lambda some: some[0] if some else None
    rate = rate or _rate(frame, [n for n in names if RATE.search(n)])
    batch, seen = (first([n for n in names if kind.search(n) and n != found]) for kind in (BATCH, NOT_UPDATES))
    return Columns(found, rate, first(training), first(evaluation), batch, seen)


def _rate(frame: Frame, names: Sequence[str]) -> str | None:
    """The column of rates; of several groups in a fixed ratio the first."""
    for other in names[1:]:
        both = frame[[names[0], other]].dropna()
        ratio = both[other] / both[names[0]].where(both[names[0]] > 0)
        if ratio.max() - ratio.min() > RATIO_SPREAD * abs(ratio.mean()):
            raise ProblemError(
                f"the rates {names[0]!r} and {other!r} change apart, and a law follows one; name the one that trains most "
                "of the network (rate=, --rate)"
            )
    return names[0] if names else None


def numbers(frame: Frame, name: str) -> Frame:
    """A column as numbers, NaN where a row has none.

    Raises:
        ProblemError: something in it is no number.
    """
    import pandas as pd

    found = cast(Frame, pd.to_numeric(frame[name], errors="coerce"))
    wrong = frame[name][found.isna() & frame[name].notna()]
    wrong = wrong[~wrong.astype(str).str.strip().str.lower().isin(("", "nan", "none", "null", "inf", "-inf"))]
    if len(wrong):
        advice = "divide by 100 and drop the percent signs" if "%" in str(wrong.iloc[0]) else "leave such rows out"
        raise ProblemError(f"the column {name!r} holds {str(wrong.iloc[0])!r}, which is no number; {advice}")
    return found.astype(float)
