"""A store in a PostgreSQL database, for a team: which server, how it is connected to, and what of its URL may be shown."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from etastar.errors import MissingExtra, StoreError, redacted

KINDS = ("postgresql+psycopg", "postgresql", "postgres")
"""What a URL may begin with; all of them mean psycopg 3."""
CONNECTION = {
    "connect_timeout": 5,
    "client_encoding": "utf8",  # whatever the database was made with
    # a server that is gone without a word is noticed in half a minute, not in two hours
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
    "prepare_threshold": None,  # poolers between us and the server do not keep prepared statements
}
"""How we connect, unless the URL says otherwise; times in seconds, `tcp_user_timeout` in milliseconds."""
EXPECTED = "expected postgresql+psycopg://user@host/database"


def is_postgres(url: str) -> bool:
    """Whether a store URL names a PostgreSQL server.

    >>> is_postgres("postgresql://team@db.example.org/runs"), is_postgres("postgresql.db")
    (True, False)
    """
    return url.startswith(tuple(f"{kind}://" for kind in KINDS))


def parse(url: str) -> sa.URL:
    """The URL in parts. What is wrong with it is said without repeating it: it may hold a password.

    Raises:
        StoreError: it is no URL.
    """
    try:
        parts = sa.make_url(url).set(drivername=KINDS[0])
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"the store's PostgreSQL URL cannot be read; {EXPECTED}") from error
    if "@" in (parts.host or ""):
        raise StoreError(f"the store's PostgreSQL URL has two @; {EXPECTED}, with %40 for an @ in the password")
    return parts


def shown(url: sa.URL) -> str:
    """The URL as it may be printed: passwords are three stars, wherever in it they are.

    >>> shown(parse("postgresql://team:secret@db.example.org/runs"))
    'postgresql+psycopg://team:***@db.example.org/runs'
    >>> shown(parse("postgresql:///runs?host=/tmp&password=secret"))
    'postgresql+psycopg:///runs?host=/tmp&password=***'
    """
    return redacted(url.render_as_string(hide_password=False)).replace("%2F", "/")


def connect(url: sa.URL) -> sa.Engine:
    """SQLAlchemy's engine on the database; nothing is sent to the server yet.

    A connection is tried before it is used again: between two batches of lanes the server may have been restarted. Read
    committed, because who waited for another process has to see what that one wrote.

    Raises:
        MissingExtra: psycopg is not installed.
    """
    arguments = {key: value for key, value in CONNECTION.items() if key not in url.query}
    try:
        return sa.create_engine(url, isolation_level="READ COMMITTED", connect_args=arguments, pool_pre_ping=True)
    except ImportError as error:
        raise MissingExtra("a store on PostgreSQL needs psycopg 3; pip install 'etastar[postgres]'") from error
