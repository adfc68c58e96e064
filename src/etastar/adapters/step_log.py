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


@dataclass(frozen=True)
class StepLog:
    """A `Logger` that appends to a file: the step, counted from 1, its rates and what the loop told of it.

    A run that is resumed goes on in the same file, with the steps it trains again: who reads it takes those trained last. Of
    several ranks the first writes. Charts are not kept.

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
        """Numbers by name; one that is not finite is left out."""
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        self._append(json.dumps({"step": step + 1} | known) + "\n")

    def image(self, step: int, name: str, png: bytes) -> None:
        """Nothing."""

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
