"""The checks of stores and engines fail on classes that are broken, each in its own way, and say how."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from etastar import Criterion, Lane, Runs, RunStore
from etastar.core import Until
from etastar.core.lane import LaneStatus
from etastar.engine import LoopEngine
from etastar.problems.quadratic import quadratic
from etastar.testing import (
    check_engine,
    check_store,
)
from store_cases import FACTS, TRACE

# -- stores ------------------------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """A store in a dictionary that keeps the contract."""

    kept: dict[tuple[str, Lane], Any] = field(default_factory=dict)

    def key(self, engine, lane):
        return engine.name, lane

    def keep(self, engine, outcome):
        if outcome.status is not LaneStatus.RAISED:
            self.kept[self.key(engine, outcome.lane)] = outcome

    def get_or_train(self, engine, problem, lanes):
        todo = list(dict.fromkeys(lane for lane in lanes if self.key(engine, lane) not in self.kept))
        found = {}
        for index, outcome in engine.train(problem, todo):
            found[todo[index]] = outcome
            self.keep(engine, outcome)
        return Runs(found.get(lane) or self.kept[self.key(engine, lane)] for lane in lanes)


class Forgets(Memory):
    def keep(self, engine, outcome):
        pass


class KeepsWhatRaised(Memory):
    def keep(self, engine, outcome):
        self.kept[self.key(engine, outcome.lane)] = outcome


class OneEngine(Memory):
    def key(self, engine, lane):
        return "any", lane


class Unordered(Memory):
    def get_or_train(self, engine, problem, lanes):
        return Runs(reversed(super().get_or_train(engine, problem, lanes)))


class Rounds(Memory):
    def keep(self, engine, outcome):
        super().keep(engine, replace(outcome, end_loss=round(outcome.end_loss, 3) if outcome.trained else outcome.end_loss))


class Swallows(Memory):
    def get_or_train(self, engine, problem, lanes):
        try:
            return super().get_or_train(engine, problem, lanes)
        except BaseException:
            return Runs()


BROKEN_STORES = {
    Forgets: "a lane was trained twice",
    KeepsWhatRaised: "in which the user's code raised was stored",
    OneEngine: "of another engine was trained 0 times",
    Unordered: "in another order",
    Rounds: "end_loss of .* came back as",
    Swallows: "did not get out of the store",
}


def test_a_store_that_keeps_the_contract_passes():
    store = Memory()
    check_store(lambda: store, quadratic())


@pytest.mark.parametrize(("broken", "how"), BROKEN_STORES.items(), ids=[broken.__name__ for broken in BROKEN_STORES])
def test_a_broken_store_fails(broken, how):
    store = broken()
    with pytest.raises(AssertionError, match=how):
        check_store(lambda: store, quadratic())


def test_a_store_that_is_another_each_time_fails():
    def opened():
        store = RunStore(":memory:")
        store.register(problem, "f" * 32, TRACE, FACTS)
        return store

    problem = quadratic()
    with pytest.raises(AssertionError, match="a lane was trained twice"):
        check_store(opened, problem)


# -- engines -----------------------------------------------------------------------------------------------------------


class Exact(LoopEngine):
    """The loop in float64."""

    def __init__(self) -> None:
        super().__init__(dtype=torch.float64)


class Drifts(Exact):
    def train(self, problem, lanes):
        for index, outcome in super().train(problem, [replace(lane, lr=lane.lr * (1 + 1e-9)) for lane in lanes]):
            yield index, replace(outcome, lane=lanes[index])


class Leaves(Exact):
    def train(self, problem, lanes):
        yield from itertools.islice(super().train(problem, lanes), 1)


class Repeats(Exact):
    def train(self, problem, lanes):
        for found in super().train(problem, lanes):
            yield found
            yield found


class Swaps(Exact):
    def train(self, problem, lanes):
        for index, outcome in super().train(problem, lanes):
            yield len(lanes) - 1 - index, outcome


class SeesItsNeighbours(Exact):
    def train(self, problem, lanes):
        for index, outcome in super().train(problem, lanes):
            yield index, replace(outcome, end_loss=outcome.end_loss * (1 + 1e-9 * (len(lanes) < 3)))


BROKEN_ENGINES = {
    Drifts: "has lr .* at step 0 of the lane of rate 0.1 and seed 0; expected the loop's 0.1",
    Leaves: "gave no outcome of lane 1",
    Repeats: "gave lane 0 twice",
    Swaps: "the outcome of another lane for lane",
    SeesItsNeighbours: "with other lanes beside it, has end_loss",
}
THREE = [Lane(0.1, seed, 12, Criterion(loss=-1.0), Until.END) for seed in range(3)]


def test_an_engine_that_keeps_the_contract_passes():
    check_engine(Exact(), quadratic(), THREE)


@pytest.mark.parametrize(("broken", "how"), BROKEN_ENGINES.items(), ids=[broken.__name__ for broken in BROKEN_ENGINES])
def test_a_broken_engine_fails(broken, how):
    with pytest.raises(AssertionError, match=how):
        check_engine(broken(), quadratic(), THREE)


def test_a_problem_that_stands_still_proves_nothing():
    with pytest.raises(AssertionError, match="does not change in loop/cpu/float64; expected a problem that trains"):
        check_engine(Exact(), quadratic(), [replace(lane, lr=1e-30) for lane in THREE])
