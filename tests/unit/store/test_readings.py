"""Readings in the store, on both databases: they come back as they were read, and a lane without them is trained again."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from etastar import Lane, Outcome, Problem, ProblemError, StoreError
from etastar.core.lane import ReadingRow
from etastar.engine import LoopEngine
from store_cases import STABLE, lane, open_store, rows, same


@dataclass(frozen=True)
class Ten:
    """A monitor for the tests: it is never asked, its readings are put in."""

    every: int
    name: ClassVar[str] = "ten"

    def init(self, setup, batch):
        return None

    def look(self, step, setup, state):
        return [("", "ten", 10.0)], None


class Reads:
    """The loop, whose outcomes have readings of the monitors asked; `change` is what it makes of an outcome."""

    name = "loop/cpu"

    def __init__(self, change=lambda outcome: outcome) -> None:
        self.trained: list[Lane] = []
        self._loop, self._change = LoopEngine(), change

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for index, own in enumerate(lanes):
            self.trained.append(own)
            (_, outcome), = self._loop.train(problem, [replace(own, monitors=())])  # fmt: skip
            read = tuple(
                ReadingRow(step, repr(monitor), block, "moved", value)
                for step in (0, 10)
                for monitor in own.monitors
                for block, value in (("layer.10", 1.0 + step), ("layer.9", math.nan), ("", math.inf))
            )
            yield index, self._change(replace(outcome, lane=own, readings=read))


def asked(url: str, problem: Problem, engine: Reads, *monitors: Ten) -> Outcome:
    with closing(open_store(url, problem)) as store:
        return store.get_or_train(engine, problem, [replace(lane(STABLE, steps=20), monitors=monitors)])[0]


def test_readings_come_back_in_the_order_in_which_they_were_read(url: str, noisy: Problem) -> None:
    new, again = Reads(), Reads()
    monitors = (Ten(5), Ten(10))
    fresh, stored = (asked(url, noisy, engine, *monitors) for engine in (new, again))
    assert again.trained == [] and len(fresh.readings) == 12
    assert same(stored, fresh)
    assert [r.block for r in stored.read_by(Ten(10))] == 2 * ["layer.10", "layer.9", ""]
    turned = asked(url, noisy, again, *reversed(monitors))
    assert again.trained == [] and [r.monitor for r in turned.readings[:6]] == 3 * [repr(Ten(10))] + 3 * [repr(Ten(5))]
    assert asked(url, noisy, again).readings == () and again.trained == []


def test_a_stored_lane_is_trained_again_for_a_monitor_that_has_not_read_it(url: str, noisy: Problem) -> None:
    engine = Reads()
    plain = asked(url, noisy, engine)
    read = asked(url, noisy, engine, Ten(5))
    assert len(engine.trained) == 2 and len(read.readings) == 6
    assert same(replace(plain, lane=read.lane, readings=read.readings), read)
    both = asked(url, noisy, engine, Ten(5), Ten(2))
    assert len(engine.trained) == 3 and len(both.readings) == 12
    assert same(asked(url, noisy, engine, Ten(2)).readings, both.read_by(Ten(2))) and len(engine.trained) == 3
    assert rows(url, "SELECT COUNT(*) FROM run") == [(1,)] and rows(url, "SELECT COUNT(*) FROM reading") == [(12,)]


def test_a_lane_that_does_otherwise_when_it_is_trained_again_is_refused_in_one_sentence(url: str, noisy: Problem) -> None:
    asked(url, noisy, Reads())
    rounds = Reads(lambda outcome: replace(outcome, end_loss=outcome.end_loss * (1 + 1e-5)))
    assert asked(url, noisy, rounds, Ten(5)).readings
    otherwise = Reads(lambda outcome: replace(outcome, end_loss=outcome.end_loss * 1.01))
    with pytest.raises(
        ProblemError,
        match=r"trained again for its monitors it is trained after 20 steps at loss .*; expected the same: pass",
    ):
        asked(url, noisy, otherwise, Ten(3))
    assert len(asked(url, noisy, Reads(), Ten(5)).readings) == 6


def test_a_store_from_before_there_were_readings_opens(tmp_path: Path, noisy: Problem) -> None:
    path = tmp_path / "runs.db"
    engine = Reads()
    plain = asked(str(path), noisy, engine)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE reading")
    assert same(asked(str(path), noisy, engine), plain) and len(engine.trained) == 1
    assert len(asked(str(path), noisy, engine, Ten(5)).readings) == 6


def test_readings_wait_in_a_file_with_their_lane_and_older_files_are_taken_in(tmp_path: Path, noisy: Problem) -> None:
    from etastar.store.unsaved import _digest, read

    path = tmp_path / "runs.db"

    class Fails(Reads):
        def train(self, problem, lanes):
            yield from super().train(problem, lanes)
            with sqlite3.connect(path) as connection:
                connection.execute("DROP TABLE step")
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="1 lane trained since the last save kept in"):
        asked(str(path), noisy, Fails(), Ten(5))
    (waiting,) = tmp_path.glob("*.jsonl")
    (parcel,) = read(waiting)
    assert len(parcel.readings) == 6 and parcel.readings[2]["value"] == math.inf
    content = json.loads(json.loads(waiting.read_text())["lane"])
    del content["readings"]
    text = json.dumps(content)
    waiting.write_text(json.dumps({"digest": _digest(text), "lane": text}) + "\n")
    assert read(waiting)[0] == replace(parcel, readings=[])
