"""Which answers count and which are right, as the loss says."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.accuracy import Right, accuracy_rule

GENERATOR = torch.Generator().manual_seed(0)
LABELS = [torch.randint(1, 5, (16,), generator=GENERATOR) for _ in range(3)]
SCORES = torch.randn(16, 5, generator=GENERATOR)


@pytest.mark.parametrize("pad", [0, 255, -7])
@pytest.mark.parametrize(
    "make",
    [
        lambda pad: nn.CrossEntropyLoss(ignore_index=pad),
        lambda pad: partial(F.cross_entropy, ignore_index=pad),
        lambda pad: lambda o, t: F.cross_entropy(o, t, ignore_index=pad, label_smoothing=0.1),
        lambda pad: lambda o, t: F.multi_margin_loss(o[t != pad], t[t != pad]),
    ],
)
def test_an_ignored_label_is_found_however_the_loss_ignores_it(make, pad):
    padded = [torch.where(torch.arange(16) < 6, pad, t) for t in LABELS]
    rule = accuracy_rule(make(pad), SCORES, padded)
    assert rule is not None
    outputs = F.one_hot(LABELS[0], 5).float()
    outputs[6] = 0.0
    outputs[6, 0] = 1.0  # wrong: 9 of the 10 that count are right
    assert float(rule(outputs, padded[0])) == pytest.approx(0.9)


def test_a_class_of_weight_zero_does_not_count():
    rule = accuracy_rule(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])), SCORES, LABELS)
    assert rule is not None
    assert rule.ignored == (1,)


def test_as_many_positions_as_classes_the_loss_says_which_is_which():
    tokens = [torch.randint(0, 6, (4, 6), generator=GENERATOR) for _ in range(3)]
    outputs = torch.randn(4, 6, 6, generator=GENERATOR)
    first = accuracy_rule(nn.CrossEntropyLoss(), outputs, tokens)
    last = accuracy_rule(lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()), outputs, tokens)
    moved = accuracy_rule(lambda o, t: F.cross_entropy(o.transpose(1, 2), t), outputs, tokens)
    assert first is not None and last is not None and moved is not None
    assert (first.dim, last.dim, moved.dim) == (1, 2, 2)
    assert float(last(F.one_hot(tokens[0], 6).float(), tokens[0])) == 1.0


@pytest.mark.parametrize(("loss", "outputs"), [(nn.CrossEntropyLoss(), SCORES), (nn.KLDivLoss(), SCORES.log_softmax(1))])
def test_under_soft_targets_the_likeliest_class_is_right(loss, outputs):
    soft = [torch.randn(16, 5, generator=GENERATOR).softmax(1) for _ in range(3)]
    rule = accuracy_rule(loss, outputs, soft)
    assert rule is not None
    assert rule.right is Right.SHARES
    assert float(rule(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([[0.4, 0.6], [0.3, 0.7]]))) == 0.5


@pytest.mark.parametrize(
    ("loss", "threshold"),
    [(nn.BCELoss(), 0.5), (partial(F.binary_cross_entropy_with_logits, pos_weight=torch.tensor(2.0)), 0.0)],
)
def test_binary_targets_have_a_threshold(loss, threshold):
    rule = accuracy_rule(loss, torch.rand(4, 1), [torch.tensor([[0.0], [1.0]])])
    assert rule is not None
    assert float(rule(torch.tensor([threshold + 0.1, threshold - 0.1]), torch.tensor([1.0, 1.0]))) == 0.5


def test_embeddings_are_no_class_scores():
    """Neither would lower this loss if the right coordinate were the largest rather than another one."""

    def contrast(z, labels):
        z = F.normalize(z, dim=1)
        same = (labels[:, None] == labels[None]).float()
        return -(same * (z @ z.T / 0.1).log_softmax(1)).sum() / same.sum()

    assert accuracy_rule(contrast, torch.randn(16, 8), LABELS) is None


def test_numbers_have_no_accuracy():
    assert accuracy_rule(F.mse_loss, torch.randn(8, 3), [torch.randn(8, 3)]) is None
    assert accuracy_rule(F.l1_loss, torch.randn(8), [torch.randn(8)]) is None
