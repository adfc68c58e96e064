"""The store: lanes are trained once, whoever asks for them; what it is kept in is the business of `store.database`."""

from __future__ import annotations

import json
import math
import os
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import sqlalchemy as sa

from etastar import arguments
from etastar.core.deadline import TimeOver
from etastar.core.design import Engine
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.core.problem import Problem
from etastar.core.training import Keeps
from etastar.errors import StoreError
from etastar.store.again import check_again, is_complete
from etastar.store.database import Database, insert_new
from etastar.store.lane_key import lane_keys
from etastar.store.patience import Patience
from etastar.store.rows import nan_to_none, now, outcome_of, reading_rows, run_row
from etastar.store.saving import Saving
from etastar.store.schema import engine_table, epoch_table, problem_table, reading_table, run_table, step_table
from etastar.store.snapshot_folder import SnapshotFolder
from etastar.store.sound import read_json, refuse_spoilt
from etastar.store.summary import summary
from etastar.store.unsaved import Parcel

Result = TypeVar("Result")
DEFAULT_URL = ".etastar/runs.db"
SAVE_EVERY = 1.0
"""Seconds of training between two transactions: what a killed process can lose."""
TRACE_TOLERANCE = 1e-6
KEYS_AT_ONCE = 500
"""Lanes looked up by one statement; databases limit its parameters (SQLite once to 999)."""
ONE_USE = "once-"
"""Marks the id of a problem that is not reproducible, whose lanes nobody may reuse."""


class RunStore:
    """Remembers lanes under (problem, rate, policy, seed, steps, stopping rule, engine).

    Args:
        url: a file path, "sqlite:///path", ":memory:", or "postgresql+psycopg://user@host/database".
        create: make a store where there is none; False: refuse.
        patience: how long a store is waited for that is locked, or whose server is away, once it was opened.

    Attributes:
        url: the URL as it may be printed, without a password.

    Raises:
        ProblemError: `url` is no path.
        StoreError: the URL is of another kind; the file is not writable, corrupt, not ours or from a newer version; the
            server cannot be reached. What is there is not touched then.
        MissingExtra: the URL names PostgreSQL, and its driver is not installed.
    """

    def __init__(
        self, url: str | os.PathLike[str] = DEFAULT_URL, *, create: bool = True, patience: Patience | None = None
    ) -> None:
        self._database = Database(str(arguments.path("the store's url", url, DEFAULT_URL)), create=create)
        self.url = self._database.name
        self._where = f"the store {self.url}"
        self._patience = patience or Patience()
        self._saving = Saving(self._database, self._patience)
        self._saving.take_in()
        self._problems: weakref.WeakKeyDictionary[Problem, str] = weakref.WeakKeyDictionary()
        self._rows: dict[str, dict[str, Any]] = {}
        self.new_gradient_steps = 0
        self.on_outcome: Callable[[Outcome, bool], None] | None = None
        """Called with every outcome delivered and whether it was trained now."""

    def close(self) -> None:
        """Let go of the file or the server."""
        self._database.close()

    def register(
        self, problem: Problem, fingerprint: str, trace: Sequence[float], facts: Mapping[str, Any], *, reusable: bool = True
    ) -> str:
        """Say which stored problem `problem` is: same fingerprint and same trace. Returns its id.

        A problem that is not `reusable` (it gives other losses each time) gets an id of its own.
        """
        row = {
            "fingerprint": fingerprint,
            "trace": json.dumps(list(trace)),
            "name": problem.title,
            "facts": json.dumps(dict(facts), default=str),
            "created": now(),
        }
        match = self._patiently(lambda connection: self._match(connection, row, trace, reusable))
        self._problems[problem] = match
        self._rows[match] = row | {"id": match}
        return match

    def _match(self, connection: sa.Connection, row: Mapping[str, Any], trace: Sequence[float], reusable: bool) -> str:
        fingerprint, match = row["fingerprint"], None
        while match is None:
            rows = connection.execute(sa.select(problem_table).where(problem_table.c.fingerprint == fingerprint)).all()
            refuse_spoilt(problem_table, rows, self._where)
            for r in rows:
                read_json(r.facts, dict, problem_table, r.id, self._where)
            own = [r for r in rows if ONE_USE not in r.id]
            traces = [(r.id, read_json(r.trace, list, problem_table, r.id, self._where)) for r in own]
            match = next((key for key, stored in traces if reusable and _close(stored, trace)), None)
            if match is None:
                new = f"{fingerprint}-{len(own) if reusable else ONE_USE + uuid.uuid4().hex[:8]}"
                insert = insert_new(connection, problem_table).returning(problem_table.c.id)
                match = connection.scalar(insert, dict(row) | {"id": new})  # None: another process took this id; look again
        return match

    def _patiently(self, work: Callable[[sa.Connection], Result]) -> Result:
        """What `work` returns in a transaction of its own; a store that is away is waited for."""

        def once() -> Result:
            with self._database.transaction() as connection:
                return work(connection)

        return self._patience.wait_for(once, self._where)

    def id_of(self, problem: Problem) -> str:
        """The id under which `problem` was registered."""
        return self._problems[problem]

    def pinned_engine(self, problem: Problem, device: str) -> dict[str, Any] | None:
        """What `pin_engine` was told about this problem on this device; None if nothing yet."""
        row = self._patiently(lambda connection: connection.execute(self._pin_of(problem, device)).first())
        return None if row is None else self._pinned(row)

    def pin_engine(self, problem: Problem, device: str, engine: str, chunk: int, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Remember which engine trains this problem's lanes, so that a resumed or repeated run gives the same answer.

        Returns what is pinned now: another engine that another process pinned first stays; the same one takes the new facts.
        """
        row = {
            "problem_id": self._problems[problem],
            "device": device,
            "engine": engine,
            "chunk": chunk,
            "facts": json.dumps(dict(facts)),
            "created": now(),
        }

        def pin(connection: sa.Connection) -> Any:
            connection.execute(insert_new(connection, engine_table), row)
            same = sa.and_(*(engine_table.c[name] == row[name] for name in ("problem_id", "device", "engine")))
            connection.execute(sa.update(engine_table).where(same).values(chunk=chunk, facts=row["facts"]))
            return connection.execute(self._pin_of(problem, device)).one()

        return self._pinned(self._patiently(pin))

    def _pinned(self, row: Any) -> dict[str, Any]:
        refuse_spoilt(engine_table, [row], self._where)
        facts = read_json(row.facts, dict, engine_table, f"{row.problem_id} {row.device}", self._where)
        return {**facts, "engine": row.engine, "chunk": row.chunk}

    def _pin_of(self, problem: Problem, device: str) -> sa.Select[Any]:
        return sa.select(engine_table).where(
            engine_table.c.problem_id == self._problems[problem], engine_table.c.device == device
        )

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """Outcomes in the order of `lanes`; only lanes not yet stored are trained, each once, and saved as they finish (not
        those in which the user's code raised).

        A lane that another process stored while this one was training it is answered from the store: two processes that
        measure the same at once see the same outcomes. A stored lane that its monitors have not read is trained again.

        Raises:
            StoreError: the problem is not registered, or the store is away.
            ProblemError: a lane that is trained again ends otherwise.
            TimeOver: before all lanes had ended; it holds the outcomes of those that had, which are saved.
        """
        problem_id = self._problems.get(problem)
        if problem_id is None:
            raise StoreError("this problem is not registered with the store; call store.register(problem, ...) first")
        keys = lane_keys(problem_id, lanes, engine.name)
        stored = self._load(dict(zip(keys, lanes, strict=True)))
        found = {key: outcome for key, outcome in stored.items() if is_complete(problem, outcome)}
        for outcome in found.values():
            self._notify(outcome, False)
        todo = {key: lane for key, lane in zip(keys, lanes, strict=True) if key not in found}
        todo_keys = list(todo)
        unsaved: dict[str, Outcome] = {}
        theirs: list[str] = []
        clock = self._patience.clock
        saved_at = clock()
        shelf = self._shelf(problem_id, engine)
        with self._saving.rescued(lambda: self._parcels(problem_id, unsaved, engine.name)):
            for index, outcome in _until_over(engine.train(problem, list(todo.values()))) if todo else ():
                check_again(stored.get(todo_keys[index]), outcome, self._where)
                found[todo_keys[index]] = outcome
                if outcome.status is not LaneStatus.RAISED:  # the code may be mended without looking any different
                    unsaved[todo_keys[index]] = outcome
                self.new_gradient_steps += outcome.spent
                self._notify(outcome, True)
                if unsaved and clock() - saved_at >= SAVE_EVERY:
                    theirs += self._save(problem_id, unsaved, engine.name)
                    saved_at = clock()
            theirs += self._save(problem_id, unsaved, engine.name)
        if shelf is not None:
            shelf.drop(lane for key, lane in todo.items() if key in found)
        found |= self._load({key: todo[key] for key in theirs})
        ended = Runs(found[key] for key in keys if key in found)
        if len(ended) < len(keys):
            raise TimeOver(outcomes=ended)
        return ended

    def missing(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> list[Lane]:
        """Those that `get_or_train` would train."""
        keys = lane_keys(self._problems[problem], lanes, engine.name)
        stored = self._load(dict(zip(keys, lanes, strict=True)))
        known = {key for key, outcome in stored.items() if is_complete(problem, outcome)}
        return [lane for key, lane in zip(keys, lanes, strict=True) if key not in known]

    def _shelf(self, problem_id: str, engine: Engine) -> SnapshotFolder | None:
        """Where `engine` keeps lanes under way: beside a store that is a file, for problems that are the same again."""
        if not isinstance(engine, Keeps):
            return None
        path = None if ONE_USE in problem_id else self._database.path
        folder = None if path is None else path.with_name(path.name + ".snapshots")
        engine.shelf = shelf = None if folder is None else SnapshotFolder(folder, f"{problem_id} {engine.name}")
        return shelf

    def summary(self) -> list[dict[str, Any]]:
        """One row per stored problem: name, lanes by status, gradient steps, range of rates, last use."""
        with self._database.transaction() as connection:
            return summary(connection, self._where)

    def _notify(self, outcome: Outcome, new: bool) -> None:
        if self.on_outcome:
            self.on_outcome(outcome, new)

    def _load(self, lanes: Mapping[str, Lane]) -> dict[str, Outcome]:
        def load(connection: sa.Connection) -> dict[str, Outcome]:
            outcomes: dict[str, Outcome] = {}
            for start in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[start : start + KEYS_AT_ONCE]
                runs = connection.execute(sa.select(run_table).where(run_table.c.key.in_(some))).all()
                refuse_spoilt(run_table, runs, self._where)
                steps = self._grouped(connection, step_table, step_table.c.step, some)
                epochs = self._grouped(connection, epoch_table, epoch_table.c.epoch, some)
                looked = [key for key in some if lanes[key].monitors]
                readings = self._grouped(connection, reading_table, reading_table.c.step, looked) if looked else {}
                groups = (steps, epochs, readings)
                outcomes |= {r.key: outcome_of(r, lanes[r.key], *(g.get(r.key, ()) for g in groups)) for r in runs}
            return outcomes

        keys = list(lanes)
        return self._patiently(load) if keys else {}

    def _grouped(
        self, connection: sa.Connection, table: sa.Table, order: sa.Column[Any], keys: list[str]
    ) -> dict[str, list[Any]]:
        """Rows of `table` by run, in order."""
        groups: dict[str, list[Any]] = {}
        rows = connection.execute(sa.select(table).where(table.c.run_key.in_(keys)).order_by(table.c.run_key, order)).all()
        refuse_spoilt(table, rows, self._where)
        for row in rows:
            groups.setdefault(row.run_key, []).append(row)
        return groups

    def _save(self, problem_id: str, unsaved: dict[str, Outcome], engine_name: str) -> list[str]:
        """Store the outcomes, and forget them; returns the keys that were stored before, which stay as they are."""
        parcels = self._parcels(problem_id, unsaved, engine_name)
        new = self._patience.wait_for(lambda: self._saving.save(parcels), self._where)
        theirs = [key for key in unsaved if key not in new]
        unsaved.clear()
        return theirs

    def _parcels(self, problem_id: str, outcomes: Mapping[str, Outcome], engine_name: str) -> list[Parcel]:
        return [
            Parcel(
                problem=self._rows[problem_id],
                run=run_row(key, problem_id, outcome, engine_name),
                epochs=[{"run_key": key, **nan_to_none(vars(e))} for e in outcome.epochs],
                steps=[{"run_key": key, **nan_to_none(vars(s))} for s in outcome.trace],
                readings=reading_rows(key, outcome),
            )
            for key, outcome in outcomes.items()
        ]


def _until_over(found: Iterator[tuple[int, Outcome]]) -> Iterator[tuple[int, Outcome]]:
    """What ends before time is over."""
    with suppress(TimeOver):
        yield from found


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=TRACE_TOLERANCE) for x, y in zip(a, b, strict=True))
