"""What `etastar explain` says, as a page: every code with its kind, its sentence, what to do next, and an anchor."""

from __future__ import annotations

from pathlib import Path

from etastar.core.code import Code
from etastar.core.codes import CODES

TOLD = {
    "flag": ("Flags", "A flag qualifies an answer: there is a value, and this is to be known of it."),
    "status": ("Statuses", "Why an estimate has a value, or none."),
    "verdict": ("Verdicts", "What an answer says of the rate in use, of a policy, or of a claim."),
    "ending": ("Endings", "How one training ended."),
    "exception": ("Exceptions", "What is raised on purpose. The message is one sentence: got, expected, do this."),
    "exit code": ("Exit codes", "What a command leaves with."),
}
"""kind -> its heading, and what it is."""


def write(folder: Path) -> None:
    """One page; every code is an anchor, `flag-islands`, `status-flat` or `exit-code-2`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "codes.md").write_text(page())


def page() -> str:
    """The page, kind by kind.

    Raises:
        KeyError: nobody says what a kind of code is.
    """
    parts = [HEAD]
    for kind, codes in CODES.items():
        heading, what = TOLD[kind]
        parts += [f"## {heading}", what, *(_entry(kind, name, code) for name, code in codes.items())]
    return "\n\n".join(parts) + "\n"


def anchor(kind: str, name: str) -> str:
    """Where a code stands on the page.

    >>> anchor("exit code", "2"), anchor("verdict", "below-eta_c")
    ('exit-code-2', 'verdict-below-eta_c')
    """
    return f"{kind.replace(' ', '-')}-{name}"


def _entry(kind: str, name: str, code: Code) -> str:
    return f"({anchor(kind, name)})=\n\n`{name}`\n: {code.says}\n\n  *Then:* {code.then}"


HEAD = """# Flags, statuses, errors

Every word that an answer may carry, and what to do about it; `etastar explain CODE` says the same."""
