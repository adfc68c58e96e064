"""`StepLog`: a line of JSON for every step that counted, as `forecast` reads it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from torch import distributed

from etastar.arguments import path as checked_path
from etastar.errors import ProblemError


@dataclass(frozen=True)
class StepLog:
    """Appends to a file: step, rate, and what the loop told of that step.

    A run that is resumed goes on in the same file, with the steps it trains again: who reads it takes those trained last. Of
    several ranks the first writes.

    Args:
        path: of the file; its folder exists.

    Raises:
        ProblemError: it cannot be written.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(checked_path("log", path, "runs/train.jsonl")))
        self._append("")

    def row(self, step: int, lr: float, **losses: float) -> None:
        """One step: `step` updates were made, the last one at `lr`; a loss that is no number is left out."""
        known = {name: loss for name, loss in losses.items() if math.isfinite(loss)}
        self._append(json.dumps({"step": step, "lr": float(lr)} | known) + "\n")

    def _append(self, text: str) -> None:
        if distributed.is_available() and distributed.is_initialized() and distributed.get_rank():
            return
        try:
            with self.path.open("a") as file:
                file.write(text)
        except OSError as error:
            raise ProblemError(
                f"the log {str(self.path)!r} cannot be written ({error.strerror}); expected a file in a folder that exists"
            ) from None
