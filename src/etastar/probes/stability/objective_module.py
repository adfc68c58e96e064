"""A model and its loss as one module: batch -> loss, to be called at other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from etastar.core.batch import Batch
from etastar.core.objective import check_scalar, split
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.traceless import traceless
from etastar.errors import ProblemError, call
from etastar.probes.stability.blocks import unwrapped
from etastar.probes.wide import widened


class ObjectiveModule(nn.Module):
    """batch -> scalar loss of the model.

    Args:
        model: unwrapped.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.

    Raises:
        ProblemError: neither or both of them.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Any], torch.Tensor] | None,
        loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None,
    ) -> None:
        super().__init__()
        if (loss is None) == (loss_fn is None):
            raise ProblemError("expected exactly one of loss(outputs, targets) and loss_fn(model, batch)")
        self.model = unwrapped(model)
        self._outputs_loss, self._loss_fn = loss, loss_fn

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss, with its graph."""
        if self._loss_fn is not None:
            loss = call("the loss", self._loss_fn, self.model, batch)
        else:
            assert self._outputs_loss is not None
            inputs, targets = split(batch)
            loss = call("the loss", self._outputs_loss, call("the model", self.model, inputs), targets)
        check_scalar(loss)
        return loss.reshape(())

    def at(self, weights: Mapping[str, torch.Tensor], batch: Batch) -> torch.Tensor:
        """The loss where parameters of the model are `weights`; those that are not named stay."""
        return functional_call(self, {f"model.{name}": t for name, t in weights.items()}, (batch,))

    @contextmanager
    def still(self, seed: int = 0) -> Iterator[None]:
        """The network as it is evaluated, but for BatchNorm, which takes its batch's statistics; nothing is left behind."""
        judges = [own for own in (self._outputs_loss, self._loss_fn) if own is not None]
        with isolated_randomness(), widened(self.model), traceless(self.model, *judges):
            self.model.eval()
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.training = True
            seed_everything(derive_seed(seed, "mask", 0, 0))
            yield
