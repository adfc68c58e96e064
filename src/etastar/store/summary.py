"""What a store holds, problem by problem."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from etastar.core.lane import LaneStatus
from etastar.store.schema import problem_table, run_table
from etastar.store.sound import read_json, refuse_spoilt


def summary(connection: sa.Connection, where: str) -> list[dict[str, Any]]:
    """One row per stored problem: name, lanes by status, gradient steps, range of rates, last use.

    Args:
        where: what holds it, for a message.

    Raises:
        StoreError: a row is not as etastar wrote it.
    """
    _refuse_spoilt_runs(connection, where)
    kept = [status for status in LaneStatus if status is not LaneStatus.RAISED]  # such lanes are never stored
    counts = [sa.func.sum(sa.case((run_table.c.status == s.value, 1), else_=0)).label(s.value) for s in kept]
    spent = run_table.c.steps - sa.func.coalesce(run_table.c.shared, 0)
    query = (
        sa.select(
            problem_table.c.id,
            problem_table.c.name,
            problem_table.c.facts,
            sa.func.count(run_table.c.key).label("lanes"),
            *counts,
            sa.cast(sa.func.sum(spent), sa.BigInteger).label("gradient_steps"),
            sa.func.min(run_table.c.lr).label("lr_low"),
            sa.func.max(run_table.c.lr).label("lr_high"),
            sa.func.max(run_table.c.created).label("last"),
        )
        .join(run_table, run_table.c.problem_id == problem_table.c.id)
        .group_by(problem_table.c.id)
        .order_by(sa.desc("last"))
    )
    rows = [dict(row._mapping) for row in connection.execute(query)]
    for row in rows:
        facts = read_json(row.pop("facts"), dict, problem_table, row["id"], where)
        row["optimizer"] = str(facts.get("optimizer", ""))
    return rows


def _refuse_spoilt_runs(connection: sa.Connection, where: str) -> None:
    """Refuse runs that would be counted as nothing, or could not be shown."""
    spoilt = [run_table.c.status.not_in([status.value for status in LaneStatus])]
    if connection.dialect.name == "sqlite":  # which keeps text in a column of numbers, unless the table is strict
        spoilt += [sa.func.typeof(run_table.c[name]).not_in(("integer", "real")) for name in ("lr", "steps")]
    refuse_spoilt(run_table, connection.execute(sa.select(run_table).where(sa.or_(*spoilt)).limit(1)).all(), where)
