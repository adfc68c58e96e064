"""The lane engines train exactly as the reference loop does: every elementwise optimizer, every kind of network."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from catalog import ELEMENTWISE, LOOP_ONLY, POLICIES
from digit_networks import cnn, digits, mlp, transformer
from etastar import Criterion, Lane, LaneEngine, Outcome, Problem, ProblemError
from etastar.core import Until
from etastar.engine import LoopEngine, SequentialEngine

CASES = [
    ("mlp", mlp), ("vmap", mlp), ("sequential", mlp), ("convnet", cnn), ("vmap", cnn), ("sequential", cnn),
    ("vmap", transformer), ("sequential", transformer),
]  # fmt: skip


def outcomes(problem: Problem, kernel: str, lanes: list[Lane], dtype: torch.dtype | None = torch.float64) -> list[Outcome]:
    if kernel in ("loop", "sequential"):
        engine = (LoopEngine if kernel == "loop" else SequentialEngine)(dtype=dtype)
        return [engine.train_lane(problem, lane) for lane in lanes]
    return LaneEngine(kernel, dtype=dtype).try_train(problem, lanes)


@cache
def by_the_loop(model, optimizer: str, steps: int, policy: str, dtype: torch.dtype | None) -> list[Outcome]:
    """The truth that several engines are compared with, trained once."""
    return outcomes(digits(model, ELEMENTWISE[optimizer]), "loop", lanes_of(optimizer, steps, policy), dtype)


def lanes_of(optimizer: str, steps: int, policy: str = "constant") -> list[Lane]:
    rates = {"Adadelta": (0.3, 1.0), "Rprop": (1e-4, 1e-3)}.get(optimizer, (1e-3, 4e-3))
    return [
        Lane(lr, seed, steps, Criterion(loss=-math.inf), Until.END, POLICIES[policy])
        for seed, lr in enumerate((*rates, rates[0]))
    ]


def assert_equal(ours: list[Outcome], loops: list[Outcome], tolerance: float) -> None:
    for mine, truth in zip(ours, loops, strict=True):
        assert (mine.status, mine.reached, mine.steps) == (truth.status, truth.reached, truth.steps)
        assert len({row.loss for row in truth.trace}) == truth.steps, "it must have trained"
        for row, true in zip(mine.trace, truth.trace, strict=True):
            assert row.step == true.step
            assert row.lr == (pytest.approx(true.lr, rel=tolerance) if mine.lane.policy.reads else true.lr)
            assert row.loss == pytest.approx(true.loss, rel=tolerance)
            assert row.accuracy == pytest.approx(true.accuracy, rel=tolerance)
            assert (row.grad_norm is None) == (true.grad_norm is None)
            if row.grad_norm is not None:
                assert row.grad_norm == pytest.approx(true.grad_norm, rel=100 * tolerance)
        assert mine.valid_loss == pytest.approx(truth.valid_loss, rel=tolerance)
        assert mine.valid_accuracy == pytest.approx(truth.valid_accuracy, rel=tolerance)


@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_every_optimizer_in_float64(optimizer):
    """16 steps are two epochs and more; RAdam changes its rule at the sixth, and the slow test goes on to 200."""
    lanes = lanes_of(optimizer, 16)
    chosen = digits(mlp, ELEMENTWISE[optimizer])
    assert_equal(outcomes(chosen, "mlp", lanes), by_the_loop(mlp, optimizer, 16, "constant", torch.float64), 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "model"), CASES, ids=lambda case: getattr(case, "__name__", case))
@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_every_optimizer_and_network_in_float64_over_200_steps(optimizer, kernel, model):
    lanes = lanes_of(optimizer, 200)[:2]
    chosen = digits(model, ELEMENTWISE[optimizer])
    assert_equal(outcomes(chosen, kernel, lanes), outcomes(chosen, "loop", lanes), 1e-12)


@pytest.mark.parametrize(("kernel", "model"), CASES, ids=lambda case: getattr(case, "__name__", case))
@pytest.mark.parametrize(
    ("optimizer", "dtype", "tolerance"),
    [
        pytest.param("momentum", torch.float64, 1e-12, id="momentum-float64"),
        pytest.param("Adam", None, 1e-4, id="Adam-float32"),
        pytest.param("momentum", None, 1e-4, id="momentum-float32", marks=pytest.mark.slow),
        pytest.param("Adam", torch.float64, 1e-12, id="Adam-float64", marks=pytest.mark.slow),
    ],
)
def test_every_network(kernel, model, optimizer, dtype, tolerance):
    lanes = lanes_of(optimizer, 16)
    chosen = digits(model, ELEMENTWISE[optimizer])
    assert_equal(outcomes(chosen, kernel, lanes, dtype), by_the_loop(model, optimizer, 16, "constant", dtype), tolerance)


@pytest.mark.parametrize(
    ("kernel", "policy"),
    [
        (kernel, policy)
        for kernel in ("mlp", "vmap", "sequential")
        for policy in POLICIES
        if kernel == "sequential" or policy not in LOOP_ONLY
    ],
)
def test_every_policy(kernel, policy):
    steps = 40 if policy in ("wsd", "bold-driver") else 20  # the others have moved more than twice by then
    lanes = lanes_of("momentum", steps, policy)
    chosen = digits(mlp, ELEMENTWISE["momentum"])
    ours = outcomes(chosen, kernel, lanes)
    assert_equal(ours, by_the_loop(mlp, "momentum", steps, policy, torch.float64), 1e-12)
    assert (len({row.lr for row in ours[0].trace}) > 2) == (policy != "constant"), "the rate must have moved"


@pytest.mark.parametrize("kernel", ["mlp", "vmap", "sequential"])
@pytest.mark.parametrize("settings", [{"clip_grad_norm": 0.3}, {"accumulate": 3}, {"clip_grad_norm": 0.3, "accumulate": 2}])
def test_clipping_and_accumulation(kernel, settings):
    lanes = lanes_of("momentum", 16)
    chosen = digits(mlp, ELEMENTWISE["momentum"], **settings)
    ours, loops = outcomes(chosen, kernel, lanes), outcomes(chosen, "loop", lanes)
    assert_equal(ours, loops, 1e-12)
    assert [e.clipped_fraction for o in ours for e in o.epochs] == [e.clipped_fraction for o in loops for e in o.epochs]
    if "clip_grad_norm" in settings:
        assert any((e.clipped_fraction or 0) > 0 for o in ours for e in o.epochs), "something must have been clipped"


PER_LANE = {
    "momentum": ("SGD", "SGD, everything", "Nesterov", "RMSprop, everything", "RMSprop"),
    "weight_decay": ("SGD", "Adam", "AdamW, groups", "NAdam, decay", "RAdam", "Adamax", "Adagrad", "Adadelta", "ASGD"),
}


@pytest.mark.parametrize(("setting", "optimizer"), [(s, o) for s, names in PER_LANE.items() for o in names])
def test_settings_that_differ_from_lane_to_lane(setting, optimizer):
    case = digits(mlp, ELEMENTWISE[optimizer])
    lanes = [
        replace(lane, settings=((setting, value),))
        for lane, value in zip(lanes_of(optimizer, 16), (0.0, 0.7, 0.2), strict=True)
    ]
    ours = outcomes(case, "mlp", lanes)
    assert_equal(ours, outcomes(case, "loop", lanes), 1e-12)
    assert len({o.end_loss for o in ours}) == 3
    plain = outcomes(case, "loop", [replace(lane, settings=()) for lane in lanes])
    assert any(a.end_loss != b.end_loss for a, b in zip(ours, plain, strict=True))


def test_a_setting_that_rows_cannot_hold_keeps_lanes_apart():
    case = digits(mlp, ELEMENTWISE["momentum"])
    kinds = [
        (("nesterov", False),),
        (("nesterov", True),),
        (("momentum", 0.5),),
        (("momentum", 0.9), ("weight_decay", 0.1)),
        (),
    ]
    lanes = [replace(lane, settings=kind) for lane in lanes_of("momentum", 15) for kind in kinds]
    ours = dict(LaneEngine("mlp", dtype=torch.float64).train(case, lanes))
    assert_equal([ours[i] for i in range(len(lanes))], outcomes(case, "loop", lanes), 1e-12)


def test_groups_keep_their_ratio_of_a_setting():
    case = digits(mlp, ELEMENTWISE["AdamW, groups"])
    lane = replace(lanes_of("Adam", 15)[0], settings=(("weight_decay", 0.4),))

    def by_hand(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = ELEMENTWISE["AdamW, groups"](model)
        optimizer.param_groups[0]["weight_decay"] = 0.4
        return optimizer

    truth = outcomes(digits(mlp, by_hand), "loop", [replace(lane, settings=())])
    assert_equal(outcomes(case, "loop", [lane]), truth, 1e-15)


def test_a_setting_the_optimizer_does_not_have():
    case = digits(mlp, ELEMENTWISE["Adam"])
    with pytest.raises(ProblemError, match="Adam has no setting 'momentum' to change; it has amsgrad, betas"):
        LoopEngine().train_lane(case, replace(lanes_of("Adam", 2)[0], settings=(("momentum", 0.5),)))
