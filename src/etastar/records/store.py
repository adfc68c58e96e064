"""The store: lanes are trained once. SQLite by default, in write-ahead mode, opened only if it is sound and ours."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.event import listens_for
from sqlalchemy.exc import DBAPIError

from etastar.core.design import Engine
from etastar.core.lane import EpochRow, Lane, LaneStatus, Outcome, Runs, StepRow
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.errors import StoreError
from etastar.records.schema import (
    SCHEMA_VERSION,
    engine_table,
    epoch_table,
    metadata,
    problem_table,
    run_table,
    step_table,
    store_info,
)
from etastar.version import __version__

DEFAULT_URL = ".etastar/runs.db"
IN_MEMORY = ":memory:"
SAVE_EVERY = 1.0
"""Seconds of training between two transactions: what a killed process can lose."""
TRACE_TOLERANCE = 1e-6
ONE_USE = "once-"
"""Marks the id of a problem that is not reproducible, whose lanes nobody may reuse."""


class RunStore:
    """Remembers lanes under (problem, rate, policy, seed, steps, stopping rule, engine).

    Args:
        url: a file path, "sqlite:///path", or ":memory:".

    Raises:
        StoreError: the URL is of another kind, the file is not writable, corrupt, not ours or from a newer version. The
            file is not touched then.
    """

    def __init__(self, url: str | os.PathLike[str] = DEFAULT_URL) -> None:
        self.url = str(url)
        path = path_of(self.url)
        if path is not None:
            _check_file(path)
        self._engine = _create(path)
        self._problems: weakref.WeakKeyDictionary[Problem, str] = weakref.WeakKeyDictionary()
        self.new_gradient_steps = 0
        self.on_outcome: Callable[[Outcome, bool], None] | None = None
        """Called with every outcome delivered and whether it was trained now."""
        with self._transaction() as connection:
            metadata.create_all(connection)
            row = {"key": "schema_version", "value": str(SCHEMA_VERSION)}
            connection.execute(insert(store_info).on_conflict_do_nothing(), row)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def register(
        self, problem: Problem, fingerprint: str, trace: Sequence[float], facts: Mapping[str, Any], *, reusable: bool = True
    ) -> str:
        """Say which stored problem `problem` is: same fingerprint and same trace. Returns its id.

        A problem that is not `reusable` (it gives other losses each time) gets an id of its own.
        """
        with self._transaction() as connection:
            rows = connection.execute(sa.select(problem_table).where(problem_table.c.fingerprint == fingerprint)).all()
            own = [r for r in rows if ONE_USE not in r.id]
            match = next((r.id for r in own if reusable and _close(json.loads(r.trace), trace)), None)
            if match is None:
                suffix = str(len(own)) if reusable else f"{ONE_USE}{uuid.uuid4().hex[:8]}"
                match = f"{fingerprint}-{suffix}"
                row = {
                    "id": match,
                    "fingerprint": fingerprint,
                    "trace": json.dumps(list(trace)),
                    "name": problem.title,
                    "facts": json.dumps(dict(facts), default=str),
                    "created": _now(),
                }
                connection.execute(insert(problem_table).on_conflict_do_nothing(), row)
        self._problems[problem] = match
        return match

    def pinned_engine(self, problem: Problem, device: str) -> dict[str, Any] | None:
        """What `pin_engine` was told about this problem on this device; None if nothing yet."""
        where = (engine_table.c.problem_id == self._problems[problem]) & (engine_table.c.device == device)
        with self._transaction() as connection:
            row = connection.execute(sa.select(engine_table).where(where)).first()
        return None if row is None else {"engine": row.engine, "chunk": row.chunk, **json.loads(row.facts)}

    def pin_engine(self, problem: Problem, device: str, engine: str, chunk: int, facts: Mapping[str, Any]) -> None:
        """Remember which engine trains this problem's lanes, so that a resumed or repeated run gives the same answer."""
        row = {
            "problem_id": self._problems[problem],
            "device": device,
            "engine": engine,
            "chunk": chunk,
            "facts": json.dumps(dict(facts)),
            "created": _now(),
        }
        with self._transaction() as connection:
            connection.execute(insert(engine_table).on_conflict_do_nothing(), row)

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """Outcomes in the order of `lanes`; only lanes not yet stored are trained, each once, and saved as they finish."""
        problem_id = self._problems.get(problem)
        if problem_id is None:
            raise StoreError("this problem is not registered with the store; call store.register(problem, ...) first")
        keys = [lane_key(problem_id, lane, engine.name) for lane in lanes]
        found = self._load(dict(zip(keys, lanes, strict=True)))
        for outcome in found.values():
            self._notify(outcome, False)
        todo = {key: lane for key, lane in zip(keys, lanes, strict=True) if key not in found}
        todo_keys = list(todo)
        unsaved: dict[str, Outcome] = {}
        saved_at = time.monotonic()
        try:
            for index, outcome in engine.train(problem, list(todo.values())) if todo else ():
                found[todo_keys[index]] = unsaved[todo_keys[index]] = outcome
                self.new_gradient_steps += outcome.steps
                self._notify(outcome, True)
                if time.monotonic() - saved_at > SAVE_EVERY:
                    self._save(problem_id, unsaved, engine.name)
                    unsaved, saved_at = {}, time.monotonic()
        finally:
            if unsaved:
                self._save(problem_id, unsaved, engine.name)
        return Runs(found[key] for key in keys)

    def summary(self) -> list[dict[str, Any]]:
        """One row per stored problem: name, lanes by status, gradient steps, range of rates, last use."""
        counts = [sa.func.sum(sa.case((run_table.c.status == s.value, 1), else_=0)).label(s.value) for s in LaneStatus]
        query = (
            sa.select(
                problem_table.c.id,
                problem_table.c.name,
                problem_table.c.facts,
                sa.func.count(run_table.c.key).label("lanes"),
                *counts,
                sa.func.sum(run_table.c.steps).label("gradient_steps"),
                sa.func.min(run_table.c.lr).label("lr_low"),
                sa.func.max(run_table.c.lr).label("lr_high"),
                sa.func.max(run_table.c.created).label("last"),
            )
            .join(run_table, run_table.c.problem_id == problem_table.c.id)
            .group_by(problem_table.c.id)
            .order_by(sa.desc("last"))
        )
        with self._transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        for row in rows:
            row["optimizer"] = json.loads(row.pop("facts")).get("optimizer", "")
        return rows

    def _notify(self, outcome: Outcome, new: bool) -> None:
        if self.on_outcome:
            self.on_outcome(outcome, new)

    def _load(self, lanes: Mapping[str, Lane]) -> dict[str, Outcome]:
        keys = list(lanes)
        with self._transaction() as connection:
            runs = connection.execute(sa.select(run_table).where(run_table.c.key.in_(keys))).all()
            steps = _grouped(connection, step_table, step_table.c.step, keys)
            epochs = _grouped(connection, epoch_table, epoch_table.c.epoch, keys)
        return {r.key: _outcome(r, lanes[r.key], steps.get(r.key, ()), epochs.get(r.key, ())) for r in runs}

    def _save(self, problem_id: str, outcomes: Mapping[str, Outcome], engine_name: str) -> None:
        runs = [_run_row(key, problem_id, outcome, engine_name) for key, outcome in outcomes.items()]
        epochs = [{"run_key": k, **_nan_to_none(vars(e))} for k, o in outcomes.items() for e in o.epochs]
        steps = [{"run_key": k, **_nan_to_none(vars(s))} for k, o in outcomes.items() for s in o.trace]
        with self._transaction() as connection:
            for table, rows in ((run_table, runs), (epoch_table, epochs), (step_table, steps)):
                if rows:
                    connection.execute(insert(table).on_conflict_do_nothing(), rows)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreError(
                f"the store {self.url} cannot be used: {error.orig}; free space, fix permissions or pass --store"
            ) from error


def lane_key(problem_id: str, lane: Lane, engine_name: str) -> str:
    """The key under which a lane is stored: everything that decides its outcome."""
    parts = (lane.lr, lane.seed, lane.steps, lane.until.value, lane.criterion, lane.policy, engine_name)
    return f"{problem_id[:12]}-{derive_seed(problem_id, repr(parts)):016x}"


def _run_row(key: str, problem_id: str, outcome: Outcome, engine_name: str) -> dict[str, Any]:
    lane = outcome.lane
    return _nan_to_none(
        {
            "key": key,
            "problem_id": problem_id,
            "lr": lane.lr,
            "seed": lane.seed,
            "planned_steps": lane.steps,
            "until": lane.until.value,
            "criterion": json.dumps(asdict(lane.criterion)),
            "policy": repr(lane.policy),
            "status": outcome.status.value,
            "reached": outcome.reached,
            "steps": outcome.steps,
            "first_loss": outcome.first_loss,
            "end_loss": outcome.end_loss,
            "end_accuracy": outcome.end_accuracy,
            "valid_loss": outcome.valid_loss,
            "valid_accuracy": outcome.valid_accuracy,
            "seconds": outcome.seconds,
            "engine": engine_name,
            "torch_version": torch.__version__,
            "etastar_version": __version__,
            "created": _now(),
        }
    )


def _outcome(row: Any, lane: Lane, steps: Sequence[Any], epochs: Sequence[Any]) -> Outcome:
    return Outcome(
        lane=lane,
        status=LaneStatus(row.status),
        reached=row.reached,
        steps=row.steps,
        first_loss=_nan(row.first_loss),
        end_loss=_nan(row.end_loss),
        end_accuracy=row.end_accuracy,
        valid_loss=row.valid_loss,
        valid_accuracy=row.valid_accuracy,
        trace=tuple(_row_of(StepRow, s, loss=_nan(s.loss)) for s in steps),
        epochs=tuple(_row_of(EpochRow, e, loss_mean=_nan(e.loss_mean), loss_sd=_nan(e.loss_sd)) for e in epochs),
        seconds=row.seconds,
    )


def _grouped(connection: sa.Connection, table: sa.Table, order: sa.Column[Any], keys: list[str]) -> dict[str, list[Any]]:
    """Rows of `table` by run, in order."""
    groups: dict[str, list[Any]] = {}
    for row in connection.execute(sa.select(table).where(table.c.run_key.in_(keys)).order_by(table.c.run_key, order)):
        groups.setdefault(row.run_key, []).append(row)
    return groups


def _row_of(kind: Any, row: Any, **changes: Any) -> Any:
    return kind(**{**{f.name: getattr(row, f.name) for f in fields(kind)}, **changes})


def _nan_to_none(row: Mapping[str, Any]) -> dict[str, Any]:
    """SQLite stores NaN as NULL; say so ourselves, for every database."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=TRACE_TOLERANCE) for x, y in zip(a, b, strict=True))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def path_of(url: str) -> Path | None:
    """The file of a store URL; None for memory."""
    if url in (IN_MEMORY, "sqlite://", "sqlite:///:memory:"):
        return None
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///"))
    if "://" in url:
        kind = url.split("://")[0]
        raise StoreError(f"the store URL has kind {kind!r}; expected a file path, sqlite:///path or {IN_MEMORY}")
    if not url.strip():
        raise StoreError("the store URL is empty; expected a file path, e.g. .etastar/runs.db")
    return Path(url)


def _check_file(path: Path) -> None:
    """Refuse, without touching it, a file that is not a sound store of this or an older version."""
    if path.is_dir():
        raise StoreError(f"the store {path} is a folder; expected a file, e.g. {path / 'runs.db'}")
    if not path.exists() or path.stat().st_size == 0:
        _check_writable(path)
        return
    advice = "the file is left as it is: move it away, or pass another --store"
    try:
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\x00":
                raise StoreError(f"the store {path} is not a SQLite database or is corrupt; {advice}")
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            found = (
                connection.execute("SELECT value FROM store_info WHERE key='schema_version'").fetchone()
                if "store_info" in tables
                else None
            )
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store {path} cannot be read ({error}); {advice}") from error
    if verdict != "ok":
        raise StoreError(f"the store {path} is corrupt ({' '.join(verdict.split())}); {advice}")
    if found is not None and not found[0].isdigit():
        raise StoreError(f"the store {path} has schema version {found[0]!r}, which is none; {advice}")
    if found is None:
        raise StoreError(f"{path} is a SQLite database but not an etastar store; {advice}")
    if int(found[0]) > SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} was written by a newer etastar (schema {found[0]}, this one reads {SCHEMA_VERSION}); "
            "upgrade etastar, or pass another --store"
        )
    if not os.access(path, os.W_OK):
        raise StoreError(f"the store {path} is not writable; fix its permissions, or pass another --store")


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == ".etastar" and not (path.parent / ".gitignore").exists():
            (path.parent / ".gitignore").write_text("*\n")
        with path.open("ab"):
            pass
    except OSError as error:
        why = "its folder is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise StoreError(f"the store {path} cannot be written ({why}); pass another --store") from error


def _create(path: Path | None) -> sa.Engine:
    if path is None:
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 30})

    @listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
