"""Errors as documentation: every flag and every status, with an anchor of its own."""

from __future__ import annotations

from pathlib import Path

from etastar.core.estimate import FLAGS, Status


def write(folder: Path) -> None:
    """One page; every code is an anchor, `flag-islands` or `status-flat`."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = "\n\n".join(_entry("flag", name, sentence) for name, sentence in FLAGS.items())
    statuses = "\n\n".join(_entry("status", status.value, "") for status in Status)
    (folder / "codes.md").write_text(PAGE.format(flags=flags, statuses=statuses))


def _entry(kind: str, name: str, sentence: str) -> str:
    return f"({kind}-{name})=\n\n`{name}`\n: {sentence}" if sentence else f"({kind}-{name})=\n\n`{name}`"


PAGE = """# Flags, statuses, errors

## Statuses

An estimate without a value says why, by one of these codes and a sentence of its own.

{statuses}

## Flags

A flag qualifies an answer; it is printed with this sentence, and JSON holds its code.

{flags}

## Exceptions

A mistake in what was given raises {{py:obj}}`etastar.ProblemError` (a store's: {{py:obj}}`etastar.StoreError`) with one
sentence: what was got, what was expected, what to do.
"""
