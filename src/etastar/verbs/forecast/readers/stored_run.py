"""A run of a store of ours: runs.db, or runs.db#KEY where it holds several."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from etastar.errors import ProblemError
from etastar.store.database import Database
from etastar.store.schema import run_table, step_table
from etastar.verbs.forecast.readers.log import Log, Reader

SHOWN = 3


def _recognises(path: Path, head: str) -> bool:
    return Path(str(path).partition("#")[0]).suffix in (".db", ".sqlite")


def read(path: Path) -> Log:
    """The recorded steps of the run: rate, loss of the batch.

    Raises:
        ProblemError: several runs and no key, or no such key.
        StoreError: no store.
    """
    import pandas as pd

    file, _, key = str(path).partition("#")
    database = Database(file, create=False, look_only=True)
    try:
        with database.transaction() as connection:
            known = sa.select(run_table.c.key).where(run_table.c.key.startswith(key)).order_by(run_table.c.key)
            keys = [row.key for row in connection.execute(known)]
            if len(keys) != 1:
                shown = ", ".join(keys[:SHOWN]) + (" ..." if len(keys) > SHOWN else "")
                raise ProblemError(
                    f"the store {file!r} holds {len(keys)} runs{f' whose key begins with {key!r}' if key else ''}"
                    f"{f' ({shown})' if keys else ''}; name one, e.g. {file}#{keys[0] if keys else 'KEY'}"
                )
            query = sa.select(step_table.c.step, step_table.c.lr, step_table.c.loss).where(step_table.c.run_key == keys[0])
            rows = connection.execute(query.order_by(step_table.c.step)).all()
    finally:
        database.close()
    frame = pd.DataFrame([tuple(row) for row in rows], columns=["step", "lr", "loss"])
    return Log(frame, "a run of the store")


READER = Reader("a run of the store", _recognises, read)
