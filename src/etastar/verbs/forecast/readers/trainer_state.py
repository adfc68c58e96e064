"""Transformers' trainer_state.json: rows of training and of evaluation, mixed."""

from __future__ import annotations

import json
from pathlib import Path

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Log, Reader, text_of

NOTE = (
    "Transformers logs the mean training loss since the row before, and (in older versions) the rate of the next step: "
    "losses are placed in the middle of their rows"
)


def _recognises(path: Path, head: str) -> bool:
    return path.name.startswith("trainer_state") or '"log_history"' in head


def read(path: Path) -> Log:
    """The rows of its `log_history`; the summary at the end of training is none.

    Raises:
        ProblemError: no such history.
    """
    import pandas as pd

    try:
        history = json.loads(text_of(path))["log_history"]
        rows = [row for row in history if "loss" in row or any(key.startswith("eval") for key in row)]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ProblemError(
            f"{str(path)!r} has no log_history; expected a trainer_state.json as Transformers saves it"
        ) from None
    if not rows:
        raise ProblemError(f"the log_history of {str(path)!r} holds no loss; train with logging_steps set")
    return Log(pd.DataFrame(rows), "Transformers' trainer_state.json", (NOTE,), means=True)


READER = Reader("Transformers' trainer_state.json", _recognises, read)
