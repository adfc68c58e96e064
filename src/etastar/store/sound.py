"""Rows as etastar writes them: what somebody changed by hand is refused, in a sentence that names the row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from etastar.errors import StoreError
from etastar.store.schema import WORDS

_TYPES: tuple[tuple[type, frozenset[type]], ...] = (
    (sa.Boolean, frozenset({bool})),
    (sa.BigInteger, frozenset({int})),
    (sa.Float, frozenset({float, int})),
    (sa.String, frozenset({str})),
)


def refuse_spoilt(table: sa.Table, rows: Sequence[Sequence[Any]], where: str) -> None:
    """Refuse rows of `table`, all its columns in order, with a value that etastar would not have written there.

    Args:
        where: what holds them, for the message.

    Raises:
        StoreError: naming the row and the value.
    """
    for column, values in zip(table.columns, zip(*rows, strict=True), strict=bool(rows)):
        allowed = _types(column)
        if not set(map(type, values)) <= allowed:
            index = next(i for i, value in enumerate(values) if type(value) not in allowed)
            raise _spoilt(where, table, rows[index], column, values[index], f"expected {_in_words(column)}")
        words = WORDS.get((table.name, column.name))
        if words is not None and not set(values) <= words:
            index = next(i for i, value in enumerate(values) if value not in words)
            raise _spoilt(where, table, rows[index], column, values[index], f"expected one of {', '.join(sorted(words))}")


def read_json(text: str, kind: type, table: sa.Table, row: str, where: str) -> Any:
    """What a column of JSON holds: an object (dict), or a list of numbers.

    Raises:
        StoreError: it is no JSON, or not of this kind.
    """
    value: Any = None
    with suppress(ValueError):
        value = json.loads(text)
    if not isinstance(value, kind) or (kind is list and not set(map(type, value)) <= {float, int}):
        what = "a list of numbers" if kind is list else "an object"
        raise StoreError(
            f"{where} holds {text[:40]!r} in row {row!r} of table {table.name!r}; expected {what} in JSON; {ADVICE}"
        )
    return value


ADVICE = "etastar did not write this: restore a copy, or pass another --store"


def _spoilt(
    where: str, table: sa.Table, row: Sequence[Any], column: sa.Column[Any], value: Any, expected: str
) -> StoreError:
    keys = [str(part) for part, c in zip(row, table.columns, strict=True) if c.primary_key]
    return StoreError(
        f"{where} has {column.name} {value!r} in row {' '.join(keys)!r} of table {table.name!r}; {expected}; {ADVICE}"
    )


def _types(column: sa.Column[Any]) -> frozenset[type]:
    found = next(types for kind, types in _TYPES if isinstance(column.type, kind))
    return found | {type(None)} if column.nullable else found


def _in_words(column: sa.Column[Any]) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
    return names[next(t for t in (bool, float, int, str) if t in _types(column))]


def row_of(table: sa.Table, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A row of `table` from its values by name; those that may be missing are None.

    Raises:
        StoreError: a column is missing or unknown, or a value is spoilt.
    """
    unknown = sorted(values.keys() - {c.name for c in table.columns})
    if unknown:
        raise StoreError(f"{where} has an unknown column {unknown[0]!r} of table {table.name!r}")
    row = [values.get(c.name) for c in table.columns]
    refuse_spoilt(table, [row], where)
    return dict(zip((c.name for c in table.columns), row, strict=True))
