"""One schema, two databases: SQLite for one, PostgreSQL for a team; opened only if what is there is sound and ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from etastar.errors import StoreError
from etastar.records import postgres
from etastar.records import sqlite as file
from etastar.records.schema import SCHEMA_VERSION, metadata, refuse_other_version, store_info

_LOCK = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"SELECT pg_advisory_xact_lock({int.from_bytes(b'etastar')})",
}
"""What keeps a second process waiting, until the end of the transaction, while the tables are made."""


class Database:
    """An open database that holds the tables of `etastar.records.schema`.

    Args:
        url: a file path, "sqlite:///path", ":memory:", or "postgresql+psycopg://user@host/database".
        create: make what is missing; False: refuse a place that holds no store.

    Attributes:
        name: the URL as it may be printed, without a password.

    Raises:
        StoreError: it cannot be reached, read or written, or holds something else. It is left as it was.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        if postgres.is_postgres(url):
            parts = postgres.parse(url)
            self.name = postgres.shown(parts)
            self._engine = postgres.connect(parts)
            self._advice = "check the server, the database and your rights there, or pass another --store"
        else:
            path = file.path_of(url)
            if path is None:
                create = True
            else:
                file.check_file(path, url, create)
            self.name = url
            self._engine = file.connect(path)
            self._advice = "free space, fix permissions or pass --store"
        try:
            with self.transaction() as connection:
                _prepare(connection, self.name, create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file or the server."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """All or nothing of what is done with the connection.

        Raises:
            StoreError: the database refused, or is gone; nothing of this transaction is stored.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreError(f"the store {self.name} cannot be used: {_reason(error)}; {self._advice}") from error


def insert_new(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """`INSERT ... ON CONFLICT DO NOTHING` in the words of this database: rows already there stay as they are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _prepare(connection: sa.Connection, name: str, create: bool) -> None:
    """Make the tables that are missing, once, whoever else is doing the same; refuse what is not ours or is newer."""
    advice = "it is left as it is: pass another --store"
    missing = _missing(connection)
    if missing or _missing_columns(connection):
        connection.exec_driver_sql(_LOCK[connection.dialect.name])
        missing = _missing(connection)  # again: another process may just have made them
    if store_info.name in missing:
        theirs = sorted(set(metadata.tables) - set(missing))
        if theirs:
            raise StoreError(f"{name} has a table {theirs[0]!r} but is not an etastar store; {advice}")
        if not create:
            raise StoreError(f"there is no store {name}; run `etastar find` first, or pass --store")
        metadata.create_all(connection)
        connection.execute(sa.insert(store_info), {"key": "schema_version", "value": str(SCHEMA_VERSION)})
        return
    version = connection.scalar(sa.select(store_info.c.value).where(store_info.c.key == "schema_version"))
    if version is None:
        raise StoreError(f"{name} has a table {store_info.name!r} but is not an etastar store; {advice}")
    refuse_other_version(name, version, advice)
    if missing:  # made before these tables were thought of
        metadata.create_all(connection)
    for column in _missing_columns(connection):  # an older etastar does not ask for them, and leaves them empty
        kind = column.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}")


def _missing(connection: sa.Connection) -> list[str]:
    inspector = sa.inspect(connection)
    return [table for table in metadata.tables if not inspector.has_table(table)]


def _missing_columns(connection: sa.Connection) -> list[sa.Column[Any]]:
    """Columns that tables made by an older version lack; only such as may be empty are ever added to the schema."""
    inspector = sa.inspect(connection)
    there = {t: {c["name"] for c in inspector.get_columns(t)} for t in metadata.tables if inspector.has_table(t)}
    return [c for name, own in there.items() for c in metadata.tables[name].columns if c.name not in own]


def _reason(error: DBAPIError) -> str:
    """The first line of what the database says, which is one sentence; the rest are guesses and quotations of SQL."""
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    return " ".join(lines[0].removeprefix("connection failed: ").split())
