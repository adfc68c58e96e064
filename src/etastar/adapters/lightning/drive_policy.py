"""A callback: a policy drives a Trainer of Lightning, step by step."""

from __future__ import annotations

import math
from typing import Any

from etastar.adapters.feeding import MeanLoss
from etastar.adapters.lightning.base import Callback
from etastar.adapters.torch import PolicyLR
from etastar.errors import ProblemError
from etastar.policies.torch_schedule import group_names


class DrivePolicy(Callback):
    """Lets a policy set the rate of every optimizer step, and logs it as "lr/GROUP".

    A fed `PolicyLR` is the Trainer's scheduler, so that checkpoints hold its state; the callback only tells it the loss of
    every step and, from `monitor`, of every validation. Gradients are seen before they are clipped.

    Args:
        policy: as for a `Controller`; None: `configure_optimizers` returns a `PolicyLR(..., fed=True)`, "interval": "step".
        lr: the peak; None: that of the optimizer.
        steps: the horizon; None: the Trainer's.
        monitor: the logged metric that is the validation loss.

    Raises:
        MissingExtra: Lightning is not installed.
        ProblemError: once training begins, where there is no one optimizer to drive, or another scheduler.
    """

    def __init__(
        self, policy: Any = None, lr: float | None = None, steps: int | None = None, monitor: str = "val_loss"
    ) -> None:
        super().__init__()
        self._policy, self._lr, self._steps, self._monitor = policy, lr, steps, monitor
        self._loss = MeanLoss()
        self._scheduler: PolicyLR | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the scheduler where the Trainer saves and restores it."""
        configs = trainer.strategy.lr_scheduler_configs
        if not pl_module.automatic_optimization or len(trainer.optimizers) != 1:
            raise ProblemError(
                f"DrivePolicy got a module with {len(trainer.optimizers)} optimizers, automatic_optimization="
                f"{pl_module.automatic_optimization}; expected one that Lightning steps: use a Controller in your own loop"
            )
        if self._policy is not None:
            if configs:
                raise ProblemError(
                    f"configure_optimizers returned a {type(configs[0].scheduler).__name__} beside the optimizer; expected "
                    "the optimizer alone, since DrivePolicy sets its rate"
                )
            configs.append(self._config(trainer, pl_module))
        self._scheduler = configs[0].scheduler if len(configs) == 1 else None
        if not (isinstance(self._scheduler, PolicyLR) and self._scheduler.fed and configs[0].interval == "step"):
            raise ProblemError(
                "DrivePolicy() has no policy; expected DrivePolicy('wsd'), or {'scheduler': PolicyLR(optimizer, ..., "
                "fed=True), 'interval': 'step'} from configure_optimizers"
            )

    def _config(self, trainer: Any, pl_module: Any) -> Any:
        from lightning.pytorch.utilities.types import LRSchedulerConfig  # type: ignore[import-not-found]

        steps = trainer.estimated_stepping_batches if self._steps is None else self._steps
        steps = int(steps) if math.isfinite(steps) and steps > 0 else None
        scheduler = PolicyLR(trainer.optimizers[0], self._policy, self._lr, steps, model=pl_module, fed=True)
        return LRSchedulerConfig(scheduler, interval="step")

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Hear the loss of a micro-batch, divided by their number, and by GradScaler's scale."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._loss.add(loss.detach() if scaler is None else loss.detach() / scaler.get_scale())

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Set the rate of this step."""
        assert self._scheduler is not None
        self._scheduler.feed(self._loss.take())
        own = self._scheduler.optimizer
        rates = zip(group_names(own), own.param_groups, strict=True)
        pl_module.log_dict({f"lr/{name}": float(group["lr"]) for name, group in rates}, on_step=True, on_epoch=False)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Tell the validation loss."""
        if self._scheduler is not None and not trainer.sanity_checking and self._monitor in trainer.callback_metrics:
            self._scheduler.controller.tell(trainer.callback_metrics[self._monitor])
