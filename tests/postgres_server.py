"""A real PostgreSQL of one's own, in a temporary folder, for as long as the tests need it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from processes import PATIENCE

ROLES = """
CREATE ROLE team LOGIN CREATEDB;
CREATE ROLE locked LOGIN PASSWORD 'open sesame';
CREATE ROLE reader LOGIN;
"""
WHO_MAY = """
local all locked scram-sha-256
local all all trust
"""

EMPTIED = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION team;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
UNTIL_WE_ARE_GONE = """
trap : INT TERM HUP
"$@" </dev/null &
read -r _
kill -QUIT $!
wait $!
rm -rf "$0"
"""
"""Waits for the end of its input, which comes when we close it and also when we are killed; nothing is left then."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's initdb and postgres; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: [int(d) for d in p.parent.name.split(".")])
    on_path = shutil.which("initdb")
    if on_path:
        found.insert(0, Path(on_path).resolve().parent)
    return next((f for f in reversed(found) if (f / "initdb").exists() and (f / "postgres").exists()), None)


class Server:
    """Started at once, on a socket in a folder of its own; PostgreSQL refuses root, so root lends it to somebody else."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="etastar-postgres-", dir="/tmp"))  # a socket's path has to be short
        self.folder.chmod(0o755)
        self._user: dict[str, Any] = {}
        self._free: list[str] = []
        if os.getuid() == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            somebody = names.get("postgres") or names["nobody"]
            os.chown(self.folder, somebody.pw_uid, somebody.pw_gid)
            self._user = {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        self._run(programs / "initdb", "-D", data, "-U", "admin", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        (data / "pg_hba.conf").write_text(WHO_MAY)
        command = [programs / "postgres", "-D", data, "-F", "-k", self.folder, "-c", "listen_addresses="]
        with (self.folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", UNTIL_WE_ARE_GONE, self.folder, *command],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                **self._user,
            )
        self._wait()
        self.sql(ROLES)

    def stop(self) -> None:
        """Stop it and remove its files."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, user: str = "team") -> str:
        """A store URL."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """An empty database of the role `team`."""
        name = f"runs_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} OWNER team")
        return name

    @contextmanager
    def lent_database(self) -> Iterator[str]:
        """The same, emptied and lent again afterwards: to make one takes 300 files, 11 MB and 40 ms of CPU."""
        database = self._free.pop() if self._free else self.new_database()
        yield database
        self.cut(database)
        self.sql(EMPTIED, database)
        self._free.append(database)

    def sql(self, command: str, database: str = "postgres", user: str = "admin") -> list[Any]:
        """Run a command past etastar; returns its rows."""
        with self.connect(database, user) as connection:
            cursor = connection.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def connect(self, database: str, user: str = "admin") -> psycopg.Connection:
        """A connection past etastar."""
        return psycopg.connect(host=str(self.folder), dbname=database, user=user, autocommit=True)

    def cut(self, database: str) -> int:
        """Cut every connection to the database; returns how many."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname='{}' AND pid<>pg_backend_pid()"
        return len(self.sql(query.format(database)))

    def _run(self, *command: Any) -> None:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._user)
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.sql("SELECT 1")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "log").read_text()
                    raise RuntimeError(f"PostgreSQL did not start:\n{said}") from None
                time.sleep(0.02)
