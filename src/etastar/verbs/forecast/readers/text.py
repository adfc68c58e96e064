"""Text that a training loop prints: `step 250: train loss 2.46, val loss 2.47`, `iter 10: loss 3.2, lr 6.0e-04`."""

from __future__ import annotations

import re
from pathlib import Path

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Log, Reader, text_of

PAIR = re.compile(
    r"([A-Za-z][A-Za-z_/]*(?: [A-Za-z][A-Za-z_/]*)?)\s*[:=]?\s*"
    r"([-+]?(?:\d+(?:,\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?|nan|inf))(?![\d.:]*\w)"
)
THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+")
STEP = re.compile(r"\b(?:step|iter|iteration|it|global_step)\b", re.IGNORECASE)
FEWEST = 3


def pairs(line: str) -> dict[str, float | str]:
    """Names and numbers of a line, if it names a step. A comma is of thousands in a step, and leaves others text.

    >>> pairs("step 250: train loss 2.46, val loss 2.47")
    {'step': 250.0, 'train loss': 2.46, 'val loss': 2.47}
    >>> pairs("iter 10: loss 3.2, time 91.2ms, mfu 12.1%, lr 6e-04")
    {'step': 10.0, 'loss': 3.2, 'mfu': 12.1, 'lr': 0.0006}
    >>> pairs("step 1,250: loss nan, tokens 4,096")
    {'step': 1250.0, 'loss': nan, 'tokens': '4,096'}
    >>> pairs("saving checkpoint to out")
    {}
    """
    if not STEP.search(line):
        return {}
    found = {name.lower(): _number(name, text) for name, text in PAIR.findall(line)}
    step = next((name for name in found if STEP.fullmatch(name)), None)
    if step is None:
        return {}
    return {"step": found.pop(step)} | found


def _number(name: str, text: str) -> float | str:
    if STEP.fullmatch(name) and THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return text if "," in text else float(text)


def _recognises(path: Path, head: str) -> bool:
    return sum(len(pairs(line)) > 1 for line in head.splitlines()) >= FEWEST


def read(path: Path) -> Log:
    """The rows of lines that name a step and another number.

    Raises:
        ProblemError: fewer than `FEWEST` of them.
    """
    import pandas as pd

    rows = [row for row in map(pairs, text_of(path).splitlines()) if len(row) > 1]
    if len(rows) < FEWEST:
        raise ProblemError(
            f"the log {str(path)!r} holds {len(rows)} lines with a step and a number; expected such as 'step 250: loss 2.46'"
        )
    return Log(pd.DataFrame(rows), "text")


READER = Reader("text", _recognises, read)
