"""A callback: what steps change in a model, block by block, while a Trainer of Transformers trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from etastar.adapters.loggers import Scalars
from etastar.adapters.stability_watch import StabilityWatch
from etastar.adapters.transformers.from_trainer import bare, checked
from etastar.core.setup import to

if TYPE_CHECKING:
    TrainerCallback: Any = object
else:
    try:
        from transformers import TrainerCallback
    except ImportError:  # then there is no Trainer either, which is said
        TrainerCallback = object


class StabilityCallback(TrainerCallback):
    """A `StabilityWatch` of a Trainer's optimizer: `trainer.add_callback(StabilityCallback(trainer, batch))`.

    Rows go where the Trainer's own numbers go. Steps go on where a resumed training goes on.

    Args:
        trainer: it.
        batch: that is always the same, as its collator makes them; it is moved to the model's device.
        logger: to which rows go instead.
        settings: of `StabilityWatch`: `loss` or `loss_fn(model, batch)`, by default the Trainer's own; `blocks`, `split`,
            `every`, `k`.

    Attributes:
        watch: it; None before training begins.

    Raises:
        ProblemError: it is no Trainer, or shards its model; once training begins, for settings that make no sense.
    """

    def __init__(self, trainer: Any, batch: Any, *, logger: Scalars | None = None, **settings: Any) -> None:
        self._trainer, self._batch = checked(trainer), batch
        own = {} if {"loss", "loss_fn"} & settings.keys() else {"loss_fn": self._loss}
        self._logger, self._settings = logger or TrainerLog(trainer), {**own, **settings}
        self.watch: StabilityWatch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin, once everything is restored."""
        trainer = self._trainer
        batch = to(self._batch, args.device)
        logger = self._logger if trainer.is_world_process_zero() else None
        self.watch = StabilityWatch(
            bare(trainer.optimizer), trainer.model, batch, logger=logger, taken=state.global_step, **self._settings
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look, where it is time."""
        assert self.watch is not None
        self.watch.step()

    def _loss(self, model: Any, batch: Any) -> Any:
        return self._trainer.compute_loss(model, {**batch})


class TrainerLog:
    """What a Trainer logs, and its callbacks hear.

    Args:
        trainer: it.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, beside the Trainer's own of this step."""
        due = self._trainer.control.should_log
        self._trainer.log(dict(values))
        self._trainer.control.should_log = due  # which a log takes back
