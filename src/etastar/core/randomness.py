"""Seeds and random state: every draw is a function of (user seed, purpose, index), and the caller's state survives."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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


def is_generator(value: Any) -> bool:
    """Whether it is a random generator with a state of its own: of torch, Python or numpy."""
    if isinstance(value, random.SystemRandom):
        return False
    numpy = sys.modules.get("numpy")
    of_numpy = (numpy.random.Generator, numpy.random.RandomState) if numpy else ()
    return isinstance(value, (torch.Generator, random.Random, *of_numpy))


def state_of(value: Any) -> Any:
    """The state of a generator, for `set_state`; two states can be compared by `repr`."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    return value.bit_generator.state if hasattr(value, "bit_generator") else value.get_state(legacy=False)


def set_state(value: Any, state: Any) -> None:
    """Put a generator where it was."""
    if isinstance(value, torch.Generator):
        value.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    elif isinstance(value, random.Random):
        value.setstate(state)
    elif hasattr(value, "bit_generator"):
        value.bit_generator.state = state
    else:
        value.set_state(state)


def _seed(value: Any, seed: int) -> None:
    if isinstance(value, torch.Generator):
        value.manual_seed(seed)
    elif hasattr(value, "bit_generator"):
        value.bit_generator.state = type(value.bit_generator)(seed).state
    else:
        value.seed(seed if isinstance(value, random.Random) else seed & 0xFFFF_FFFF)


@contextmanager
def reseeded(generators: Sequence[Any], *parts: int | str) -> Iterator[None]:
    """Generators that the user's objects own draw from (parts, place in the list) inside, and are put back afterwards."""
    states = [state_of(value) for value in generators]
    for place, value in enumerate(generators):
        _seed(value, derive_seed(*parts, place))
    try:
        yield
    finally:
        for value, state in zip(generators, states, strict=True):
            set_state(value, state)
