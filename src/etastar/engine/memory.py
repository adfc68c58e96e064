"""How many lanes fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from etastar.core.batch import Batch
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.setup import Setup, to
from etastar.engine.lanes.rows import Layout
from etastar.errors import call

SHARE = 0.5
"""Share of the free memory that lanes may take."""


def bytes_per_lane(layout: Layout, activations: int) -> int:
    """Memory of one lane: parameters, gradient (twice: autograd's and ours), optimizer state, activations.

    Args:
        activations: bytes one forward pass keeps for its backward pass.
    """
    size = torch.empty((), dtype=layout.dtype).element_size()
    state = sum((g.stop - g.start) * len(g.rule.slots) for g in layout.groups)
    return size * (3 * layout.width + state) + 2 * activations


@contextmanager
def kept_for_backward(model: torch.nn.Module) -> Iterator[dict[int, int]]:
    """Address -> bytes of what forward passes within keep for their backward pass, the model's parameters apart."""
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield found


def activation_bytes(problem: Problem, setup: Setup, batch: Batch, device: str) -> int:
    """Bytes one forward pass of `setup`'s model keeps for its backward pass, its parameters apart."""
    with kept_for_backward(setup.model) as kept:
        call("the loss", loss_and_accuracy, problem, setup.model, to(batch, device))
    return sum(kept.values())


def free_bytes(device: str) -> int:
    """Memory this process may still take on `device`."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    limits = [_available(), *_cgroup()]
    return min(limits)


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


def _cgroup() -> list[int]:
    """What a container's limit leaves, where there is one."""
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return [limit - int(Path("/sys/fs/cgroup/memory.current").read_text())]
    except (OSError, ValueError):
        return []


def lanes_that_fit(per_lane: int, device: str, processes: int = 1) -> int:
    """Lanes of `per_lane` bytes that fit into each process's part of the memory lanes may take."""
    return int(SHARE * free_bytes(device) / max(processes, 1) / max(per_lane, 1))
