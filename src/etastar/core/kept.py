"""What user code remembers between two calls: every place that can change, found by walking from a loss or a model."""

from __future__ import annotations

import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from etastar.core.randomness import is_generator, isolated_randomness, set_state, state_of

if TYPE_CHECKING:
    from etastar.core.problem import Problem

LONG = 1000
"""What is longer is data: it is not looked into."""
MOST = 20_000
"""Things looked at: beyond that the walk ends."""
LARGE = 2**24
"""Numbers of the largest tensor of which a copy is kept."""
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
CLOCKS = ("time", "datetime")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_STRANGERS = (
    "site-packages", "dist-packages", str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<frozen",
)  # fmt: skip


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
        keys = [str(k) for k in {**before, **now} if k not in before or k not in now or not _same(before[k], now[k])]
        return f"{self.name}.{keys[0]}" if keys else self.name


class Kept:
    """Everything that `roots` reach and that can change, as it is now.

    Followed are attributes of modules and objects, containers, enclosing variables, and global variables that functions
    of the user's name; not what belongs to torch, to Python, or to installed packages' globals. Parameters are left out.

    Args:
        roots: losses, metrics, models, datasets.
        lanes: a model whose own buffers may change in place, because every lane has its own.

    >>> class Annealed:
    ...     calls = 0
    ...     def __call__(self, outputs, targets):
    ...         self.calls += 1
    >>> loss = Annealed()
    >>> kept = Kept([loss])
    >>> loss(1.0, 2.0)
    >>> [place.in_words for place in kept.changes()]
    ['Annealed.calls']
    >>> kept.put_back()
    >>> loss.calls
    0
    """

    def __init__(self, roots: Iterable[Any], *, lanes: nn.Module | None = None) -> None:
        self.places: list[Place] = []
        self.modules: list[nn.Module] = []
        self.reads_clock = False
        self._own_buffers = {id(b) for b in lanes.buffers()} if lanes is not None else set()
        self._seen: dict[int, Any] = {}
        self._walk(roots)

    def _walk(self, roots: Iterable[Any]) -> None:
        waiting = [(root, "", True) for root in roots]
        while waiting and len(self._seen) < MOST:
            value, name, ours = waiting.pop()
            if isinstance(value, PLAIN) or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            waiting += self._enter(value, name, ours)

    def changes(self) -> list[Place]:
        """Places that hold something else than they did."""
        return [place for place in self.places if place.changed]

    def put_back(self) -> None:
        """Make all objects and generators as they were; global and enclosing variables are left to their owner."""
        for place in self.places:
            if place.ours and place.changed:
                place.write(place.before)

    def _enter(self, value: Any, name: str, ours: bool) -> Iterator[tuple[Any, str, bool]]:
        """Note the place that `value` is; what it reaches, as (value, name, whether it is part of an object)."""
        if isinstance(value, torch.Tensor):
            self._note_tensor(value, name, ours)
        elif is_generator(value):
            self._note(name, True, lambda: state_of(value), lambda state: set_state(value, state), _equal)
        elif isinstance(value, (list, deque, set, dict)):
            yield from self._enter_container(value, name, ours)
        elif isinstance(value, (tuple, frozenset)):
            yield from ((item, name, ours) for item in list(value)[:LONG])
        elif isinstance(value, types.MethodType):
            yield from ((value.__self__, name, ours), (value.__func__, name, ours))
        elif isinstance(value, partial):
            yield from ((part, name, ours) for part in (value.func, value.args, value.keywords))
        elif isinstance(value, types.FunctionType):
            yield from self._enter_function(value)
        elif isinstance(value, type):
            yield from self._enter_class(value)
        elif _is_open(value):
            yield from self._enter_object(value, name)
        elif hasattr(value, "__next__"):
            self._note(name, False, lambda: _position(value), lambda _: None, _equal)

    def _note(self, name: str, ours: bool, read: Callable[[], Any], write: Callable[[Any], None], same: Any) -> None:
        self.places.append(Place(name, ours, read, write, read(), same))

    def _note_tensor(self, value: torch.Tensor, name: str, ours: bool) -> None:
        uncounted = nn.parameter.is_lazy(value) or value.is_inference()
        if uncounted or isinstance(value, nn.Parameter) or id(value) in self._own_buffers:
            return
        copy = value.detach().clone() if ours and value.numel() <= LARGE and value.layout is torch.strided else None

        def write(_: Any) -> None:
            if copy is not None:
                with torch.no_grad():
                    value.copy_(copy)

        self._note(name, ours and copy is not None, lambda: value._version, write, _equal)

    def _enter_container(self, value: Any, name: str, ours: bool) -> Iterator[tuple[Any, str, bool]]:
        copy = next(kind for kind in (list, deque, set, dict) if isinstance(value, kind))

        def write(before: Any) -> None:
            value.clear()
            value.extend(before) if isinstance(value, (list, deque)) else value.update(before)

        self._note(name, ours, lambda: copy(value), write, _same_contents)
        if len(value) <= LONG:
            items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
            yield from ((item, name if key is None else f"{name}.{key}", ours) for key, item in list(items))

    def _enter_object(self, value: Any, name: str) -> Iterator[tuple[Any, str, bool]]:
        own, kind = vars(value), type(value).__name__
        if isinstance(value, nn.Module):
            self.modules.append(value)

        def write(before: dict[str, Any]) -> None:
            own.clear()
            own.update(before)

        self._note(kind, True, lambda: dict(own), write, _same_contents)
        items = [(key, item) for key, item in own.items() if key not in _OF_EVERY_MODULE or item]
        yield from ((item, kind if key in _OF_EVERY_MODULE else f"{kind}.{key}", True) for key, item in items)
        yield type(value), kind, False

    def _enter_class(self, value: type) -> Iterator[tuple[Any, str, bool]]:
        for kind in value.__mro__:
            if not _is_the_users(getattr(sys.modules.get(kind.__module__), "__file__", kind.__module__)):
                continue
            for key, item in list(vars(kind).items()):
                item = getattr(item, "__func__", getattr(item, "fget", item))
                if not (key.startswith("__") or callable(item)):
                    self._note_name(vars(kind), key, kind.__name__, lambda x, k=kind, key=key: setattr(k, key, x))
                if not key.startswith("__") or callable(item):
                    yield item, f"{kind.__name__}.{key}", False

    def _enter_function(self, value: types.FunctionType) -> Iterator[tuple[Any, str, bool]]:
        if not _is_the_users(value.__code__.co_filename):
            return
        if vars(value):
            yield vars(value), value.__name__, False
        yield from ((item, value.__name__, False) for item in (value.__defaults__ or ()))
        yield from ((item, value.__name__, False) for item in (value.__kwdefaults__ or {}).values())
        for key, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if id(cell) not in self._seen:
                self._seen[id(cell)] = cell
                held = lambda cell=cell: _contents(cell)
                self._note(key, False, held, lambda _: None, _same)
                yield held(), key, False
        names = set(_names(value.__code__))
        for key in names & value.__globals__.keys():
            yield from self._enter_global(value.__globals__, key, names)

    def _enter_global(self, scope: dict[str, Any], key: str, names: set[str]) -> Iterator[tuple[Any, str, bool]]:
        value = scope[key]
        module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
        if module in CLOCKS:
            self.reads_clock = True
        elif isinstance(value, types.ModuleType):
            if _is_the_users(getattr(value, "__file__", None)):
                for name in names & vars(value).keys():
                    yield from self._enter_global(vars(value), name, names)
        else:
            self._note_name(scope, key, "")
            yield value, key, False

    def _note_name(self, scope: Any, key: str, owner: str, write: Callable[[Any], None] = lambda _: None) -> None:
        self._note(f"{owner}.{key}" if owner else key, False, lambda: scope.get(key), write, _same)


class _Generators(Kept):
    """The random generators among what can change; nothing is copied."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self.found: list[Any] = []
        super().__init__(roots)

    def _enter(self, value: Any, name: str, ours: bool) -> Iterator[tuple[Any, str, bool]]:
        if is_generator(value):
            self.found.append(value)
        elif not isinstance(value, torch.Tensor):
            yield from super()._enter(value, name, ours)

    def _note(self, name: str, ours: bool, read: Callable[[], Any], write: Callable[[Any], None], same: Any) -> None:
        pass


def generators_in(*roots: Any) -> list[Any]:
    """The random generators of torch, Python and numpy that data or transforms own, or that their code names.

    >>> import random
    >>> class Noisy:
    ...     def __init__(self):
    ...         self.transforms = [types.SimpleNamespace(rng=random.Random(3))]
    >>> len(generators_in(Noisy()))
    1
    """
    return _Generators(roots).found


@contextmanager
def undisturbed(problem: Problem) -> Iterator[None]:
    """Whatever is drawn or trained inside, the caller's random state and losses are bit-identical afterwards."""
    with isolated_randomness(), unmoved(*problem.judges):
        yield


@contextmanager
def unmoved(*roots: Any) -> Iterator[Kept]:
    """Whatever objects of `roots` remember is afterwards as before: a stateful loss starts every lane alike."""
    kept = Kept(roots)
    try:
        yield kept
    finally:
        kept.put_back()


def _is_open(value: Any) -> bool:
    """Whether an object's attributes are looked at: modules, and instances of classes that are not Python's or torch's."""
    if isinstance(value, (nn.Module, types.SimpleNamespace)):
        return True
    if type(value).__module__.startswith("torch.utils.data"):  # a Subset holds a dataset of the user's
        return True
    root = type(value).__module__.partition(".")[0]
    return root not in sys.stdlib_module_names and root not in ("torch", "numpy") and hasattr(value, "__dict__")


def _is_the_users(file: str | None) -> bool:
    return file is not None and not any(part in file for part in _STRANGERS) and file != "builtins"


def _names(code: types.CodeType) -> Iterator[str]:
    """Global and attribute names that a function, and those defined in it, use."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


def _position(iterator: Any) -> Any:
    """Where an iterator stands, as far as it says: a generator's next instruction, or `count(3)`."""
    frame = getattr(iterator, "gi_frame", None)
    return repr(iterator) if frame is None else (frame.f_lasti, {k: repr(v) for k, v in frame.f_locals.items()})


def _same(a: Any, b: Any) -> bool:
    """Whether a name holds the same thing: the same object, or an equal plain value.

    A tensor with a graph is this step's result, and cannot carry anything into the next (its graph is gone by then).
    """
    if a is b or (isinstance(b, torch.Tensor) and b.grad_fn is not None):
        return True
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and isinstance(a, PLAIN) and bool(a == b or (a != a and b != b))


def _same_contents(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b) if isinstance(a, set) else len(a) == len(b) and all(map(_same, a, b))


def _equal(a: Any, b: Any) -> bool:
    return repr(a) == repr(b) if isinstance(a, (dict, tuple)) else a == b
