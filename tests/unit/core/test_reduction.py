"""Mean or sum over samples: what torch's losses declare is what their values show, on parts of unequal size, too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from etastar.core.reduction import declared_reduction, reduction_of

OUTPUTS, TARGETS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4
LOSSES = [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum"), nn.CrossEntropyLoss(label_smoothing=0.1)]


@pytest.mark.parametrize("loss", LOSSES, ids=["mean", "sum", "smoothed"])
@pytest.mark.parametrize("sizes", [(6, 6), (5, 7), (3, 4, 5)])
def test_what_is_declared_is_what_is_seen(loss, sizes):
    parts = [(float(loss(z, y)), len(y)) for z, y in zip(OUTPUTS.split(sizes), TARGETS.split(sizes), strict=True)]
    assert reduction_of(float(loss(OUTPUTS, TARGETS)), parts) == declared_reduction(loss) == loss.reduction


def test_a_loss_of_the_batch_as_a_whole_is_neither():
    contrastive = lambda z: float(nn.functional.cross_entropy(3 * z @ z.T, torch.arange(len(z))))
    parts = [(contrastive(z), len(z)) for z in OUTPUTS.split(3)]
    assert reduction_of(contrastive(OUTPUTS), parts) == "other"
    assert reduction_of(float("nan"), parts) == "other"


def test_a_module_of_another_says_nothing_whatever_its_attribute_says():
    class Own(nn.MSELoss):
        pass

    assert declared_reduction(Own(reduction="sum")) is None
    assert declared_reduction(nn.MSELoss(reduction="none")) == "other"
