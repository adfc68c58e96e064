"""eta* rests on what counts as knowing nothing: under any loss, that is what the loss says of the best constant."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from benchmarks.losses import overlaps, rows
from torch import nn

import etastar
from etastar.engine.preflight import preflight

DRAW = torch.Generator().manual_seed(5)
CENTRES = 1.5 * torch.randn(3, 8, generator=DRAW)
LABELS = torch.randint(3, (384,), generator=DRAW)
INPUTS = CENTRES[LABELS] + torch.randn(384, 8, generator=DRAW)
OPTIONS = etastar.Options(store=":memory:", workers=1)
QUICKLY = etastar.Precision(half_width=0.25, max_runs=16, min_runs=8)


def deep() -> nn.Module:
    """He's initialisation: at a high rate its units die, and the loss sits where nothing is known."""
    sizes = [8, 24, 24, 24, 24, 3]
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


def problem(loss, **changes) -> etastar.Problem:
    adam = lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)
    parts = {"model": deep, "optimizer": adam, "train": (INPUTS, LABELS), "batch_size": 16, "steps": 60, **changes}
    return etastar.Problem(loss=loss, **parts)


def uninformed(loss, **changes) -> float:
    found = preflight(problem(loss, **changes)).criterion.uninformed
    assert found is not None
    return found


def test_a_summed_loss_counts_the_batch_that_is_trained_on():
    mean = uninformed(nn.CrossEntropyLoss())
    assert uninformed(nn.CrossEntropyLoss(reduction="sum")) == pytest.approx(16 * mean, rel=1e-4)
    assert uninformed(nn.CrossEntropyLoss(reduction="sum"), batch_size=64) == pytest.approx(64 * mean, rel=0.01)


def test_adam_does_not_see_the_sum_so_eta_star_is_that_of_the_mean():
    """Adam divides by the gradient's size; 16 of 16 lanes used to "train" in 10 steps under the sum."""
    values = []
    for reduction in ("mean", "sum"):
        answer = etastar.eta_star(problem(nn.CrossEntropyLoss(reduction=reduction)), precision=QUICKLY, options=OPTIONS)
        values.append(answer.estimate)
        assert "criterion-too-easy" not in answer.estimate.flags
    mean, total = values
    assert total.low <= mean.high
    assert mean.low <= total.high
    assert 0.5 < total.value / mean.value < 2


def test_the_guess_of_a_weighted_loss_is_no_worse_than_an_untrained_network():
    rare = (torch.rand(384, generator=DRAW) < 0.1).long()
    weight = len(rare) / (2 * torch.bincount(rare).float())
    plain = lambda: nn.Linear(8, 2)
    found = uninformed(nn.CrossEntropyLoss(weight=weight), model=plain, train=(INPUTS, rare), batch_size=128)
    assert found == pytest.approx(math.log(2), rel=0.02)


def test_a_loss_of_the_model_has_no_outputs_to_replace_and_the_answer_says_so():
    own = lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])
    criterion = preflight(problem(None, loss_fn=own)).criterion
    assert criterion.uninformed is None
    assert "the lane's first loss" in criterion.sentence()


def test_a_bound_above_the_start_is_flagged():
    """ln 3 is where an untrained network starts; 2 lies above, 0.5 below."""
    assert "criterion-too-easy" in preflight(problem(nn.CrossEntropyLoss(), loss_threshold=6.0)).flags
    assert "criterion-too-easy" not in preflight(problem(nn.CrossEntropyLoss(), loss_threshold=0.5)).flags
    easy = etastar.eta_star(problem(nn.CrossEntropyLoss(), loss_threshold=6.0), precision=QUICKLY, options=OPTIONS).estimate
    assert "criterion-too-easy" in easy.flags


def test_a_network_that_knows_the_answers_is_flagged():
    torch.manual_seed(0)
    known = deep()
    optimizer = torch.optim.Adam(known.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(known(INPUTS), LABELS).backward()
        optimizer.step()

    def trained() -> nn.Module:
        copy = deep()
        copy.load_state_dict(known.state_dict())
        return copy

    assert "criterion-too-easy" in preflight(problem(nn.CrossEntropyLoss(), model=trained)).flags


@pytest.mark.parametrize("batch_size", [2, 8, 64])
@pytest.mark.parametrize("kind", ["labels", "numbers", "heavy tails", "weights"])
def test_an_untrained_network_is_not(kind, batch_size):
    numbers = INPUTS @ torch.ones(8, 1)
    loss, targets = {
        "labels": (nn.CrossEntropyLoss(), LABELS),
        "numbers": (F.mse_loss, numbers),
        "heavy tails": (F.mse_loss, numbers.exp()),
        "weights": (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0])), LABELS),
    }[kind]
    outputs = 3 if targets is LABELS else 1
    plain = lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs))
    found = preflight(problem(loss, model=plain, train=(INPUTS, targets), batch_size=batch_size))
    assert "criterion-too-easy" not in found.flags


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimizer"), [("sum", "sgd"), ("weighted", "adam"), ("margin", "adam")])
def test_eta_star_is_where_an_ordinary_loop_stops_to_train(name, optimizer):
    """Rows of `make bench BENCH=losses`: the loop's threshold comes from a constant that gradient descent found."""
    (row,) = rows({"seed": 0, "loop_seeds": 4, "max_runs": 48, "only": [[name, optimizer]]})
    assert row["uninformed"] == pytest.approx(row["by_hand"], rel=0.02)
    assert overlaps(row)
