"""Padding is no answer: which labels count, and where the classes are, is the loss's to say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.core.lane import Lane, Until
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import preflight
from etastar.errors import ProblemError

DRAW = torch.Generator().manual_seed(3)
TOKENS = torch.randint(1, 20, (200, 5), generator=DRAW)
TAGS = TOKENS % 4 + 1
PADDED = torch.arange(5)[None] >= torch.randint(2, 5, (200, 1), generator=DRAW)
KNOWING = 1e-2


class Tagger(nn.Module):
    """Classes in dimension 1, as torch has them, or last; as many positions as classes."""

    def __init__(self, last: bool = False):
        super().__init__()
        self.embedding, self.out, self.last = nn.Embedding(20, 16), nn.Linear(16, 5), last

    def forward(self, tokens):
        scores = self.out(torch.relu(self.embedding(tokens)))
        return scores if self.last else scores.transpose(1, 2)


def problem(labels, loss, *, last=False, threshold=0.9) -> etastar.Problem:
    return etastar.Problem(
        model=lambda: Tagger(last),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=KNOWING),
        loss=loss,
        train=(TOKENS, labels),
        batch_size=20,
        steps=80,
        accuracy_threshold=threshold,
    )


def labels(pad: int) -> torch.Tensor:
    return torch.where(PADDED, pad, TAGS)


CASES = {
    "module, 0": (0, nn.CrossEntropyLoss(ignore_index=0), False),
    "module, 255": (255, nn.CrossEntropyLoss(ignore_index=255), False),
    "classes last, 0": (0, lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten(), ignore_index=0), True),
    "masked by hand": (0, lambda o, t: (F.cross_entropy(o, t, reduction="none") * (t != 0)).sum() / (t != 0).sum(), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_lane_counts_real_tokens_only(name):
    """The lane with the padding rewritten to torch's -100 has the same losses and accuracies, looped or in rows."""
    pad, loss, last = CASES[name]
    flat = lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())
    lane = Lane(KNOWING, 1, 60, until=Until.END)
    minus = problem(labels(-100), flat if last else nn.CrossEntropyLoss(), last=last)
    own = problem(labels(pad), loss, last=last)
    preflight(own)
    expected = LoopEngine().train_lane(minus, lane)
    got = LoopEngine().train_lane(own, lane)
    (rows,) = LaneEngine("vmap").try_train(own, [lane])
    assert expected.end_accuracy is not None
    assert expected.end_accuracy > 0.9
    assert got.end_accuracy == pytest.approx(expected.end_accuracy, abs=1e-6)
    assert rows.end_accuracy == pytest.approx(expected.end_accuracy, abs=1e-3)
    assert got.end_loss == pytest.approx(expected.end_loss, rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_uninformed_loss_does_not_count_padding(name):
    pad, loss, last = CASES[name]
    real = TAGS[~PADDED]
    shares = torch.bincount(real, minlength=5)[1:] / len(real)
    entropy = float(-(shares * shares.log()).sum())
    assert preflight(problem(labels(pad), loss, last=last)).criterion.uninformed == pytest.approx(entropy, rel=0.02)


def test_a_plain_chain_does_not_take_an_ignored_label_for_a_class():
    """The hand-written derivative knows mean cross-entropy of every label only."""
    inputs, own = torch.randn(64, 6, generator=DRAW), torch.randint(0, 3, (64,), generator=DRAW)
    chain = etastar.Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=nn.CrossEntropyLoss(ignore_index=0),
        train=(inputs, own),
        batch_size=16,
        steps=20,
    )
    lane = Lane(0.1, 1, 20, until=Until.END)
    expected = LoopEngine(dtype=torch.float64).train_lane(chain, lane)
    (got,) = LaneEngine("mlp", dtype=torch.float64).try_train(chain, [lane])
    assert got.end_loss == pytest.approx(expected.end_loss, rel=1e-9)
    assert got.end_accuracy == pytest.approx(expected.end_accuracy, rel=1e-9)


def test_soft_targets_have_an_accuracy():
    soft = torch.where(torch.arange(5)[None, :, None] == TAGS[:, None], 0.9, 0.025)
    found = LoopEngine().train_lane(
        problem(soft, nn.CrossEntropyLoss(), threshold=0.8), Lane(KNOWING, 1, 60, until=Until.END)
    )
    assert found.end_accuracy is not None
    assert found.end_accuracy > 0.9


def test_a_loss_that_does_not_tell_is_said():
    distance = lambda o, t: (o.mean(1) - t.float()).square().mean()
    with pytest.raises(ProblemError, match=r"does not tell which outputs are right .* pass metric_fn"):
        preflight(problem(TAGS, distance))
