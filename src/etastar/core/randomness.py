"""Seeds and random state: every draw is a function of (user seed, purpose, index), and the caller's state survives."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from its parts, the same in every process and on every machine (never `hash()`).

    >>> derive_seed(0, "lane", 1) == derive_seed(0, "lane", 1) != derive_seed(0, "lane", 2)
    True
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator of its own, seeded with `derive_seed(*parts)`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def seed_everything(seed: int) -> None:
    """Seed the global generators user code may draw from: torch (CPU, CUDA once in use), `random`, numpy if loaded.

    Not `torch.manual_seed`: without CUDA it formats a stack trace each time (for a lazy call), 1 ms a step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed & 0xFFFF_FFFF)


@contextmanager
def isolated_randomness() -> Iterator[None]:
    """Whatever is seeded or drawn inside, the caller's global random state is bit-identical afterwards."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    python_state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            if numpy and numpy_state is not None:
                numpy.random.set_state(numpy_state)
