"""`max_seconds` is a limit, also within a lane, in the preflight and in a training loop of the user's own. The clock is
injected: it goes on with every step that is recorded, so that what is asserted is how much was computed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Lane, Options, ProblemError
from etastar.core import Until
from etastar.core.deadline import Deadline, TimeOver
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.fixed_lanes import FixedLanes
from etastar.engine import LoopEngine, WorkerEngine
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.recorder import Recorder
from etastar.verbs.find.find import find_in
from etastar.verbs.workplace import Workplace

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] > 0).long()


class Clock:
    """`each` seconds for every recorded step."""

    def __init__(self) -> None:
        self.now, self.each = 0.0, 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    own, report = Clock(), Recorder.report

    def ticking(recorder, *args, **named):
        own.now += own.each
        return report(recorder, *args, **named)

    monkeypatch.setattr(Recorder, "report", ticking)
    return own


def problem() -> etastar.Problem:
    return etastar.Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=(X, Y),
        batch_size=16,
        steps=640,
    )


def options(seconds: float | None, **changes) -> Options:
    return Options(
        **{"store": ":memory:", "workers": 1, "device": "cpu", "engine": "loop", "max_seconds": seconds, **changes}
    )


def begun(clock: Clock, place: Workplace, own: etastar.Problem) -> None:
    """Preflight and trial are over; from here on a step takes a second."""
    place.of(own).plan(FixedLanes([Lane(0.1, 0, 1)]).planned())
    clock.each = 1.0


@pytest.mark.parametrize("limit", [30, 100, 1000, 1900])
def test_find_ends_within_a_step_of_the_limit_and_answers_or_says_why_not(clock, limit):
    with Workplace(options(limit), clock) as place:
        own = problem()
        begun(clock, place, own)
        answer = find_in(place.of(own), "quick", seed=0)
    assert clock.now <= limit + 1
    assert ("time-limit" in answer.flags) == (limit < 1900)
    assert answer.lr.ok == (limit >= 100), answer.lr.reason
    assert answer.cost["gradient_steps"] <= limit and answer.cost["seconds"] <= limit + 1


def test_a_rung_that_does_not_fit_is_shortened(clock):
    with Workplace(options(1000), clock) as place:
        own = problem()
        begun(clock, place, own)
        found = place.of(own).run(BestLR(place.of(own).facts.criterion, own.steps, start=0.1))
    lengths = [rung.steps for rung in found.rungs]
    assert lengths[0] == 20 and 40 <= lengths[1] < 320, "the main rung has 320 steps where there is time for it"
    assert found.lr.ok and "time-limit" in found.lr.flags


def test_without_a_limit_rungs_are_as_they_were(clock):
    with Workplace(options(None), clock) as place:
        own = problem()
        begun(clock, place, own)
        found = place.of(own).run(BestLR(place.of(own).facts.criterion, own.steps, start=0.1))
    assert [rung.steps for rung in found.rungs] == [20, 320] and "time-limit" not in found.lr.flags


def test_stored_lanes_take_no_time(clock, tmp_path):
    own = problem()
    lane = FixedLanes([Lane(0.1, 0, 500, until=Until.END)])
    with Workplace(options(None, store=tmp_path / "runs.db"), clock) as place:
        trained = place.of(own).run(lane)
    clock.each = 1.0
    again = problem()
    with Workplace(options(60, store=tmp_path / "runs.db"), clock) as place:
        known = place.of(again).run(FixedLanes([Lane(0.1, 0, 500, until=Until.END)]))
    assert [o.end_loss for o in known] == [o.end_loss for o in trained] and len(known) == 1


@pytest.mark.parametrize("engine", [LoopEngine(), LaneEngine("vmap", 2)])
def test_a_lane_ends_between_two_steps(engine):
    """Its steps are counted by a clock that the deadline reads: at every step, and it ends at the 31st reading."""
    readings = [0.0]

    def clock() -> float:
        readings[0] += 1.0
        return readings[0]

    own = problem()
    with Deadline(30, clock).held(), pytest.raises(TimeOver):
        list(engine.train(own, [Lane(0.1, 0, 640, until=Until.END), Lane(0.2, 0, 640, until=Until.END)]))
    assert readings[0] <= 32


class Flag:
    """A clock that all processes see: time is over once there is a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> float:
        return 1e9 if self.path.exists() else 0.0


def test_workers_give_what_ended_in_time(small, tmp_path):
    over = tmp_path / "over"
    short, long = Lane(0.1, 0, 5, until=Until.END), Lane(0.1, 0, 10_000_000, until=Until.END)
    found = []
    with WorkerEngine(2) as engine, Deadline(1.0, Flag(over)).held(), pytest.raises(TimeOver):
        for each in engine.train(small, [short, long]):
            found.append(each)
            over.touch()
    assert [(index, outcome.steps) for index, outcome in found] == [(0, 5)]
    with WorkerEngine(2) as engine:
        again = dict(engine.train(small, [short, Lane(0.2, 0, 5, until=Until.END)]))
        assert again[0].trace == found[0][1].trace and len(again) == 2


def test_what_ended_in_time_is_stored_and_counted_and_what_was_under_way_is_kept(clock, tmp_path, monkeypatch):
    monkeypatch.setattr("etastar.engine.keeping.WORTH", 0.0)
    own = problem()
    lanes = [Lane(0.1, seed, 40, until=Until.END) for seed in range(3)]
    with Workplace(options(100, store=tmp_path / "runs.db"), clock) as place:
        begun(clock, place, own)
        clock.now = 40.0
        session = place.of(own)
        session.plan(FixedLanes(lanes).planned())
        assert len(session.run(FixedLanes(lanes))) == 0, "a design is told of whole batches"
        assert session.cost()["new_gradient_steps"] == 40, "one of three had ended"
    assert list((tmp_path / "runs.db.snapshots").glob("*.pt")), "the second goes on from where it was"
    clock.each = 0.0
    with Workplace(options(None, store=tmp_path / "runs.db"), clock) as place:
        assert len(place.of(problem()).run(FixedLanes(lanes))) == 3


def test_a_loop_of_the_users_is_told_to_stop_and_then_ended(clock):
    taken = []

    def train(lr, seed, report):
        for step in range(report.steps):
            taken.append(step)
            report(1.0 / (1 + step))  # it does not listen

    own = etastar.Problem.from_loop(train, steps=1000)
    with Workplace(options(50), clock) as place:
        begun(clock, place, own)
        taken.clear()
        answer = find_in(place.of(own), "quick", seed=0)
    assert clock.now <= 51 and len(taken) <= 51 and "time-limit" in answer.flags


def test_a_limit_shorter_than_the_preflight_is_one_sentence(clock):
    clock.each = 1.0
    with (
        Workplace(options(4), clock) as place,
        pytest.raises(ProblemError, match=r"4 s was over before .* leave max_seconds"),
    ):
        place.of(problem())
    assert clock.now <= 6


def test_the_preflight_says_what_a_step_takes_before_any_plan(clock, monkeypatch):
    monkeypatch.setattr("etastar.verbs.workplace.WORTH_SAYING", 0.0)
    heard: list[str] = []
    own = options(None, on_note=heard.append, on_plan=lambda sentence, lanes: heard.append("plan"))
    with Workplace(own, clock) as place:
        place.of(problem()).plan(FixedLanes([Lane(0.1, 0, 1)]).planned())
    assert len(heard) == 2 and heard[1] == "plan"
    assert heard[0].startswith("a step takes") and "one run of 640 steps" in heard[0] and "(thorough)" in heard[0]
