"""What a problem is made of: `Parts`, which etastar trains itself, or a `Loop` of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.core.data import Batches
from etastar.errors import ProblemError


@dataclass(frozen=True)
class Parts:
    """Model, optimizer and data, all of which are there; see `Problem`."""

    model: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], Any]
    batches: Batches
    of_outputs: Callable[[Any, Any], torch.Tensor] | None

    @property
    def loss(self) -> Callable[[Any, Any], torch.Tensor]:
        """(outputs, targets) -> scalar.

        Raises:
            ProblemError: there is one of (model, batch) instead.
        """
        if self.of_outputs is None:
            raise ProblemError("the problem has loss_fn(model, batch); expected loss(outputs, targets): pass that instead")
        return self.of_outputs


@dataclass(frozen=True)
class Loop:
    """A training loop of the user's own, and what it says of itself.

    Args:
        train: (lr, seed, report); see `Problem.from_loop`.
        lr: the rate in use; None if it is not known.
        optimizer: class name, "" if it is not known.
    """

    train: Callable[..., None]
    lr: float | None
    optimizer: str
