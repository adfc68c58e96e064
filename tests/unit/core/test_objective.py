"""Accuracy and the uninformed loss, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.accuracy import accuracy_rule, class_dims
from etastar.core.uninformed import uninformed_loss

LABELS = torch.tensor([0, 0, 0, 1])
ENTROPY = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_for_cross_entropy_it_is_the_entropy_of_the_labels_in_the_losss_own_scale(scale):
    loss = lambda o, t: scale * F.cross_entropy(o, t)
    assert uninformed_loss(loss, torch.randn(4, 3), [LABELS]) == pytest.approx(scale * ENTROPY, rel=1e-5)


def test_images_and_sequences_have_their_class_dimension_found():
    assert class_dims(torch.zeros(5, 3, 7, 7), torch.zeros(5, 7, 7, dtype=torch.long)) == [1]
    assert class_dims(torch.zeros(5, 7, 3), torch.zeros(5, 7, dtype=torch.long)) == [2]
    assert class_dims(torch.zeros(5, 1), torch.zeros(5, dtype=torch.long)) == []
    assert class_dims(torch.zeros(5, 3), torch.zeros(5, 3)) == []
    labels = torch.tensor([[0, 1, -100], [2, 2, -100]])
    loss = lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten())
    expected = -(0.25 * math.log(0.25) * 2 + 0.5 * math.log(0.5))
    assert uninformed_loss(loss, torch.randn(2, 3, 3), [labels]) == pytest.approx(expected, rel=1e-5)
    longer = torch.cat([labels, torch.full((2, 1), -100)], dim=1)
    scores = F.one_hot(torch.tensor([[0, 0, 0, 0], [2, 2, 0, 0]]), 3).float()
    rule = accuracy_rule(loss, torch.randn(2, 4, 3), [longer])
    assert rule is not None and float(rule(scores, longer)) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (F.mse_loss, 1.25),  # variance around the mean 1.5
        (F.l1_loss, 1.0),  # around any median
        (lambda o, t: 3 * F.mse_loss(o, t), 3.75),
        (F.huber_loss, 0.625),  # at 1.5: (1.0 + 0.125 + 0.125 + 1.0) / 4 with delta 1, minus nothing better
    ],
)
def test_for_regression_it_is_the_best_constant(loss, expected):
    targets = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    got = uninformed_loss(loss, torch.randn(4, 1), [targets])
    grid = min(float(loss(torch.full((4, 1), c), targets)) for c in torch.linspace(-1, 4, 2001))
    assert got == pytest.approx(grid, rel=1e-4)
    if loss is not F.huber_loss:
        assert got == pytest.approx(expected, rel=1e-5)


def test_for_binary_logits_it_is_the_entropy_and_accuracy_is_the_sign():
    targets = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    got = uninformed_loss(nn.BCEWithLogitsLoss(), torch.randn(4, 1), [targets])
    assert got == pytest.approx(ENTROPY, rel=1e-4)
    rule = accuracy_rule(nn.BCEWithLogitsLoss(), torch.randn(4, 1), [targets])
    assert rule is not None and float(rule(torch.tensor([[2.0], [-1.0], [3.0], [-4.0]]), targets)) == 0.75


def test_outputs_of_another_shape_have_none():
    assert uninformed_loss(F.mse_loss, torch.randn(4, 5), [torch.zeros(4, 3)]) is None
