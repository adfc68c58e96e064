"""What the user named: a ready-made problem, or a name in a file that is there. Said before torch is imported."""

from __future__ import annotations

from pathlib import Path

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.problems import BUILTINS

LONGEST_PATH = 255
"""Characters of a file's name that a sentence shows whole."""


def named(spec: str) -> tuple[Path, str] | None:
    """(file, name within it) of `path/to/file.py:name`; None where `spec` is a ready-made problem.

    Raises:
        ProblemError: it is neither, or there is no such file.

    >>> named("digits-mlp")
    """
    if spec in BUILTINS:
        return None
    file, colon, name = spec.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise ProblemError(f"PROBLEM is {shown(spec)}; expected path/to/file.py:name or one of {', '.join(BUILTINS)}")
    path = Path(file)
    if not _is_file(path):
        told = file if file.isprintable() and len(file) <= LONGEST_PATH else shown(file)
        raise ProblemError(f"there is no file {told}; expected path/to/file.py:name, the path relative to {Path.cwd()}")
    return path, name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False
