"""Several processes that train one model: they see the same signals, so that they use the same rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import distributed

Key = TypeVar("Key")


def averaged(known: Mapping[Key, torch.Tensor]) -> dict[Key, torch.Tensor]:
    """Every signal's mean over all ranks, the same bits on each of them; alone, the signals as they are.

    The mean is taken on rank 0 and sent from there: sums that every rank takes for itself may differ in their last bit, and
    a policy that compares may then decide differently.
    """
    if not known or not (distributed.is_available() and distributed.is_initialized()):
        return dict(known)
    ranks = distributed.get_world_size()
    device = torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else "cpu"
    values = torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in known.values()]).to(device)
    distributed.reduce(values, dst=0)
    values /= ranks
    distributed.broadcast(values, src=0)
    return dict(zip(known, values.cpu().unbind(), strict=True))
