"""That a look leaves no trace: whatever of the caller's it could change, before and after."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn

from etastar.testing.expect import expect

Traces = list[tuple[str, Any]]
"""(what, its value) of everything."""


def traces_of(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any = None) -> Traces:
    """Whatever of a training a look could change, as copies, by name.

    >>> net = nn.Linear(1, 1)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> before = traces_of(net, sgd)
    >>> _ = net.requires_grad_(False)
    >>> expect_untouched(before, traces_of(net, sgd), "Freezes()")
    Traceback (most recent call last):
        ...
    AssertionError: Freezes() changed which parameters are trained; expected everything as it was
    """
    modules = [*model.modules(), *(loss.modules() if isinstance(loss, nn.Module) else [])]
    slots = [slot for own in optimizer.state.values() for slot in own.values()]
    tensors = {
        "a parameter": list(model.parameters()),
        "a buffer": [buffer for module in modules for buffer in module.buffers(recurse=False)],
        "a gradient": [p.grad for p in model.parameters() if p.grad is not None],
        "the optimizer's state": [slot for slot in slots if isinstance(slot, torch.Tensor)],
    }
    found: Traces = [(what, t.detach().clone()) for what, some in tensors.items() for t in some]
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    hooks = [(list(m._forward_hooks), list(m._forward_pre_hooks), list(m._backward_hooks)) for m in modules]
    return [
        *found,
        ("which parameters are trained", repr([p.requires_grad for p in model.parameters()])),
        ("which gradients there are", repr([p.grad is None for p in model.parameters()])),
        ("the optimizer's settings", repr((settings, sorted(vars(optimizer))))),
        ("the optimizer's state", repr([sorted(own) for own in optimizer.state.values()])),
        ("the modes of the model", repr([module.training for module in modules])),
        ("the hooks of the model", repr(hooks)),
        ("torch's settings", repr((torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype()))),
        ("torch's random state", torch.get_rng_state().clone()),
        ("Python's random state", repr(random.getstate())),
        ("numpy's random state", repr(np.random.get_state())),
    ]


def expect_untouched(before: Traces, after: Traces, who: str) -> None:
    """Hold that everything is bit-identical.

    Args:
        who: has looked.
    """
    count = f"{who} changed how many tensors there are; expected everything as it was"
    expect(len(before) == len(after), count)
    for (what, a), (_, b) in zip(before, after, strict=True):
        same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        expect(same, f"{who} changed {what}; expected everything as it was")
