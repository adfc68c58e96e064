"""A callback: what steps change in a module, block by block, while a Trainer of Lightning trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etastar.adapters.lightning.base import Callback
from etastar.adapters.loggers import Scalars
from etastar.adapters.stability_watch import StabilityWatch


class WatchStability(Callback):
    """A `StabilityWatch` of the Trainer's first optimizer, which is asked after every batch.

    Rows go to the Trainer's loggers whatever its `log_every_n_steps`. Steps go on where a resumed training goes on. All
    ranks look, so that layers that wait for each other may be watched; rank 0 logs.

    Args:
        batch: that is always the same; it is moved to the module's device.
        logger: to which rows go instead.
        settings: of `StabilityWatch`: `loss` or `loss_fn(module, batch)`, `blocks`, `split`, `every`, `k`.

    Attributes:
        watch: it; None before training begins.

    Raises:
        MissingExtra: Lightning is not installed.
        ProblemError: once training begins, for a block that does not exist, or settings that make no sense.
    """

    def __init__(self, batch: Any, *, logger: Scalars | None = None, **settings: Any) -> None:
        super().__init__()
        self._batch, self._logger, self._settings = batch, logger, settings
        self.watch: StabilityWatch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, once everything is restored."""
        logger = (self._logger or TrainerLoggers(trainer)) if trainer.is_global_zero else None
        self.watch = StabilityWatch(
            trainer.optimizers[0],
            pl_module,
            trainer.strategy.batch_to_device(self._batch),
            logger=logger,
            taken=trainer.global_step,
            **self._settings,
        )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look, where it is time."""
        assert self.watch is not None
        self.watch.step()


class TrainerLoggers:
    """The loggers of a Trainer, as one.

    Args:
        trainer: theirs.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""
        for own in self._trainer.loggers:
            own.log_metrics(dict(values), step)
