"""What answers are shown with: numbers, tables and sections of text. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Card:
    """A number worth a card at the top of the page; with a `link` its title leads there."""

    title: str
    value: str
    interval: str
    meaning: str
    colour: str
    link: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row names it, the last explains it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class SectionText:
    """A question, what its figures show, and a caption for each chart by name."""

    title: str
    text: str
    captions: dict[str, str]


@dataclass(frozen=True)
class Page:
    """What a page shows, whatever it is about.

    Args:
        kind: what sort of page, above the title.
        title, summary: its first lines.
        no_answer: status, reason and bound, where there is no answer; then the summary is left out.
        numbers: the cards.
        flags: (key, sentence).
        sections: words around the charts, which they name.
        tables: below the charts.
        charts: name -> Altair chart.
    """

    kind: str
    title: str
    summary: str
    numbers: Sequence[Card] = ()
    flags: Sequence[tuple[str, str]] = ()
    sections: Sequence[SectionText] = ()
    tables: Sequence[Table] = ()
    charts: Mapping[str, Any] = field(default_factory=dict)
    no_answer: Mapping[str, str] | None = None
