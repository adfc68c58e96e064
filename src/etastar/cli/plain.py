"""Words of others on a terminal: labels, names and choices are text, never markup, and cannot steer the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

STEERING = ("Cc", "Cs")
"""Categories of Unicode that are no text: control characters (ESC begins every terminal command) and half characters."""
REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What changes the direction of the text behind it: a name can look like another one with it."""
BREAKS = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def plain(text: str) -> str:
    r"""The text in one line, without what would steer the terminal.

    >>> plain("a\x1b[31mb\nc\u202ed [/x]")
    'a[31mb cd [/x]'
    """
    kept = (" " if c in BREAKS else c for c in text if c in BREAKS or not _steers(c))
    return "".join(kept)


def _steers(character: str) -> bool:
    return character in REORDERING or unicodedata.category(character) in STEERING


class PlainTable(Table):
    """A table whose title, heads and cells are text."""

    def add_row(self, *cells: RenderableType | None, **style: object) -> None:
        """A row; strings are shown as they are."""
        super().add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in cells), **style)  # type: ignore[arg-type]


def new_table(title: str | None, columns: Sequence[str]) -> Table:
    """A table in the console's style, without rows yet."""
    shown = None if title is None else Text(plain(title))
    table = PlainTable(title=shown, title_justify="left", box=None, pad_edge=False, padding=(0, 2))
    for column in columns:
        table.add_column(Text(plain(column)), overflow="fold")
    return table


class PlainConsole(Console):
    """A console that says lines of text."""

    def say(self, text: str) -> None:
        """One line."""
        self.print(Text(plain(text)))

    def on_broken_pipe(self) -> None:
        """Let it be known that nobody reads any more; Rich would end the process here, its files unwritten."""
        raise
