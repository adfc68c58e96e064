"""The numerical settings under which everything is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from etastar.errors import ProblemError


@contextmanager
def steady_numerics() -> Iterator[None]:
    """One thread, denormals flushed, no TF32: the same numbers in this process, a worker and tomorrow. Put back after.

    Raises:
        ProblemError: see `check_default_device`.

    Denormals make matrix products up to 78x slower, and dying networks are full of them.
    """
    check_default_device()
    threads, flushed = torch.get_num_threads(), _denormals_are_flushed()
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


def check_default_device() -> None:
    """Refuse a default device that is not the CPU: data is drawn and weights are made there, then moved.

    Raises:
        ProblemError: torch.set_default_device named another one, or torch.device(...) is entered.
    """
    default = torch.get_default_device()
    if default.type != "cpu":
        raise ProblemError(
            f"torch's default device is {default}; expected cpu, where models and data are made before they are moved: drop "
            "torch.set_default_device, and say where to train with device (--device)"
        )


def _denormals_are_flushed() -> bool:
    return float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) == 0.0
