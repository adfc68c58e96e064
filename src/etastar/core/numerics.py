"""The numerical settings under which everything is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def steady_numerics() -> Iterator[None]:
    """One thread, denormals flushed, no TF32: the same numbers in this process, a worker and tomorrow. Put back after.

    Denormals make matrix products up to 78x slower, and dying networks are full of them.
    """
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


def _denormals_are_flushed() -> bool:
    return float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) == 0.0
