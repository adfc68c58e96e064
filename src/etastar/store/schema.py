"""The store's tables: what a run was, what it did per epoch and step, what was read in it. Append only."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, MetaData, Table
from sqlalchemy.ext.compiler import compiles

from etastar.core.lane import LaneStatus, Until
from etastar.errors import StoreError

SCHEMA_VERSION = 1
STRICT = sqlite3.sqlite_version_info >= (3, 37)
"""Whether this SQLite can keep text out of a column of numbers; stores made before it, or by an older one, are as good."""


class _Boolean(sa.Boolean):
    """True or false, for which a strict table of SQLite has no name."""


@compiles(_Boolean, "sqlite")
def _named_in_sqlite(*_: Any, **__: Any) -> str:
    return "INTEGER"


String = Text = sa.String().with_variant(sa.Text(), "sqlite")
Float = sa.Float().with_variant(sa.REAL(), "sqlite")
BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Seeds have 63 bits: SQLite's INTEGER holds them, PostgreSQL's does not."""
Boolean = _Boolean()

WORDS = {
    ("run", "status"): frozenset(status.value for status in LaneStatus),
    ("run", "until"): frozenset(until.value for until in Until),
}
"""(table, column) -> the words it may hold."""

metadata = MetaData()


def _one_of(table: str, column: str) -> CheckConstraint:
    words = ", ".join(f"'{word}'" for word in sorted(WORDS[table, column]))
    return CheckConstraint(f"{column} IN ({words})", name=f"{table}_{column}")


def _at_least(low: int, *columns: str) -> list[CheckConstraint]:
    return [CheckConstraint(f"{column} >= {low}", name=f"{column}_at_least_{low}") for column in columns]


store_info = Table(
    "store_info",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
    sqlite_strict=STRICT,
)

problem_table = Table(
    "problem",
    metadata,
    Column("id", String, primary_key=True),
    Column("fingerprint", String, nullable=False, index=True),
    Column("trace", Text, nullable=False, doc="losses of a fixed two-step lane, JSON"),
    Column("name", String),
    Column("facts", Text, nullable=False, doc="optimizer, defaults, multipliers, shapes, JSON"),
    Column("created", String, nullable=False),
    sqlite_strict=STRICT,
)

engine_table = Table(
    "engine_choice",
    metadata,
    Column("problem_id", String, ForeignKey("problem.id"), primary_key=True),
    Column("device", String, primary_key=True),
    Column("engine", String, nullable=False, doc="pinned: later lanes of the problem are trained by the same engine"),
    Column("chunk", BigInteger, nullable=False),
    Column("facts", Text, nullable=False, doc="what was tried, how fast it was, what was refused and why, JSON"),
    Column("created", String, nullable=False),
    *_at_least(0, "chunk"),
    sqlite_strict=STRICT,
)

run_table = Table(
    "run",
    metadata,
    Column("key", String, primary_key=True),
    Column("problem_id", String, ForeignKey("problem.id"), nullable=False, index=True),
    Column("lr", Float, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("planned_steps", BigInteger, nullable=False),
    Column("until", String, nullable=False),
    Column("criterion", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("reached", BigInteger),
    Column("steps", BigInteger, nullable=False),
    Column("shared", BigInteger, doc="of these, computed for another lane that begins alike"),
    Column("first_loss", Float),
    Column("first_valid_loss", Float),
    Column("first_train_loss", Float),
    Column("end_loss", Float),
    Column("end_accuracy", Float),
    Column("valid_loss", Float),
    Column("valid_accuracy", Float),
    Column("seconds", Float, nullable=False),
    Column("engine", String, nullable=False),
    Column("torch_version", String, nullable=False),
    Column("etastar_version", String, nullable=False),
    Column("created", String, nullable=False),
    _one_of("run", "status"),
    _one_of("run", "until"),
    *_at_least(0, "planned_steps", "reached", "steps", "shared"),
    sqlite_strict=STRICT,
)

epoch_table = Table(
    "epoch",
    metadata,
    Column("run_key", String, ForeignKey("run.key"), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("step0", BigInteger, nullable=False),
    Column("step1", BigInteger, nullable=False),
    Column("lr_first", Float, nullable=False),
    Column("lr_last", Float, nullable=False),
    Column("lr_sum", Float, nullable=False),
    Column("lr_sq_sum", Float, nullable=False),
    Column("loss_mean", Float),
    Column("loss_sd", Float),
    Column("accuracy_mean", Float),
    Column("grad_norm_median", Float),
    Column("clipped_fraction", Float),
    Column("non_finite", Boolean, nullable=False),
    *_at_least(0, "epoch", "step0", "step1"),
    sqlite_strict=STRICT,
)

step_table = Table(
    "step",
    metadata,
    Column("run_key", String, ForeignKey("run.key"), primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("lr", Float, nullable=False),
    Column("loss", Float),
    Column("accuracy", Float),
    Column("grad_norm", Float),
    *_at_least(0, "step"),
    sqlite_strict=STRICT,
)

reading_table = Table(
    "reading",
    metadata,
    Column("run_key", String, ForeignKey("run.key"), primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("monitor", String, primary_key=True, doc="its repr: all its settings"),
    Column("block", String, primary_key=True, doc="of the model; empty for all of it"),
    Column("name", String, primary_key=True),
    Column("value", Float),
    Column("place", BigInteger, nullable=False, doc="in the order in which the lane's numbers were read"),
    *_at_least(0, "step", "place"),
    sqlite_strict=STRICT,
)

LATER = frozenset({engine_table.name, reading_table.name})
"""Tables that the first stores did not have; they are added. The others, once missing, were lost."""
LATER_COLUMNS = (run_table.c.first_valid_loss, run_table.c.first_train_loss, run_table.c.shared)
"""Columns that the first stores did not have; they are added, empty."""


def refuse_other_version(name: str, found: str, advice: str) -> None:
    """Refuse a store whose schema this version does not know.

    Args:
        name: of the store, for the message.
        found: the version stored there.
        advice: what to do about a store that is spoilt.

    Raises:
        StoreError: `found` is newer than `SCHEMA_VERSION`, or no version at all.
    """
    if not found.isdigit():
        raise StoreError(f"the store {name} has schema version {found!r}, which is none; {advice}")
    if int(found) > SCHEMA_VERSION:
        raise StoreError(
            f"the store {name} was written by a newer etastar (schema {found}, this one reads {SCHEMA_VERSION}); "
            "upgrade etastar, or pass another --store"
        )
