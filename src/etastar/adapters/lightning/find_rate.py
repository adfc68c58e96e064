"""A callback: find the rate before the first step, and apply it."""

from __future__ import annotations

from typing import Any

from etastar.adapters.lightning.base import Callback
from etastar.adapters.lightning.from_module import problem_from
from etastar.core.applied import apply_rate
from etastar.verbs.find.find import find
from etastar.verbs.find.find_answer import FindAnswer

NAMES = ("lr", "learning_rate")
"""What modules call their rate, as attributes or hyperparameters."""


class FindRate(Callback):
    """Finds the rate when training begins, and makes it that of the optimizer, its schedulers and the module.

    It is applied once everything is restored; groups keep their ratios. Rank 0 decides for all. A training that is resumed
    keeps the rate that was found when it began. Where there is no answer the rate stays.

    Args:
        effort, settings: of `find`.

    Attributes:
        answer: what was found, on rank 0; None before.
        lr: the rate applied; None where there was no answer.

    Raises:
        MissingExtra: Lightning is not installed.
        ProblemError: once training begins, where the module cannot be made a problem.
    """

    def __init__(self, effort: str = "quick", **settings: Any) -> None:
        super().__init__()
        self._settings = {"effort": effort, **settings}
        self.answer: FindAnswer | None = None
        self.lr: float | None = None
        self._restored = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Find and apply."""
        if not self._restored:
            if trainer.is_global_zero:
                data = trainer.train_dataloader, trainer.val_dataloaders
                self.answer = find(problem_from(pl_module, data, trainer=trainer), **self._settings)
            self.lr = trainer.strategy.broadcast(self.answer.lr.value if self.answer else None, src=0)
            if self.lr is not None:
                apply_rate(self.lr, trainer.optimizers[0], *(c.scheduler for c in trainer.lr_scheduler_configs))
        self._restored = False
        if self.lr is not None:
            self._tell(pl_module, self.lr)

    @staticmethod
    def _tell(pl_module: Any, lr: float) -> None:
        """The module's own word for its rate."""
        for name in NAMES:
            if name in pl_module.hparams:
                pl_module.hparams[name] = lr
            if hasattr(pl_module, name):
                setattr(pl_module, name, lr)

    def state_dict(self) -> dict[str, Any]:
        """The rate that was applied."""
        return {"lr": self.lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rate that was applied when the training began."""
        self.lr, self._restored = state_dict["lr"], True
