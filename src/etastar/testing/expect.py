"""How a check fails."""

from __future__ import annotations

SENTENCE = 20
"""A reason shorter than so many characters explains nothing."""


def expect(holds: bool, sentence: str) -> None:
    """Raise `AssertionError` with `sentence` unless it `holds`; a plain `assert` is gone under `python -O`."""
    if not holds:
        raise AssertionError(sentence)
