"""The numbers behind a chart, as tables: for who hears a page instead of seeing it, and for who wants the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etastar.reports.parts import Table

ROWS = 40
"""Shown of a set of rows, evenly spread with its first and last: a table that can be listened to."""


def data_tables(spec: dict[str, Any]) -> list[Table]:
    """A table for each set of rows that a Vega-Lite spec draws.

    >>> spec = {"layer": [{"data": {"name": "a"}}], "datasets": {"a": [{"step": i, "loss": 1 / (i + 1)} for i in range(99)]}}
    >>> (table,) = data_tables(spec)
    >>> table.title, table.head, len(table.rows), table.rows[-1]
    ('40 of 99 rows', ('step', 'loss'), 40, ('98', '0.0101'))
    """
    found = []
    for rows in _sets(spec):
        shown = rows if len(rows) <= ROWS else [rows[round(i * (len(rows) - 1) / (ROWS - 1))] for i in range(ROWS)]
        head = tuple(dict.fromkeys(key for row in rows for key in row))
        title = f"{len(rows)} rows" if len(shown) == len(rows) else f"{len(shown)} of {len(rows):,} rows"
        found.append(Table(title, head, tuple(tuple(_cell(row.get(key)) for key in head) for row in shown)))
    return found


def _sets(spec: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Every set of rows once, in the order in which they are drawn."""
    named, found = spec.get("datasets", {}), []
    for data in _data(spec):
        rows = named.get(data.get("name"), data.get("values"))
        if rows and isinstance(rows, list) and isinstance(rows[0], dict) and rows not in found:
            found.append(rows)
    return found


def _data(part: Any) -> Iterator[dict[str, Any]]:
    """Every `data` of a spec and of what it is made of."""
    if isinstance(part, dict):
        if isinstance(part.get("data"), dict):
            yield part["data"]
        for name, inner in part.items():
            if name not in ("datasets", "data"):
                yield from _data(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _data(inner)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
