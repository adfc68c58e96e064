"""Peaks, forks and repeats: against a synthetic truth, and forks against the training they leave."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from etastar import Criterion, Lane, Runs
from etastar.core import Until
from etastar.core.lane import LaneStatus, Outcome, StepRow
from etastar.designs.psi.forks import MULTIPLES, PATHS, PLACES, Forks, fork_policy
from etastar.designs.psi.repeats import Repeats
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.engine import LoopEngine
from etastar.laws.psi.ideal import ideals_of
from etastar.policies import Constant, Schedule
from etastar.policies.policy import rates_over
from etastar.problems.small import FAMILIES, Task
from etastar.testing import SyntheticEngine, Truth

CRITERION = Criterion()
LINEAR = Schedule(decay=1.0).over(200)


def told(design: Any, outcomes: Any) -> Any:
    while lanes := design.ask():
        design.tell(Runs(outcomes(lanes)))
    return design.answer()


def synthetic(truth: Truth) -> Any:
    engine = SyntheticEngine(truth)
    return lambda lanes: [outcome for _, outcome in engine.train(None, lanes)]


@pytest.mark.parametrize("start", [0.02, 0.05, 0.1, 0.3])
def test_the_peak_is_the_vertex_wherever_the_grid_began(start: float) -> None:
    truth = Truth(eta_star=1e3, best=0.07, horizon=100, depth=2.5)
    found = told(TunedPeak(CRITERION, Constant(), 100, start, seeds=2), synthetic(truth))
    assert found.require() == pytest.approx(0.07, rel=0.05)


def test_a_grid_grows_until_its_end_is_not_the_best() -> None:
    truth = Truth(eta_star=1e3, best=0.1 * 2**6, depth=4.5, start=9.0)
    design = lambda: TunedPeak(CRITERION, Constant(), 100, 0.1, seeds=1)
    assert told(design(), synthetic(truth)).require() == pytest.approx(6.4, rel=0.05)
    beyond = Truth(eta_star=1e6, best=0.1 * 2**12, depth=9.5, start=9.0, curvature=0.5)
    assert told(design(), synthetic(beyond)).status.value == "edge-of-range"


def test_where_nothing_trains_there_is_no_peak() -> None:
    found = told(TunedPeak(CRITERION, Constant(), 100, 0.1, seeds=1), synthetic(Truth(eta_star=1e-9, width=0.0)))
    assert found.status.value == "diverged-everywhere"


@pytest.mark.parametrize("at", [0, 20, 100, 190])
def test_a_fork_of_the_reference_at_its_own_rate_is_the_reference(at: int) -> None:
    own = [float(rate) for rate in rates_over(fork_policy(PATHS["linear"], at, 1.0, 200), 0.3, 200)]
    assert own == pytest.approx([float(rate) for rate in rates_over(LINEAR, 0.3, 200)], rel=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_a_fork_is_its_path_then_its_own_rate_then_the_reference(path: str) -> None:
    before = {
        "linear": lambda s: 1 - s,
        "constant": lambda s: 1.0,
        "half": lambda s: (1 - s) / 2,
        "double": lambda s: 2 - 2 * s,
    }
    rates = [float(rate) for rate in rates_over(fork_policy(PATHS[path], 50, 4.0, 200), 1.0, 200)]
    expected = [before[path](t / 200) if t < 50 else (4.0 if t < 70 else 1.0) * (1 - t / 200) for t in range(200)]
    assert rates == pytest.approx(expected, rel=1e-12)


def _state_with_best(wanted: float) -> Any:
    """Lanes whose ln(final loss) is a parabola of the fork's rate, lowest at `wanted` x the reference."""

    def train(lanes: Any) -> list[Outcome]:
        found = []
        for lane in lanes:
            rates = [float(rate) for rate in rates_over(lane.policy, 1.0, lane.steps)]
            at = next((t for t in range(lane.steps) if _forked(rates, t)), None)
            multiple = 1.0 if at is None else rates[at] / (1 - at / lane.steps)
            loss = math.exp(0.1 * math.log(multiple / wanted) ** 2 + 0.01 * (lane.seed % 7))
            found.append(Outcome(lane, LaneStatus.TRAINED, 1, lane.steps, 2.0, loss, valid_loss=loss))
        return found

    return train


def _forked(rates: list[float], t: int) -> bool:
    """Whether the rate at t is not the reference's, and that at the next step but a tenth is."""
    steps, end = len(rates), t + len(rates) // 10
    off = abs(rates[t] / (1 - t / steps) - 1) > 1e-9
    return off and (end >= steps or abs(rates[end] / (1 - end / steps) - 1) < 1e-9)


@pytest.mark.parametrize("wanted", [0.7, 1.0, 1.6, 7.0, 1 / 7])
def test_the_ideal_of_a_state_is_the_vertex_of_its_forks(wanted: float) -> None:
    design = Forks(CRITERION, 100, 0.3, updates=20, task="t", group="g", seeds=2)
    forks = told(design, _state_with_best(wanted))
    start = next(ideal for ideal in ideals_of(forks) if ideal.s == 0.0)
    assert math.exp(start.log_factor) == pytest.approx(wanted, rel=1e-6)
    assert start.side == 0


def test_an_ideal_beyond_the_widest_forks_says_so() -> None:
    forks = told(Forks(CRITERION, 100, 0.3, updates=20, task="t", group="g", seeds=2), _state_with_best(1 / 40))
    start = next(ideal for ideal in ideals_of(forks) if ideal.s == 0.0)
    assert (start.side, math.exp(start.log_factor)) == (-1, pytest.approx(1 / 16))


def test_forks_keep_to_their_plan_and_record_the_columns_of_the_question() -> None:
    design = Forks(CRITERION, 100, 0.3, updates=20, task="t", group="g", seeds=2)
    lanes, planned = design.ask(), design.planned()
    states = 1 + (len(PLACES) - 1) * len(PATHS)
    assert len(lanes) == states * len(MULTIPLES) * 2
    assert planned.lanes == states * (len(MULTIPLES) + 1) * 2
    design.tell(Runs(_state_with_best(1.0)(lanes)))
    row = next(fork for fork in design.answer() if fork.path == "linear" and fork.s == 0.5 and fork.multiple == 2.0)
    assert (row.epoch, row.lr) == (2.5, pytest.approx(0.3))


def test_a_fork_records_by_how_much_the_loss_fell_over_its_segment() -> None:
    def outcome(lane: Lane, steps: int) -> Outcome:
        trace = tuple(StepRow(t, 0.1, 2.0 * math.exp(-0.01 * t)) for t in range(steps))
        return Outcome(lane, LaneStatus.SLOW, None, steps, 2.0, 1.0, valid_loss=1.0, trace=trace)

    design = Forks(CRITERION, 100, 0.3, updates=20, task="t", group="g", seeds=2)
    found = told(design, lambda lanes: [outcome(lane, 100 if i % 2 else 55) for i, lane in enumerate(lanes)])
    whole, broken = [fork for fork in found if (fork.path, fork.s, fork.multiple) == ("linear", 0.5, 1.0)][::-1]
    assert whole.soon == pytest.approx(0.1, abs=1e-6)
    assert math.isnan(broken.soon)


def test_forks_of_a_real_task_share_their_trunks_and_equal_lanes_from_the_start() -> None:
    task = Task(FAMILIES[0], "sgd", 20)
    problem = task.problem()
    design = Forks(CRITERION, 20, 0.1, updates=20, task=task.name, group=task.group, seeds=1)
    lanes = [lane for lane in design.ask() if lane.policy.trunk() and lane.policy.trunk()[1] in (5, 10)][:12]
    together = dict(LoopEngine().train(problem, lanes))
    assert sum(outcome.spent for outcome in together.values()) < 0.8 * 20 * len(lanes)
    for i in (0, 7):
        alone = dict(LoopEngine().train(problem, [lanes[i]]))[0]
        assert together[i].valid_loss == alone.valid_loss


def test_repeats_train_all_arms_on_the_same_seeds() -> None:
    design = Repeats(CRITERION, 50, {"a": (Constant(), 0.1), "b": (Constant(), 0.2)}, seeds=3)
    lanes = design.ask()
    assert [lane.seed for lane in lanes[:3]] == [lane.seed for lane in lanes[3:]]
    found = told(
        Repeats(CRITERION, 50, {"a": (Constant(), 0.1), "c": (Constant(), 1e9)}, seeds=3), synthetic(Truth(width=0.0))
    )
    assert found["a"] == (pytest.approx(Truth().loss(0.1, 50)),) * 3
    assert found["c"] == (math.inf,) * 3


def test_a_lane_over_small_data_trains() -> None:
    torch.manual_seed(0)
    for family in FAMILIES:
        problem = Task(family, "adam", 12).problem(scored_on="test")
        outcome = dict(LoopEngine().train(problem, [Lane(0.01, 0, 12, CRITERION, Until.END)]))[0]
        assert outcome.scored_loss is not None, family.name
        assert outcome.scored_loss < outcome.start_loss, family.name
