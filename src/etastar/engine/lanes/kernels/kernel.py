"""A kernel: the loss, accuracy and gradient of many lanes. All else about training is the lane engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from etastar.core.batch import Batch
from etastar.core.problem import Problem
from etastar.engine.lanes.rows import Layout, Rows

Scores = tuple[torch.Tensor, torch.Tensor | None]


class Kernel(Protocol):
    """Computes on rows. Lanes never touch each other: no operation mixes rows."""

    def gradient(self, rows: Rows, batch: Batch) -> Scores:
        """Loss [K] and accuracy [K] (or None) of every lane on its batch [K, B, ...]; the gradients go to `rows.grad`."""
        ...

    def evaluate(self, rows: Rows, batch: Batch) -> Scores:
        """Loss and accuracy of every lane in eval mode on one batch [B, ...] for all of them."""
        ...


KernelFactory = Callable[[Problem, nn.Module, Layout], Kernel]
"""(problem, a model of it on its device, layout) -> kernel; raises `DoesNotApply` where it does not apply."""
