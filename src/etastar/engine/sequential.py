"""One lane after the other, as fast as torch goes: the loop with channels-last convolutions and a fused optimizer.

For large convolutions on a CPU this is the fast path; for what cannot be trained as rows it is the only one.
"""

from __future__ import annotations

import torch
from torch import nn

from etastar.core.batch import Batch
from etastar.core.problem import Problem
from etastar.core.setup import Setup
from etastar.engine.loop import LoopEngine

FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)

FUSED_TYPES = (torch.float32, torch.float64)
"""In bfloat16 and float16 torch 2.13's fused SGD on the CPU leaves parameters of 16 or more numbers as they are."""


class SequentialEngine(LoopEngine):
    """The loop's training, tuned; its outcomes are the loop's up to rounding."""

    @property
    def name(self) -> str:
        """Engine and device."""
        return "sequential" + super().name.removeprefix("loop")

    def set_up(self, problem: Problem, seed: int, example: Batch) -> Setup:
        """The loop's, tuned."""
        setup = super().set_up(problem, seed, example)
        if any(isinstance(module, nn.Conv2d) for module in setup.model.modules()):
            setup.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        use_fused(setup.optimizer)
        return setup


def use_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Let an optimizer that has not stepped yet do so in one kernel, where torch has one for it; says whether it will."""
    possible = type(optimizer) in FUSED and all(
        settings.get("fused") is None
        and not settings.get("foreach")
        and not settings.get("differentiable")
        and not isinstance(settings["lr"], torch.Tensor)
        and all(p.dtype in FUSED_TYPES and not p.is_sparse for p in settings["params"])
        for settings in optimizer.param_groups
    )
    if possible:
        for settings in optimizer.param_groups:
            settings["fused"] = True
    return possible
