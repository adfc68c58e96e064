"""A store in a SQLite file or in memory: which file, whether it is sound and ours, and how it is opened."""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.event import listens_for

from etastar.errors import StoreError
from etastar.store.schema import refuse_other_version

IN_MEMORY = ":memory:"


def path_of(url: str) -> Path | None:
    """The file of a store URL; None for memory.

    Raises:
        StoreError: the URL is empty or of another kind.
    """
    if url in (IN_MEMORY, "sqlite://", "sqlite:///:memory:"):
        return None
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///"))
    if "://" in url:
        kind = url.split("://")[0]
        raise StoreError(
            f"the store URL has kind {kind!r}; expected a file path, sqlite:///path, "
            f"postgresql+psycopg://user@host/database or {IN_MEMORY}"
        )
    if not url.strip():
        raise StoreError("the store URL is empty; expected a file path, e.g. .etastar/runs.db")
    return Path(url)


def check_file(path: Path, name: str, create: bool) -> None:
    """Refuse, without touching it, a file that is not a sound store of this or an older version.

    Args:
        name: the store as the user wrote it.
        create: accept that there is none yet, or an empty one, if it can be made; False: refuse that, too.
    """
    try:
        refuse_other_kinds(path, f"the store {path}", "runs.db")
        empty = not path.exists() or path.stat().st_size == 0
        if empty and create:
            check_can_be_made(path)
            return
    except (OSError, ValueError) as error:
        raise StoreError(f"the store {path} cannot be written ({_why(error)}); pass another --store") from error
    if empty:
        raise StoreError(f"there is no store {name}; run `etastar find` first, or pass --store")
    advice = "the file is left as it is: move it away, or pass another --store"
    try:
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\x00":
                raise StoreError(f"the store {path} is not a SQLite database or is corrupt; {advice}")
        now = path.stat()
        verdict, tables, version = _look_into(path, (now.st_ino, now.st_size, now.st_mtime_ns))
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store {path} cannot be read ({error}); {advice}") from error
    if verdict != "ok":
        raise StoreError(f"the store {path} is corrupt ({' '.join(verdict.split())}); {advice}")
    if version is None and tables:  # without tables it is a store that another process is making right now
        raise StoreError(f"{path} is a SQLite database but not an etastar store; {advice}")
    if version is not None:
        refuse_other_version(str(path), version, advice)
    if not os.access(path, os.W_OK):
        raise StoreError(f"the store {path} is not writable; fix its permissions, or pass another --store")


TRIES, WAIT = 300, 0.1
"""How often, and how many seconds apart, write-ahead mode is asked for: half a minute, as other locks are waited for."""


def connect(path: Path | None) -> sa.Engine:
    """SQLAlchemy's engine on a file in write-ahead mode, or on memory of its own."""
    if path is None:
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 30})

    @listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def _write_ahead(connection: Any) -> None:
    """Write-ahead mode. SQLite does not wait for its lock as it does for others: who makes a new file at once is told so."""
    for left in range(TRIES)[::-1]:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            time.sleep(WAIT)


@functools.lru_cache(maxsize=4)
def _look_into(path: Path, state: tuple[int, ...]) -> tuple[str, set[str], str | None]:
    """SQLite's own verdict, the names of the tables, and the schema version if there is one.

    Reading all of a large file takes seconds: once for as long as it stays in one `state`.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if "store_info" not in tables:
            return verdict, tables, None
        found = connection.execute("SELECT value FROM store_info WHERE key='schema_version'").fetchone()
        return verdict, tables, found and found[0]
    finally:
        connection.close()


def refuse_other_kinds(path: Path, what: str, example: str) -> None:
    """Refuse a folder, and what would be waited for without end: a pipe, a device.

    Raises:
        StoreError: it is one.
        OSError: it cannot be looked at; its name is too long, say.
    """
    if path.is_dir():
        raise StoreError(f"{what} is a folder; expected a file, e.g. {path / example}")
    if path.exists() and not path.is_file():
        raise StoreError(f"{what} is a pipe or a device; expected a file, e.g. .etastar/{example}")


def check_can_be_made(path: Path) -> None:
    """Look whether the file can be made or written, and make nothing: somebody else may be making it just now.

    Raises:
        OSError: it cannot.
    """
    existing = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if existing != path and not existing.is_dir():
        raise NotADirectoryError(0, "its folder is a file")
    if not os.access(existing, os.W_OK if existing == path else os.W_OK | os.X_OK):
        raise PermissionError(0, "Permission denied")


def make_file(path: Path) -> None:
    """Make the file and its folder where they are missing.

    Raises:
        StoreError: they cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == ".etastar" and not (path.parent / ".gitignore").exists():
            (path.parent / ".gitignore").write_text("*\n")
        with path.open("ab"):
            pass
    except OSError as error:
        raise StoreError(f"the store {path} cannot be written ({_why(error)}); pass another --store") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
