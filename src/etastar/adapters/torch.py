"""`PolicyLR`: a policy as one of torch's schedulers."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from etastar.adapters.controller import TOLD, Controller
from etastar.engine.signals import OF_GRADIENT, keys_of
from etastar.errors import ProblemError


class PolicyLR(LRScheduler):
    """Sets the rates of an optimizer by a policy, stepped as torch's schedulers are, after the optimizer:

        loss.backward()
        optimizer.step()
        scheduler.step(loss=loss)

    The rate of a step is decided at the end of the step before: a policy that reads sees one step later than in a
    `Controller`, and at step 0 nothing. One that reads gradients is refused, for they may have been clipped by then. A step
    that the optimizer has not taken (GradScaler) does not advance the policy.

    Args:
        optimizer, policy, lr, steps, model, log: see `Controller`; a loss told at the end of a step is logged with the next.

    Attributes:
        controller: what does the work.

    Raises:
        ProblemError: the policy reads gradients, or see `Controller`.

    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> scheduler, rates = PolicyLR(optimizer, "wsd:warmup=0,decay=0.5", steps=4), []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.1, 0.1, 0.1, 0.05]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: Any,
        lr: float | None = None,
        steps: int | None = None,
        *,
        model: nn.Module | None = None,
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        self.controller = Controller(optimizer, policy, lr, steps, model=model, log=log)
        if known := [name for name, _ in keys_of(self.controller.policy) if name in OF_GRADIENT]:
            raise ProblemError(
                f"{self.controller.policy!r} reads {known[0]}, and a scheduler is stepped after the update; expected a "
                "Controller, which is asked between backward() and optimizer.step()"
            )
        self._told: dict[str, Any] = {}
        super().__init__(optimizer)

    def step(self, epoch: int | None = None, *, loss: Any = None, accuracy: Any = None, valid_loss: Any = None) -> None:
        """Decide the rate of the next step.

        Args:
            epoch: as in torch; given by position, and deprecated there.
            loss, accuracy, valid_loss: of the step just taken; only what the policy reads is needed.

        Raises:
            ProblemError: the policy reads what was not told.
        """
        self._told = {"loss": loss, "accuracy": accuracy, "valid_loss": valid_loss}
        if self.controller.taken:
            for name, _ in keys_of(self.controller.policy):
                if (own := TOLD.get(name)) and self._told[own] is None and own != "valid_loss":
                    raise ProblemError(f"{self.controller.policy!r} reads {name}; expected scheduler.step({own}={own})")
        super().step(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Called by torch's `step`, and by `SequentialLR` with 0 when this scheduler's turn begins."""
        if epoch is not None:
            self.controller.begin()
            self._told = {}
        self.controller.propose(**{"loss": None, **self._told})
        self.last_epoch = self.controller.taken
        self._last_lr = self.get_lr()

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rates in use, one a group."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return [rate.clone() if isinstance(rate, torch.Tensor) else rate for rate in rates]

    def state_dict(self) -> dict[str, Any]:
        """Numbers, tensors and containers of them, as `torch.save` keeps them."""
        own = {name: getattr(self, name) for name in ("last_epoch", "_step_count", "_last_lr", "base_lrs")}
        return {**own, "controller": self.controller.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where it was saved; see `Controller.load_state_dict`."""
        own = dict(state_dict)
        self.controller.load_state_dict(own.pop("controller", {}))
        self.__dict__.update(own)
