"""A table of lanes is trained whole, in order, and can be cut short."""

from __future__ import annotations

from etastar import Lane, RunStore
from etastar.core import run
from etastar.designs.fixed_lanes import FixedLanes
from etastar.engine import LoopEngine
from etastar.problems.quadratic import quadratic


def test_a_table_answers_in_the_order_of_its_lanes():
    problem, lanes = quadratic(steps=5), [Lane(lr, 0, 5) for lr in (0.3, 0.1, 0.2)]
    store = RunStore(":memory:")
    store.register(problem, "x", (1.0,), {}, reusable=True)
    runs = run(FixedLanes(lanes, batch=2), problem, LoopEngine(), store)
    assert [o.lane for o in runs] == lanes


def test_a_stopped_table_asks_for_nothing_more():
    table = FixedLanes([Lane(0.1, 0, 5)])
    assert table.ask()
    table.stop("time-limit")
    assert not table.ask()
    assert len(table.answer()) == 0
