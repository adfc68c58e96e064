"""Lanes as rows: independence of neighbours, count, order and compaction; data, policies and stopping as in the loop."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from catalog import OPTIMIZERS, POLICIES, BackOff
from etastar import Criterion, Lane, LaneEngine, Outcome, Problem, ProblemError, Runs
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine, WorkerEngine
from etastar.engine.lanes.engine import chunks
from etastar.engine.lanes.rows import Rows
from etastar.errors import DoesNotApply
from etastar.problems.digits import digits_cnn, digits_mlp, digits_transformer
from etastar.problems.quadratic import quadratic

LEARNS = Criterion(accuracy=0.5, uninformed=2.3026)


def in_order(engine, problem: Problem, lanes: list[Lane]) -> list[Outcome]:
    return [outcome for _, outcome in sorted(engine.train(problem, lanes), key=lambda item: item[0])]


def facts(outcome: Outcome) -> str:
    """Everything but the wall time; NaN equals NaN."""
    return repr(replace(outcome, seconds=0.0))


def spread(steps: int = 30, until: Until = Until.END) -> list[Lane]:
    """Lanes that learn, creep, diverge and blow up at once."""
    return [Lane(lr, seed, steps, LEARNS, until) for seed in (1, 2) for lr in (0.05, 1e-4, 30.0, 1e30, 0.2)]


# -- independence --------------------------------------------------------------------------------------------------------


def test_a_nan_neighbour_another_count_and_another_order_change_no_bit_of_a_lane():
    problem, lanes = digits_mlp(width=24), spread()
    together = in_order(LaneEngine("mlp", 16), problem, lanes)
    assert {o.status for o in together} >= {LaneStatus.DIVERGED, LaneStatus.SLOW, LaneStatus.TRAINED}
    assert any(math.isnan(o.end_loss) or math.isinf(o.end_loss) for o in together), "a lane must have gone non-finite"
    for size in (1, 3, 7):
        assert list(map(facts, in_order(LaneEngine("mlp", size), problem, lanes))) == list(map(facts, together))
    backwards = in_order(LaneEngine("mlp", 16), problem, lanes[::-1])
    assert list(map(facts, backwards[::-1])) == list(map(facts, together))
    alone = in_order(LaneEngine("mlp", 16), problem, lanes[4:5])
    assert facts(alone[0]) == facts(together[4])


def test_compaction_changes_no_bit_of_a_lane(monkeypatch):
    problem, lanes = digits_mlp(width=24), spread(60, Until.SUCCESS)
    kept = []
    take = Rows.take
    monkeypatch.setattr(Rows, "take", lambda self, index: (kept.append(len(index)), take(self, index))[1])
    compacted = in_order(LaneEngine("mlp", 16), problem, lanes)
    assert kept and kept == sorted(kept, reverse=True), "decided lanes must have left"
    monkeypatch.setattr("etastar.engine.lanes.lane_training.COMPACT_AT", 2.0)
    kept.clear()
    assert list(map(facts, in_order(LaneEngine("mlp", 16), problem, lanes))) == list(map(facts, compacted))
    assert not kept


@pytest.mark.parametrize(("kernel", "make"), [("convnet", digits_cnn), ("vmap", digits_cnn), ("vmap", digits_transformer)])
def test_convolutions_and_attention_do_not_depend_on_their_neighbours_beyond_rounding(kernel, make):
    problem = make(width=4)
    rate = 1e-3 if make is digits_transformer else 0.02
    lanes = [Lane(lr, seed, 25, LEARNS, Until.END) for seed in (1, 2) for lr in (rate, 1e9, rate / 3)]
    together = in_order(LaneEngine(kernel, 8), problem, lanes)
    assert together[1].status is LaneStatus.DIVERGED
    for index in (0, 5):
        (alone,) = in_order(LaneEngine(kernel, 8), problem, lanes[index : index + 1])
        assert [r.loss for r in alone.trace] == pytest.approx([r.loss for r in together[index].trace], rel=1e-5)


def test_stopping_is_the_loops_in_every_case():
    problem = digits_mlp(width=24)
    lanes = [Lane(lr, seed, 40, LEARNS, until) for until in Until for seed in (1, 2, 3) for lr in (0.03, 0.1, 1e-4, 1e9)]
    lanes += [Lane(0.1, 4, steps, LEARNS) for steps in (1, 4, 13)]
    ours = in_order(LaneEngine("mlp", 32, dtype=torch.float64), problem, lanes)
    loops = in_order(LoopEngine(dtype=torch.float64), problem, lanes)
    for mine, truth in zip(ours, loops, strict=True):
        assert (mine.lane, mine.status, mine.reached, mine.steps) == (truth.lane, truth.status, truth.reached, truth.steps)
        assert [(e.step0, e.step1, e.non_finite) for e in mine.epochs] == [
            (e.step0, e.step1, e.non_finite) for e in truth.epochs
        ]
        assert len(mine.trace) == len(truth.trace)
    assert len({(o.status, o.lane.until) for o in loops}) >= 5


def test_a_reactive_policy_reacts_lane_by_lane_and_survives_compaction():
    problem = digits_mlp(width=24)
    lanes = [Lane(lr, 1, 60, LEARNS, Until.SUCCESS, BackOff()) for lr in (0.01, 0.1, 1.0, 1e9)]
    lanes += [Lane(0.1, 1, 60, LEARNS, Until.SUCCESS, POLICIES["schedule"])]
    ours = in_order(LaneEngine("mlp", 8, dtype=torch.float64), problem, lanes)
    loops = in_order(LoopEngine(dtype=torch.float64), problem, lanes)
    for mine, truth in zip(ours[:2] + ours[4:], loops[:2] + loops[4:], strict=True):
        assert [r.lr for r in mine.trace] == pytest.approx([r.lr for r in truth.trace], rel=1e-12)
        assert [r.loss for r in mine.trace] == pytest.approx([r.loss for r in truth.trace], rel=1e-9)
    assert min(r.lr for r in ours[0].trace) < 0.01, "the rule must have fired"


# -- data ----------------------------------------------------------------------------------------------------------------


class Jittered(Dataset):
    """Random transforms: every read draws from the global generator."""

    def __init__(self, data) -> None:
        self.x, self.y = data

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index] + 0.1 * torch.randn(6), self.y[index]


def small_with(train, **settings) -> Problem:
    defaults = {
        "model": lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        "loss": F.cross_entropy,
        "steps": 40,
    }
    return Problem(train=train, **(defaults | settings))


def same_as_loop(problem: Problem, kernel: str, steps: int = 25) -> None:
    lanes = [Lane(lr, seed, steps, Criterion(loss=-math.inf), Until.END) for seed in (1, 2) for lr in (0.01, 0.05)]
    ours = LaneEngine(kernel, dtype=torch.float64).try_train(problem, lanes)
    for mine, truth in zip(ours, in_order(LoopEngine(dtype=torch.float64), problem, lanes), strict=True):
        assert [r.loss for r in mine.trace] == pytest.approx([r.loss for r in truth.trace], rel=1e-12)
        assert [e.step1 for e in mine.epochs] == [e.step1 for e in truth.epochs]


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_partial_batches_are_partial_for_every_lane(data, kernel):
    loader = DataLoader(TensorDataset(*data), batch_size=50, shuffle=True, drop_last=False)
    assert len(data[0]) % 50
    same_as_loop(small_with(loader), kernel)


def test_random_transforms_are_drawn_as_in_the_loop(data):
    same_as_loop(small_with(Jittered(data), batch_size=16), "mlp")


def test_dict_batches_with_a_loss_fn_and_a_metric_run_vectorised(data):
    problem = small_with(
        {"x": data[0], "label": data[1]},
        loss=None,
        loss_fn=lambda model, batch: F.cross_entropy(model(batch["x"]), batch["label"]),
        metric_fn=lambda model, batch: (model(batch["x"]).argmax(1) == batch["label"]).double().mean(),
        batch_size=16,
    )
    same_as_loop(problem, "vmap")


def test_frozen_parameters_and_groups_with_their_own_rates(data):
    def groups(model):
        first, second, third, fourth = model.parameters()
        second.requires_grad_(False)
        return torch.optim.AdamW([{"params": [third, fourth], "lr": 2e-2}, {"params": [first]}], lr=1e-2, weight_decay=0.1)

    for kernel in ("vmap",):
        same_as_loop(small_with(data, optimizer=groups, batch_size=16), kernel)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (F.mse_loss, lambda y: F.one_hot(y, 3).float()),
        (F.huber_loss, lambda y: F.one_hot(y, 3).float()),
        (nn.CrossEntropyLoss(label_smoothing=0.1), lambda y: y),
        (F.binary_cross_entropy_with_logits, lambda y: F.one_hot(y, 3).float()),
        (F.cross_entropy, lambda y: torch.where(y == 0, -100, y)),
    ],
    ids=["mse", "huber", "smoothed", "binary", "ignored labels"],
)
@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_losses_other_than_plain_cross_entropy(data, loss, targets, kernel):
    same_as_loop(small_with((data[0], targets(data[1])), loss=loss, batch_size=16), kernel)


def test_lanes_that_do_not_stack_go_through_the_loop_and_give_its_answer(data):
    class Ragged(Dataset):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index):
            return torch.full((index % 5 + 1,), 0.1 * index), index % 3

    def collate(samples):
        longest = max(len(x) for x, _ in samples)
        return torch.stack([F.pad(x, (0, longest - len(x))) for x, _ in samples]), torch.tensor([y for _, y in samples])

    loader = DataLoader(Ragged(), batch_size=2, shuffle=True, collate_fn=collate)
    model = lambda: nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Linear(4, 3))
    problem = small_with(loader, model=model)
    lanes = [Lane(0.01, seed, 20, until=Until.END) for seed in (1, 2, 3)]
    engine = LaneEngine("vmap")
    with pytest.raises(DoesNotApply, match="batches of different seeds have different shapes"):
        engine.try_train(problem, lanes)
    ours, loops = in_order(engine, problem, lanes), in_order(LoopEngine(), problem, lanes)
    assert list(map(facts, ours)) == list(map(facts, loops))


def test_bad_numbers_in_a_batch_are_the_users_error_not_a_divergence(data):
    class Broken(Jittered):
        def __getitem__(self, index):
            return torch.full((6,), math.nan), self.y[index]

    lanes = [Lane(0.01, seed, 5) for seed in (1, 2)]
    with pytest.raises(ProblemError, match="holds NaN or infinite numbers"):
        in_order(LaneEngine("mlp"), small_with(Broken(data), batch_size=16), lanes)


# -- the rest ------------------------------------------------------------------------------------------------------------


def test_chunks_hold_lanes_of_one_criterion_and_every_lane_once():
    lanes = [Lane(0.1, s, 20) for s in range(5)] + [Lane(0.1, s, 20, Criterion(accuracy=0.5)) for s in range(4)]
    found = chunks(lanes, 3)
    assert sorted(i for own in found for i in own) == list(range(9))
    assert all(len({lanes[i].criterion for i in own}) == 1 and len(own) <= 3 for own in found)


def test_workers_run_lane_engines_and_give_the_same_outcomes():
    problem, lanes = digits_mlp(width=16), spread(20)
    here = in_order(LaneEngine("mlp", 4), problem, lanes)
    with WorkerEngine(2, LaneEngine("mlp", 4)) as engine:
        assert engine.name == "mlp/cpu"
        assert list(map(facts, in_order(engine, problem, lanes))) == list(map(facts, here))


def test_an_optimizer_without_a_rule_is_refused_by_name(small):
    for name in ("Muon", "LBFGS", "Adafactor", "custom subclass"):
        problem = small.but(optimizer=OPTIMIZERS[name])
        with pytest.raises(DoesNotApply, match=r"has no rule for many lanes at once"):
            LaneEngine("vmap").try_train(problem, [Lane(0.01, 1, 5)])


def test_settings_that_change_from_seed_to_seed_are_refused(data):
    decays = iter(range(100))
    problem = small_with(data, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, weight_decay=next(decays) / 100))
    with pytest.raises(DoesNotApply, match="other settings for other seeds"):
        LaneEngine("mlp").try_train(problem, [Lane(0.01, seed, 5) for seed in (1, 2)])


def test_the_callers_random_state_threads_and_denormals_are_as_before(small):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    Runs(in_order(LaneEngine("mlp"), small, [Lane(0.01, seed, 5) for seed in (1, 2)]))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_group_of_lanes_closes_its_streams(data):
    problem = small_with(Jittered(data), batch_size=16)
    with LaneEngine("mlp").start(problem, [Lane(0.01, i, 5) for i in range(2)]) as training:
        training.advance(1)
        streams = list(training._feed._source._streams.values())
    assert len(streams) == 2 and all(s.gi_frame is None for s in streams)


def test_a_dead_network_is_decided_early_the_same_in_both_engines_and_a_fitted_one_is_not():
    problem = digits_cnn(width=4)
    lanes = [Lane(lr, 1, 120, LEARNS, until) for until in Until for lr in (0.05, 3.0)]
    ours = in_order(LaneEngine("convnet", dtype=torch.float64), problem, lanes)
    loops = in_order(LoopEngine(dtype=torch.float64), problem, lanes)
    assert [(o.status, o.steps) for o in ours] == [(o.status, o.steps) for o in loops]
    dead = [o for o in loops if o.status is LaneStatus.DEAD]
    assert dead and all(o.steps < 120 and o.lane.lr == 3.0 for o in dead)
    fitted = quadratic(curvatures=[1.0, 1.0], momentum=0.0, lr=1.0)  # at the minimum after one step: every gradient is zero
    for engine in (LaneEngine("vmap"), LoopEngine()):
        (outcome,) = in_order(engine, fitted, [Lane(1.0, 1, 150, Criterion(loss=0.1), Until.END)])
        assert outcome.status is LaneStatus.TRAINED and outcome.steps == 150 and outcome.end_loss == 0
