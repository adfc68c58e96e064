"""`averaging_gain`: a network worked out by hand, BatchNorm read with the batch's statistics, and what is no average."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import ProblemError
from etastar.probes.stability import averaging_gain

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(32, 3, generator=GENERATOR).double()


class Sum(nn.Module):
    """a + b, whatever comes in: squared error (a + b - y)^2."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = One(2.0), One(1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.a() + self.b()).expand(len(x))


class One(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(value).double())

    def forward(self) -> torch.Tensor:
        return self.w


def test_gains_are_those_worked_out_by_hand_and_the_block_that_wins_beyond_doubt_is_named():
    batches = [(X, torch.full((32,), y).double()) for y in (0.0, 0.1)]
    gain = averaging_gain(Sum(), {"a.w": torch.tensor(1.0), "b.w": torch.tensor(0.5)}, batches, loss=F.mse_loss)
    raw = [9.0, 2.9**2]
    wins = {"a": [9 - 4, 2.9**2 - 1.9**2], "b": [9 - 6.25, 2.9**2 - 2.4**2], "all": [9 - 2.25, 2.9**2 - 1.4**2]}
    assert gain.loss == pytest.approx(sum(raw) / 2)
    for block in (*gain.blocks, gain.everything):
        first, second = wins[block.name]
        assert (block.wins, block.error) == pytest.approx(((first + second) / 2, abs(first - second) / 2))
    assert gain.decay_next == "a" and gain.summary.startswith("a wins most, 4.9 +- 0.1 of the 6.6 that all win")


def test_nothing_is_named_where_nothing_wins_beyond_doubt():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    gain = averaging_gain(model, model, [(X, X[:, :1])] * 2, loss=F.mse_loss)
    assert [block.wins for block in (*gain.blocks, gain.everything)] == [0.0] * 3 and gain.decay_next is None
    single = averaging_gain(model, copy.deepcopy(model), [(X, X[:, :1])], loss=F.mse_loss)
    assert math.isnan(single.everything.error) and single.decay_next is None
    assert gain.summary.startswith("no block wins beyond doubt")


def test_batchnorm_takes_the_batchs_statistics_dropout_is_off_and_nothing_is_left_behind():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1
    average.update_parameters(model)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gain = averaging_gain(model, average, [(X, X[:, :1])], loss_fn=lambda m, batch: F.mse_loss(m(batch[0]), batch[1]))
    by_hand = []
    for source in (model, average.module):
        own = copy.deepcopy(source).train()
        own[2].eval()
        by_hand.append(float(F.mse_loss(own(X), X[:, :1]).detach()))
    assert (gain.loss, gain.everything.wins) == pytest.approx((by_hand[0], by_hand[0] - by_hand[1]))
    assert gain.everything.wins != 0 and model.training and torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("ema", "batches", "sentence"),
    [
        (3, [(X, X)], "ema is 3; expected an average of the model's weights: a module, or {name: tensor}"),
        ({"a.w": torch.ones(())}, [(X, X)], r"the average has no 'b.w'; expected \(\): average the weights of this model"),
        ({"a.w": torch.ones(()), "b.w": torch.ones(2)}, [(X, X)], r"has a 'b.w' of shape \(2,\); expected \(\)"),
        (Sum(), [], "averaging_gain got no batch; expected some of those that are trained on"),
    ],
)
def test_what_is_no_average_and_no_batches_are_refused(ema, batches, sentence):
    with pytest.raises(ProblemError, match=sentence):
        averaging_gain(Sum(), ema, batches, loss=F.mse_loss)
