"""One schema, two databases: SQLite for one, PostgreSQL for a team; opened only if what is there is sound and ours."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from etastar.errors import StoreError
from etastar.store import postgres
from etastar.store import sqlite as file
from etastar.store.patience import StoreAway
from etastar.store.schema import LATER, LATER_COLUMNS, SCHEMA_VERSION, metadata, refuse_other_version, store_info

_LOCK = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"SELECT pg_advisory_xact_lock({int.from_bytes(b'etastar')})",
}
"""What keeps a second process waiting, until the end of the transaction, while the tables are made."""

_HURRY = {"sqlite": "PRAGMA busy_timeout = 2000", "postgresql": "SET LOCAL lock_timeout = '2s'"}
"""What keeps a process that is ending from waiting for others."""
_BUSY, _LOCKED = 5, 6
"""SQLite's codes for a lock that another process holds."""
_PASSING = ("08", "40", "57P", "55P03", "53300")
"""Beginnings of PostgreSQL's codes for what passes: a lost connection, a deadlock, a restart, a lock, no connection free."""


def check(url: str | os.PathLike[str]) -> None:
    """Refuse, before anything else is done, a store that cannot be used; nothing is made and nothing changed.

    Raises:
        StoreError: it cannot be reached, read or written, or holds something else.
        MissingExtra: PostgreSQL's driver is not installed.
    """
    Database(str(url), look_only=True).close()


def _quiet(engine: sa.Engine) -> sa.Engine:
    """Without the traceback that the pool logs of Ctrl-C, which goes on to whoever waits for it anyway."""
    engine.pool.logger.addFilter(_is_no_interrupt)  # type: ignore[union-attr]
    return engine


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt))


def _let_go(engine: sa.Engine, owner: int) -> None:
    """Close the connections of a database that is let go of; those that a fork inherited are its parent's."""
    engine.dispose(close=os.getpid() == owner)


class Database:
    """An open database that holds the tables of `etastar.store.schema`.

    Args:
        url: a file path, "sqlite:///path", ":memory:", or "postgresql+psycopg://user@host/database".
        create: make what is missing; False: refuse a place that holds no store.
        look_only: refuse what cannot be used, and make nothing.

    Attributes:
        name: the URL as it may be printed, without a password.
        path: the file; None for a server, or memory.
        in_memory: whether all of it is gone with this process.
        hurried: wait for others' locks for seconds only.

    Raises:
        StoreError: it cannot be reached, read or written, or holds something else. It is left as it was.
        MissingExtra: PostgreSQL's driver is not installed.
    """

    def __init__(self, url: str, *, create: bool = True, look_only: bool = False) -> None:
        self.hurried, self.path, self.in_memory = False, None, False
        if postgres.is_postgres(url):
            parts = postgres.parse(url)
            self.name = postgres.shown(parts)
            self._engine = _quiet(postgres.connect(parts))
            self._advice = "check the server, the database and your rights there, or pass another --store"
        else:
            self.path = path = file.path_of(url)
            self.in_memory = path is None
            create |= self.in_memory
            if path is not None:
                file.check_file(path, url, create)
                if not look_only:
                    file.make_file(path)
            self.name = url
            self._engine = _quiet(file.connect(path))
            self._advice = "free space, fix permissions or pass --store"
            if look_only:
                return
        weakref.finalize(self, _let_go, self._engine, os.getpid())  # Python 3.13 warns of a connection that nobody closed
        try:
            with self.transaction() as connection:
                if look_only:
                    _missing(connection, self.name)
                else:
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
            StoreAway: it is locked or gone, perhaps for a moment. Whether the transaction is stored, nobody knows.
            StoreError: the database refused; nothing of this transaction is stored.
        """
        try:
            with self._engine.begin() as connection:
                if self.hurried:
                    connection.exec_driver_sql(_HURRY[connection.dialect.name])
                yield connection
        except DBAPIError as error:
            sentence = f"the store {self.name} cannot be used: {_reason(error)}; {self._advice}"
            raise (StoreAway(sentence, _reason(error)) if passes(error) else StoreError(sentence)) from error


def insert_new(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """`INSERT ... ON CONFLICT DO NOTHING` in the words of this database: rows already there stay as they are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _prepare(connection: sa.Connection, name: str, create: bool) -> None:
    """Make the tables that are missing, once, whoever else is doing the same; refuse what is not ours or is newer."""
    missing = _missing(connection, name)
    if not (missing or _missing_columns(connection)):
        return
    connection.exec_driver_sql(_LOCK[connection.dialect.name])
    missing = _missing(connection, name)  # again: another process may just have made them
    if store_info.name in missing and not create:
        raise StoreError(f"there is no store {name}; run `etastar find` first, or pass --store")
    metadata.create_all(connection)
    if store_info.name in missing:
        connection.execute(sa.insert(store_info), {"key": "schema_version", "value": str(SCHEMA_VERSION)})
    for column in _missing_columns(connection):  # an older etastar does not ask for them, and leaves them empty
        kind = column.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}")


def _missing(connection: sa.Connection, name: str) -> list[str]:
    """The tables that are still to be made: all of them, or those that were thought of later.

    Raises:
        StoreError: what is there is not ours, is newer, or has lost a table.
    """
    advice = "it is left as it is: pass another --store"
    there = set(sa.inspect(connection).get_table_names())  # one query: another process may be making them all just now
    missing = [table for table in metadata.tables if table not in there]
    if store_info.name in missing:
        theirs = sorted(set(metadata.tables) - set(missing))
        if theirs:
            raise StoreError(f"{name} has a table {theirs[0]!r} but is not an etastar store; {advice}")
        return missing
    version = connection.scalar(sa.select(store_info.c.value).where(store_info.c.key == "schema_version"))
    if version is None:
        raise StoreError(f"{name} has a table {store_info.name!r} but is not an etastar store; {advice}")
    refuse_other_version(name, version, advice)
    if lost := [table for table in missing if table not in LATER]:
        raise StoreError(f"the store {name} has lost its table {lost[0]!r}; restore a copy of it, or pass another --store")
    return missing


def _missing_columns(connection: sa.Connection) -> list[sa.Column[Any]]:
    """Columns that tables made by an older version lack."""
    inspector = sa.inspect(connection)
    there = {t: {c["name"] for c in inspector.get_columns(t)} for t in metadata.tables if inspector.has_table(t)}
    return [c for c in LATER_COLUMNS if c.table.name in there and c.name not in there[c.table.name]]


def passes(error: DBAPIError) -> bool:
    """Whether what failed may well succeed in a while: a lock that another process holds, a server that is restarted."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (_BUSY, _LOCKED)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # there was no answer at all
        return error.connection_invalidated or isinstance(error, OperationalError)
    return state.startswith(_PASSING)


def _reason(error: DBAPIError) -> str:
    """The first line of what the database says, which is one sentence; the rest are guesses and quotations of SQL."""
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    return " ".join(lines[0].removeprefix("connection failed: ").split())
