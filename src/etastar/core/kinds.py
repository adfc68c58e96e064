"""Of what kind an optimizer and a loss are: decided here, for every rule that differs from kind to kind."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

ADAM_KIN = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")
"""Class names of the optimizers whose best rates lie where Adam's do."""
PLAIN_ADAM = (torch.optim.Adam, torch.optim.AdamW)
"""Classes whose first step is lr g / (|g| + eps), and whose edge of stability is known. A class derived from one of them may
step any other way."""


def optimizer_kind(name: str) -> str:
    """ "sgd", "adam" (also its kin), "rmsprop" or "other", by the name of the class, which is all a user's own loop says.

    >>> optimizer_kind("AdamW"), optimizer_kind("SGD"), optimizer_kind("SGD + AdamW")
    ('adam', 'sgd', 'other')
    """
    return {"SGD": "sgd", "RMSprop": "rmsprop", **dict.fromkeys(ADAM_KIN, "adam")}.get(name, "other")


def is_plain_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it steps as Adam (or AdamW) does, exactly.

    >>> weights = [torch.nn.Parameter(torch.zeros(1))]
    >>> is_plain_adam(torch.optim.AdamW(weights)), is_plain_adam(torch.optim.NAdam(weights))
    (True, False)
    """
    return type(optimizer) in PLAIN_ADAM


def is_plain_sgd(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it steps as torch's SGD does, exactly; with momentum, too."""
    return type(optimizer) is torch.optim.SGD


def loss_kind(loss: Any) -> str:
    """ "cross-entropy" (of class labels or shares), "squared" or "other", where it is torch's own, also in a `partial`.

    >>> loss_kind(nn.functional.cross_entropy), loss_kind(partial(nn.functional.mse_loss, reduction="sum"))
    ('cross-entropy', 'squared')
    """
    loss = loss.func if isinstance(loss, partial) else loss
    functional = nn.functional
    if loss in (functional.cross_entropy, functional.nll_loss) or isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return "cross-entropy"
    return "squared" if loss is functional.mse_loss or isinstance(loss, nn.MSELoss) else "other"
