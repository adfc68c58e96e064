"""The loss of an optimizer step out of what a trainer's micro-batches say."""

from __future__ import annotations

from typing import Any


class MeanLoss:
    """Adds up the losses of micro-batches, each already divided as its gradient is; no number is read off a device.

    >>> mean = MeanLoss()
    >>> mean.add(0.25), mean.add(0.5), mean.take(), mean.take()
    (None, None, 0.75, None)
    """

    def __init__(self) -> None:
        self._sum: Any = None

    def add(self, share: Any) -> None:
        """One micro-batch's share of the step's loss."""
        self._sum = share if self._sum is None else self._sum + share

    def take(self) -> Any:
        """The step's loss; the next step begins. None where nothing was added."""
        total, self._sum = self._sum, None
        return total
