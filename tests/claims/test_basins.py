"""What the record of tasks that mislead says: ADR 47's table, its intervals, and where `find` loses."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest
from benchmarks.basins.report import summary, surely_short
from benchmarks.cases.case import table

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks/records/2026-11-26_basins"
ADR = (ROOT / "docs/adr/0047-one-lane-is-spent-on-what-half-a-training-cannot-show.md").read_text()


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (RECORD / f"{name}.jsonl").read_text().splitlines()]


def share(found: list[dict], key: str) -> int:
    return round(100 * statistics.fmean(bool(row[key]) for row in found))


@pytest.mark.parametrize("effort", ["glance", "quick", "thorough"])
def test_the_table_of_the_decision_is_the_records(effort):
    line = next(line for line in ADR.splitlines() if line.startswith(f"| {effort} |"))
    told = [[int(n) for n in re.findall(r"\d+", cell)] for cell in line.split("|")[2:6]]
    both = [[r for r in rows(name) if r["kind"] == "answer" and r["effort"] == effort] for name in ("before", "results")]
    own = [[r for r in found if r["steps"] == steps] for steps in (200, 800) for found in both]
    assert told == [[share(found, key) for found in own] for key in ("good", "close", "harmed", "holds")]


def test_no_task_has_intervals_that_are_too_short_for_sure():
    for effort in ("glance", "quick", "thorough"):
        assert surely_short([r for r in rows("results") if r["kind"] == "answer"], effort) == 0
        assert surely_short(rows("before"), effort) >= 1, "there was such a task before"


def test_quick_costs_what_it_may_and_harms_in_two_of_a_hundred():
    quick = [r for r in rows("results") if r.get("effort") == "quick"]
    assert max(r["cost"] for r in quick) <= 3.2
    assert share(quick, "harmed") <= 2 and share(quick, "good") >= 90


def test_the_records_tables_are_made_of_its_rows():
    text = (RECORD / "README.md").read_text()
    made = summary(rows("before"), rows("results"), table).split("\n\n")
    assert len(made) >= 13 and [part for part in made[1:] if part not in text] == []
