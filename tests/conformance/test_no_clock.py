"""No test asserts how long something took: the machine may be busy. Work is counted, and clocks are injected."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "monotonic_ns", "perf_counter_ns", "time_ns"}
CALL = re.compile(rf"\b({'|'.join(CLOCKS)})\s*\(")


def reads_clock(node: ast.AST, taken: set[str]) -> bool:
    """Whether it calls a clock, or names what was taken from one."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            called = part.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            owner = called.value if isinstance(called, ast.Attribute) else None
            if name in CLOCKS and (owner is None or (isinstance(owner, ast.Name) and owner.id == "time")):
                return True
        if isinstance(part, ast.Name) and part.id in taken:
            return True
    return False


def asserts_on_clocks(source: str) -> Iterator[int]:
    """Lines of asserts that hold a clock, or a variable of the same module that was set from one."""
    if not CALL.search(source):  # without one there is nothing to find: 230 of 250 files need no parsing
        return
    tree = ast.parse(source)
    taken: set[str] = set()
    for _ in range(2):  # `first = now() - started` is known once `started` is
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and reads_clock(node.value, taken):
                taken |= {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    yield from (n.lineno for n in ast.walk(tree) if isinstance(n, ast.Assert) and reads_clock(n.test, taken))


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\nstarted = time.monotonic()\nassert time.monotonic() - started < 5", [3]),
        ("started = perf_counter()\ntook = perf_counter() - started\nassert took < 1", [3]),
        ("first, second = time.time(), 3\nassert second == 3\nassert first", [2, 3]),
        ("while time.monotonic() < deadline:\n    pass\nassert done", []),
        ("now = [0.0]\nclock = SimpleNamespace(monotonic=lambda: now[0])\nassert now == [2.0]", []),
    ],
)
def test_what_it_finds(source, lines):
    assert list(asserts_on_clocks(source)) == lines


def test_no_test_asserts_a_time():
    found = [
        f"{path.relative_to(TESTS)}:{line}" for path in TESTS.rglob("*.py") for line in asserts_on_clocks(path.read_text())
    ]
    assert not found, "count the work, or inject a clock"
