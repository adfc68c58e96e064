"""Which processes descend from one that was marked in its environment, and what a store being written to holds."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

PATIENCE = 300.0
"""Seconds for which a test waits for another process: twenty busy neighbours on two cores make it eleven times as slow."""


def processes(mark: str) -> list[int]:
    """Every process that descends from ours, by the mark in its environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"ETASTAR_KILL_TEST={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_for_none(mark: str, seconds: float = PATIENCE) -> list[int]:
    deadline = time.monotonic() + seconds
    while (left := processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def stored_lanes(store: Path) -> int:
    if not store.exists():
        return 0
    connection = sqlite3.connect(store, timeout=30)
    try:
        return connection.execute("SELECT count(*) FROM run").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
