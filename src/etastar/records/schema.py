"""The store's tables: what a run was, what it did per epoch, what it did per step. Append only; nothing is dropped."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, MetaData, String, Table, Text

from etastar.errors import StoreError

SCHEMA_VERSION = 1
# seeds have 63 bits: SQLite's INTEGER would hold them, PostgreSQL's would not, so every integer here is a BigInteger

metadata = MetaData()

store_info = Table(
    "store_info",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
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
)


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
