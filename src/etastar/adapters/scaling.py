"""Whether gradients are those of the loss: GradScaler multiplies them, until `unscale_` or its step divides them again."""

from __future__ import annotations

import math
from typing import Any

import torch

from etastar.core.setup import Setup
from etastar.errors import ProblemError

SMALLEST_SCALE = 256.0
"""A gradient that shrinks between the policy's look and the update by an exact power of two this large was scaled. Clipping
divides by no such number; scales begin at 65,536, and are halved for every overflow."""


class Scaling:
    """Watches that a policy does not see scaled gradients.

    Args:
        setup: whose gradients they are.
        scaler: the GradScaler of the loop, if it was told; else the first step shows whether there is one.
    """

    def __init__(self, setup: Setup, scaler: Any) -> None:
        self._setup, self._scaler = setup, scaler
        self._seen: float | None = None
        self._known = False
        """Whether a step was taken, so that it is known how gradients come."""

    def look(self) -> None:
        """Called where the policy looks at gradients.

        Raises:
            ProblemError: they are still scaled.
        """
        if self._scaler is not None and self._scaler.is_enabled():
            if self._scaler._per_optimizer_states[id(self._setup.optimizer)]["stage"].name == "READY":
                raise _scaled()
        elif not self._known:
            self._seen = self._largest()

    def stepped(self) -> None:
        """Called once the optimizer has stepped on the gradients looked at.

        Raises:
            ProblemError: they were scaled then.
        """
        seen, self._seen = self._seen, None
        if seen is None:
            return
        self._known = True
        now = self._largest()
        shrunk = seen / now if now > 0 else 1.0
        by_itself = getattr(self._setup.optimizer, "grad_scale", None) is not None
        if by_itself or (shrunk >= SMALLEST_SCALE and math.frexp(shrunk)[0] == 0.5):
            raise _scaled()

    def _largest(self) -> float:
        """The largest number in the first gradient."""
        gradient = next((p.grad for p in self._setup.parameters() if p.grad is not None), None)
        return 0.0 if gradient is None else float(torch.linalg.vector_norm(gradient.to_dense(), torch.inf))


def _scaled() -> ProblemError:
    return ProblemError(
        "the policy reads gradients, and GradScaler has not yet divided them by its scale; expected "
        "scaler.unscale_(optimizer) before controller.step(), and Controller(..., scaler=scaler)"
    )
