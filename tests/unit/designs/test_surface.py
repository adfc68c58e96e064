"""The design of a surface on made-up losses: where it looks, how far it goes, and what its cells say."""

from __future__ import annotations

import math

import pytest

from etastar import Criterion, Outcome, Runs, Status
from etastar.core import LaneStatus
from etastar.core.lane import Lane, StepRow
from etastar.designs import Surface
from etastar.designs.surface.surface import Row, SurfaceData, lattice, lattice_around
from etastar.designs.surface.surface_cells import cells_of, default_target, pareto_front, time_to
from etastar.laws.law import Record
from etastar.policies import Constant
from etastar.problems.quadratic import loss_curve

ROWS = [Row("constant", 50, Constant()), Row("constant", 100, Constant())]


def measure(loss_at, *, rows=ROWS, rates=None, **settings) -> tuple[SurfaceData, Surface, list[Lane]]:
    """Run the design to its end; `loss_at(log_lr, horizon)` is the final loss, infinite if it diverges."""
    design = Surface(Criterion(), rows, rates or lattice(-2.0, 0.0), **settings)
    asked: list[Lane] = []
    while lanes := design.ask():
        asked += lanes
        outcomes = []
        for lane in lanes:
            loss = loss_at(lane.log_lr, lane.steps)
            status = LaneStatus.TRAINED if math.isfinite(loss) else LaneStatus.DIVERGED
            outcomes.append(Outcome(lane, status, None, lane.steps, 1.0, loss))
        design.tell(Runs(outcomes))
    return design.answer(), design, asked


def bowl(best: float):
    return lambda x, horizon: (x - best) ** 2 + 0.1


def test_it_looks_closer_beside_the_best_rate_of_every_row():
    data, design, asked = measure(lambda x, horizon: bowl(-1.0 if horizon == 50 else -0.5)(x, horizon))
    assert [v.best for v in data.verdicts] == pytest.approx([0.1, 10**-0.5])
    assert [c.lr for c in data.row("constant", 50)] == pytest.approx([10**x for x in (-2, -1.5, -1.25, -1, -0.75, -0.5, 0)])
    assert [c.lr for c in data.row("constant", 100)] == pytest.approx([10**x for x in (-2, -1.5, -1, -0.75, -0.5, -0.25, 0)])
    assert all(v.status is Status.OK and not v.widened for v in data.verdicts)
    assert len(asked) == 42 <= design.planned().lanes
    assert len({lane.seed for lane in asked}) == 3, "every cell has the same seeds"


@pytest.mark.parametrize("best", [-3.6, 1.9])
def test_an_optimum_at_the_edge_widens_the_range_by_itself(best):
    data, _, _ = measure(bowl(best))
    assert all(v.status is Status.OK and v.widened for v in data.verdicts)
    assert data.verdicts[0].best == pytest.approx(10**best, rel=0.4)


@pytest.mark.parametrize(("best", "side"), [(-9.0, "lowest"), (9.0, "highest")])
def test_up_to_a_limit_and_then_says_edge_of_range(best, side):
    data, design, asked = measure(bowl(best))
    for v in data.verdicts:
        assert v.status is Status.EDGE_OF_RANGE and side in v.reason and "measure further" in v.reason
    lrs = [lane.log_lr for lane in asked]
    assert (min(lrs), max(lrs)) == pytest.approx((-5.0, 0.0) if best < 0 else (-2.0, 3.0))
    assert len(asked) <= design.planned().lanes


def test_a_fixed_range_stays_as_it_is():
    data, design, asked = measure(bowl(9.0), refine=False, widen=False, seeds=1)
    assert len(asked) == 10 == design.planned().lanes
    assert data.verdicts[0].status is Status.EDGE_OF_RANGE


def test_rates_that_all_diverge_lead_downwards_and_end_in_a_verdict():
    data, _, asked = measure(lambda x, horizon: math.inf)
    assert {v.status for v in data.verdicts} == {Status.DIVERGED_EVERYWHERE}
    assert min(lane.log_lr for lane in asked) == pytest.approx(-5.0)
    found, _, _ = measure(lambda x, horizon: bowl(-3.5)(x, horizon) if x < -2.2 else math.inf)
    assert found.verdicts[0].status is Status.OK and found.verdicts[0].best == pytest.approx(10**-3.5)


def test_a_loss_that_does_not_change_is_flat():
    assert {v.status for v in measure(lambda x, horizon: 1.0)[0].verdicts} == {Status.FLAT}


def test_told_the_same_it_asks_the_same():
    assert measure(bowl(-3.6))[2] == measure(bowl(-3.6))[2]
    assert measure(bowl(-3.6))[2] != measure(bowl(-3.6), seed=1)[2]


def test_stopping_early_answers_with_what_is_known():
    design = Surface(Criterion(), ROWS, lattice(-2.0, 0.0))
    assert {v.status for v in design.answer().verdicts} == {Status.NOT_MEASURED}
    design.stop("time-limit")
    assert list(design.ask()) == [] and design.answer().stopped == "time-limit"


def test_lattices_lie_on_shared_rates():
    assert lattice_around(0.05) == lattice_around(0.04) == (-2.5, -2.0, -1.5, -1.0, -0.5)
    assert lattice(-6.0, 0.0, 1.0) == (-6, -5, -4, -3, -2, -1, 0)


# -- cells -------------------------------------------------------------------------------------------------------------


def lane_with(losses, status=LaneStatus.TRAINED, stride=1) -> Outcome:
    trace = tuple(StepRow(i * stride, 0.1, float(x)) for i, x in enumerate(losses))
    return Outcome(
        Lane(0.1, 0, len(losses) * stride), status, None, len(losses) * stride, losses[0], losses[-1], trace=trace
    )


def test_the_time_to_a_loss_is_the_exact_one_of_a_quadratic():
    losses = loss_curve(0.5, 60)
    means = [losses[t - 10 : t].mean() for t in range(10, 61)]
    for target in (0.5, 0.05, 0.01):
        assert time_to(lane_with(losses), target) == 10 + next(i for i, m in enumerate(means) if m <= target)
    assert time_to(lane_with(losses), 0.0) is None
    assert time_to(lane_with([2.0, 1.0, math.nan, 0.1]), 0.5) is None
    assert time_to(lane_with([2.0, 1.0, 0.4, 0.3, 0.2], stride=20), 0.5) == 81


def test_the_default_target_is_what_half_of_the_lanes_that_train_reach():
    outcomes = [lane_with([3.0, x]) for x in (0.1, 0.12341, 0.5)]
    outcomes += [lane_with([3.0, 2.9], LaneStatus.SLOW), lane_with([3.0, math.inf], LaneStatus.DIVERGED)]
    assert default_target(outcomes) == 0.124
    assert default_target(outcomes[3:]) == 2.9
    assert default_target(outcomes[4:]) is None


def record(seed: int, loss: float, time: int | None, lr: float = 0.1) -> Record:
    status = LaneStatus.DIVERGED if math.isinf(loss) else LaneStatus.TRAINED
    return Record(lr, "constant", 100, seed, loss, None if math.isinf(loss) else 0.9, time, status)


def test_a_cell_keeps_its_three_answers_apart():
    (cell,) = cells_of([record(0, 0.1, 40), record(1, 0.2, None), record(2, math.inf, None)])
    assert (cell.loss, cell.loss_low, cell.loss_high, cell.metric) == (0.2, 0.1, None, 0.9)
    assert (cell.time, cell.censored) == (None, pytest.approx(2 / 3))
    assert (cell.trained, cell.diverged, cell.n) == (2, 1, 3)
    assert cell.reliability == pytest.approx(2 / 3)
    assert cell.reliability_low < 2 / 3 < cell.reliability_high


def test_the_front_holds_what_no_other_cell_beats():
    fast = [record(s, 0.3, 20, 0.1) for s in range(3)]
    good = [record(s, 0.1, 60, 0.2) for s in range(3)]
    worse = [record(s, 0.3, 60, 0.3) for s in range(3)]
    never = [record(s, 0.05, None, 0.4) for s in range(3)]
    lost = [record(s, math.inf, None, 0.5) for s in range(3)]
    front = pareto_front(cells_of([*fast, *good, *worse, *never, *lost]))
    assert [c.lr for c in front] == [0.1, 0.2, 0.4]
