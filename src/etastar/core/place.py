"""One place that user code can change, and whether it holds the same as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


@dataclass(frozen=True)
class Place:
    """One place that can change.

    Args:
        name: where it is, for a sentence.
        ours: whether it is part of an object (a module, an instance): its contents can be put back. Else it is a global
            variable, a variable of an enclosing function or an attribute of a class, which anyone may use.
        read: what it holds now.
        write: makes it hold that again.
        before: what it held when it was found.
        same: whether two contents are the same.
    """

    name: str
    ours: bool
    read: Callable[[], Any]
    write: Callable[[Any], None]
    before: Any
    same: Callable[[Any, Any], bool]

    @property
    def changed(self) -> bool:
        """Whether it holds something else now."""
        return not self.same(self.before, self.read())

    @property
    def grown(self) -> bool:
        """Whether it is a collection that something was added to: a log or a cache, as a rule."""
        before, now = self.before, self.read()
        return isinstance(before, (list, dict, set)) and len(now) > len(before)

    @property
    def in_words(self) -> str:
        """Its name, with the keys that differ."""
        before, now = self.before, self.read()
        if not isinstance(before, dict):
            return self.name
        keys = [str(k) for k in {**before, **now} if k not in before or k not in now or not same(before[k], now[k])]
        return f"{self.name}.{keys[0]}" if keys else self.name


def position(iterator: Any) -> Any:
    """Where an iterator stands, as far as it says: a generator's next instruction, or `count(3)`."""
    frame = getattr(iterator, "gi_frame", None)
    return repr(iterator) if frame is None else (frame.f_lasti, {k: repr(v) for k, v in frame.f_locals.items()})


def same(a: Any, b: Any) -> bool:
    """Whether a name holds the same thing: the same object, or an equal plain value.

    A tensor with a graph is this step's result, and cannot carry anything into the next (its graph is gone by then).
    """
    if a is b or (isinstance(b, torch.Tensor) and b.grad_fn is not None):
        return True
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and isinstance(a, PLAIN) and bool(a == b or (a != a and b != b))


def same_contents(a: Any, b: Any) -> bool:
    """Whether two copies of a container hold the same things."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b) if isinstance(a, set) else len(a) == len(b) and all(map(same, a, b))


def equal(a: Any, b: Any) -> bool:
    """Whether two states, of a generator or an iterator, are."""
    return repr(a) == repr(b) if isinstance(a, (dict, tuple)) else a == b
