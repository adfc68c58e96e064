"""`PolicyLR`: a policy as one of torch's schedulers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from etastar.adapters.controller import TOLD, Controller
from etastar.adapters.loggers import Logger
from etastar.engine.signals import OF_GRADIENT, keys_of
from etastar.errors import ProblemError
from etastar.policies.policy import Policy


class PolicyLR(LRScheduler):
    """Sets the rates of an optimizer by a policy, stepped as torch's schedulers are, after the optimizer:

        loss.backward()
        optimizer.step()
        scheduler.step(loss=loss)

    The rate of a step is decided at the end of the step before: a policy that reads sees one step later than in a
    `Controller`, and at step 0 nothing. One that reads gradients is refused, for they may have been clipped by then. A step
    that the optimizer has not taken (GradScaler) does not advance the policy.

    Args:
        optimizer, policy, lr, steps, model, logger: see `Controller`.
        fed: `feed` is called between backward and update, as a `Controller` is asked; so do the adapters of Lightning and
            Transformers. Then a policy sees this step, may read gradients, and `step` takes nothing.

    Attributes:
        controller: what does the work.

    Raises:
        ProblemError: the policy reads gradients and is not fed, or see `Controller`.

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
        fed: bool = False,
        logger: Logger | None = None,
    ) -> None:
        self.controller = Controller(optimizer, policy, lr, steps, model=model, logger=logger)
        self.fed, self._heard = fed, 0
        if not fed and (known := [name for name, _ in keys_of(self.controller.policy) if name in OF_GRADIENT]):
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
        if self.controller.taken and not self.fed:
            for name, _ in keys_of(self.controller.policy):
                if (own := TOLD.get(name)) and self._told[own] is None and own != "valid_loss":
                    raise ProblemError(f"{self.controller.policy!r} reads {name}; expected scheduler.step({own}={own})")
        super().step(epoch)

    @property
    def policy(self) -> Policy:
        """What it follows, as it was planned."""
        return self.controller.planned

    def feed(self, loss: Any = None, accuracy: Any = None) -> float:
        """Decide the rate of this step, between backward and update; see `Controller.step`."""
        self._heard += 1
        rate = self.controller.step(loss, accuracy)
        self._last_lr = self.get_lr()
        return rate

    def rescale(self, factor: float) -> None:
        """See `Controller.rescale`; the rates of the step to come are decided again."""
        self.controller.rescale(factor)
        self.base_lrs = [base * factor for base in self.base_lrs]
        if not self.controller.taken:
            self.controller.propose(None)
        self._last_lr = self.get_lr()

    def _update_lr(self, epoch: int | None = None) -> None:
        """Called by torch's `step`, and by `SequentialLR` with 0 when this scheduler's turn begins."""
        if epoch is not None:
            self.controller.begin()
            self._told = {}
        if not (self.fed and self.controller.policy.reads and self.controller.taken):
            self.controller.propose(**{"loss": None, **self._told})
        elif not self._heard:
            raise ProblemError(
                f"{self.controller.policy!r} reads signals, and nobody tells this scheduler; expected its adapter, e.g. "
                "etastar.adapters.lightning.DrivePolicy() among the Trainer's callbacks"
            )
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
