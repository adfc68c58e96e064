"""Saving lanes: in one transaction, as often as one likes; and what becomes of them where that is not possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from etastar.errors import StoreError
from etastar.store.database import Database, insert_new
from etastar.store.patience import Patience
from etastar.store.schema import epoch_table, problem_table, reading_table, run_table, step_table
from etastar.store.unsaved import Parcel, Waiting, read


class Saving:
    """Puts lanes into a database, and the rest into a file that waits for it.

    Args:
        patience: says what has to be said.
    """

    def __init__(self, database: Database, patience: Patience) -> None:
        self._database, self._say = database, patience.say
        self._waiting = None if database.in_memory else Waiting.of(database.name, database.path)

    def save(self, parcels: Sequence[Parcel]) -> set[str]:
        """Store the lanes in one transaction; returns the keys that were not stored before: the others stay as they are, but
        for readings that they lack.

        Raises:
            StoreError: nothing of them is stored, as far as one knows: it may be tried again.
        """
        if not parcels:
            return set()
        # in one order everywhere: of two writers one waits for the other, never both
        runs = [parcel.run for parcel in sorted(parcels, key=lambda parcel: parcel.run["key"])]
        with self._database.transaction() as connection:
            insert = insert_new(connection, run_table).returning(run_table.c.key)
            new = set(connection.execute(insert, runs).scalars())
            _add_first(connection, [run for run in runs if run["key"] not in new])
            kept = [parcel for parcel in parcels if parcel.run["key"] in new]
            _insert(connection, epoch_table, [row for parcel in kept for row in parcel.epochs])
            _insert(connection, step_table, [row for parcel in kept for row in parcel.steps])
            _insert(connection, reading_table, [row for parcel in parcels for row in parcel.readings])
        return new

    @contextmanager
    def rescued(self, unsaved: Callable[[], Sequence[Parcel]]) -> Iterator[None]:
        """What is unsaved when something goes wrong within is saved at once; or else kept in a file.

        Raises:
            StoreError: saving is what went wrong; the sentence says where the lanes are.
        """
        try:
            yield
        except BaseException as error:
            if not (parcels := unsaved()):
                raise
            refused = isinstance(error, StoreError)
            self._database.hurried = True
            try:
                if refused or not self._saved(parcels):
                    sentence = self._keep(parcels)
                    if refused:
                        raise StoreError(f"{error} ({sentence})") from error
                    self._say(sentence)
            finally:
                self._database.hurried = False
            raise

    def take_in(self) -> None:
        """Save the lanes that wait for the store, and remove their files; one that is not sound stays, with a sentence."""
        for path in self._waiting.files() if self._waiting else ():
            try:
                parcels = read(path)
                with self._database.transaction() as connection:
                    _insert(connection, problem_table, [parcel.problem for parcel in parcels])
                self.save(parcels)
                path.unlink(missing_ok=True)
            except (StoreError, OSError) as error:
                self._say(f"the unsaved lanes in {path} cannot be taken in ({error}); the file is left as it is")
                continue
            self._say(
                f"{_count(parcels)} that waited in {path.name} {'is' if len(parcels) == 1 else 'are'} in the store now"
            )

    def _saved(self, parcels: Sequence[Parcel]) -> bool:
        try:
            self.save(parcels)
        except StoreError:
            return False
        return True

    def _keep(self, parcels: Sequence[Parcel]) -> str:
        """Keep them in a file; returns a sentence that says so, or why not."""
        trained = f"{_count(parcels)} trained since the last save"
        if self._waiting is None:
            return f"{trained} not saved, earlier ones are"
        try:
            path = self._waiting.keep(parcels)
        except OSError as error:
            return f"{trained} not saved, earlier ones are: {self._waiting.folder} cannot be written ({error.strerror})"
        return f"{trained} kept in {path}, and taken in when this store is next opened; earlier ones are saved"


def _add_first(connection: sa.Connection, runs: Sequence[Mapping[str, Any]]) -> None:
    """Complete lanes that were stored without their first losses; the rest of them stays as it is."""
    columns = ("first_valid_loss", "first_train_loss")
    rows = [{f"new_{name}": run.get(name) for name in ("key", *columns)} for run in runs]
    if not rows:
        return
    empty = sa.and_(run_table.c.key == sa.bindparam("new_key"), *(run_table.c[name].is_(None) for name in columns))
    connection.execute(sa.update(run_table).where(empty).values({n: sa.bindparam(f"new_{n}") for n in columns}), rows)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(insert_new(connection, table), rows)


def _count(parcels: Sequence[Parcel]) -> str:
    return f"{len(parcels)} lanes" if len(parcels) > 1 else "1 lane"
