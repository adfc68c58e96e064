"""`StepLog`: a logger that writes a line of JSON for every step, as `forecast` reads it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import distributed

from etastar.arguments import path as checked_path
from etastar.errors import ProblemError

WRITTEN = ("lr", "loss", "valid_loss")


@dataclass(frozen=True)
class StepLog:
    """A `Logger` that appends to a file: step, rate, and the losses that the loop told of that step.

    A run that is resumed goes on in the same file, with the steps it trains again: who reads it takes those trained last. Of
    several ranks the first writes.

    Args:
        path: of the file; its folder exists.

    Raises:
        ProblemError: it cannot be written.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(checked_path("the log", path, "runs/train.jsonl")))
        self._append("")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One step of the optimizer, from 0: how many were made then, the rate and the losses told; of them no NaN."""
        known = {name: float(values[name]) for name in WRITTEN if name in values and math.isfinite(values[name])}
        self._append(json.dumps({"step": step + 1} | known) + "\n")

    def image(self, step: int, name: str, png: bytes) -> None:
        """Nothing: a table of numbers has no place for it."""

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
