"""Kinds of optimizers and losses: torch's own are known by class, another's class never for what it derives from."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.kinds import is_plain_adam, is_plain_sgd, loss_kind, optimizer_kind

WEIGHTS = [nn.Parameter(torch.zeros(1))]


class Lion(torch.optim.Adam):
    """Another's, which steps as it likes."""


class Focal(nn.CrossEntropyLoss):
    """Still of class labels."""


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax"])
def test_adams_kin_are_torchs_own_classes(name):
    assert hasattr(torch.optim, name) and optimizer_kind(name) == "adam"


def test_optimizers():
    assert [optimizer_kind(n) for n in ("SGD", "RMSprop", "Adagrad", "", "Lion")] == ["sgd", "rmsprop", *["other"] * 3]
    assert is_plain_adam(torch.optim.Adam(WEIGHTS)) and not is_plain_adam(Lion(WEIGHTS))
    assert not is_plain_adam(torch.optim.RAdam(WEIGHTS)), "its first steps are momentum's"
    assert is_plain_sgd(torch.optim.SGD(WEIGHTS, lr=0.1, momentum=0.9)) and not is_plain_sgd(torch.optim.ASGD(WEIGHTS))


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (F.nll_loss, "cross-entropy"),
        (Focal(), "cross-entropy"),
        (partial(F.cross_entropy, label_smoothing=0.1), "cross-entropy"),
        (nn.MSELoss(reduction="sum"), "squared"),
        (F.huber_loss, "other"),
        (lambda z, y: F.cross_entropy(z, y), "other"),
        (None, "other"),
    ],
)
def test_losses(loss, kind):
    assert loss_kind(loss) == kind
