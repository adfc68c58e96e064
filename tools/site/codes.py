"""Errors as documentation: every code that `etastar explain` knows, with an anchor of its own."""

from __future__ import annotations

from pathlib import Path

from etastar.core.code import Code
from etastar.core.codes import CODES

HEADS = {
    "status": "Statuses",
    "flag": "Flags",
    "verdict": "Verdicts",
    "ending": "How a lane ended",
    "exception": "Exceptions",
    "exit code": "Exit codes",
}
"""kind -> its heading, in the order of the page."""


def write(folder: Path) -> None:
    """One page; every code is an anchor, `flag-islands` or `status-flat`."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = "\n\n".join(f"## {head}\n\n{_entries(kind)}" for kind, head in HEADS.items())
    (folder / "codes.md").write_text(PAGE.format(sections=sections))


def anchor(kind: str, name: str) -> str:
    """Where a code stands on the page.

    >>> anchor("exit code", "70")
    'exit-code-70'
    """
    return f"{kind} {name}".replace(" ", "-")


def _entries(kind: str) -> str:
    return "\n\n".join(_entry(anchor(kind, name), name, code) for name, code in CODES[kind].items())


def _entry(at: str, name: str, code: Code) -> str:
    return f"({at})=\n\n`{name}`\n: {code.says}\n\n  {code.then}"


PAGE = """# Flags, statuses, errors

What an answer says in a word. `etastar explain WORD` prints the same, offline: what it says, and what to do next. An
estimate without a value says why by a status and a sentence of its own; a flag qualifies an answer; JSON holds the words.

{sections}
"""
