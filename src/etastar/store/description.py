"""A digest of any Python object by what it is and does: code, constants, attributes, numbers. The same in every process.

Never an address, a hash or the order of a set. Code of the user's is followed into everything it names; what comes from an
installed library is its name and version, and whatever of the user's it holds.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import random
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from etastar.store.contents import array_numbers, file_state, numbers
from etastar.store.origin import installed, version_of
from etastar.users_code import file_of, names_in

PLAIN = (type(None), bool, int, float, complex, str, bytes)
DEEP = 60
"""Objects within objects that are followed at once; what lies deeper is described afterwards."""
OPAQUE = ("logging", "threading", "_thread", "multiprocessing", "concurrent", "asyncio", "socket", "subprocess", "sqlite3")
"""Libraries whose objects belong to a process: they count by their type."""
NOT_CODE = re.compile(
    "__(dict|weakref|module|doc|qualname|firstlineno|static_attributes|annotations?|annotate_func|annotations_cache|hash|"
    "dataclass_fields|dataclass_params|match_args|orig_bases|parameters|abstractmethods|slotnames|type_params|protocol_attrs|"
    "non_callable_proto_members)__|_abc_impl|_is_(runtime_)?protocol"
)
"""What stands in a class and is no code of the user's."""
READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
"""Instructions that read a global."""
MODULES = 6
"""Modules within packages that are followed."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def digest(value: Any, read: tuple[str, ...] = ()) -> str:
    """32 hexadecimal digits that differ where `value` does anything else.

    Args:
        read: files, and folders, whose code is read as the user's own is, although it may be installed.

    >>> digest(lambda x: x + 1) == digest(lambda x: x + 1) != digest(lambda x: x + 2)
    True
    >>> digest({"b", "a"}) == digest({"a", "b"}), digest(print) == digest(sum)
    (True, False)
    """
    walk = _Description(read)
    found = [walk.of(value)]
    while walk.deeper:
        found.append(walk.resume())
    return found[0] if len(found) == 1 else _hash(found)


def without_addresses(text: str) -> str:
    """A `repr` without the places in memory that some hold."""
    return _ADDRESS.sub("", text)


def _hash(*parts: Any) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class _Description:
    """One walk over an object and all it holds; each object is described once."""

    def __init__(self, read: tuple[str, ...]) -> None:
        self._to_read = read
        self._known: dict[int, str] = {}
        self._open: dict[int, int] = {}
        self._alive: list[Any] = []
        """Objects described: while they live, no other has their id."""
        self.deeper: list[Any] = []

    def of(self, value: Any) -> str:
        """The digest of one object."""
        if type(value) in PLAIN:
            return _hash(type(value).__name__, value)
        key = id(value)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return _hash("the object", len(self._open) - self._open[key], "above")
        self._alive.append(value)
        if len(self._open) >= DEEP:
            self.deeper.append(value)
            self._known[key] = _hash("deeper", len(self._alive))
            return self._known[key]
        self._open[key] = len(self._open)
        try:
            self._known[key] = _hash(*self._parts(value))
        finally:
            del self._open[key]
        return self._known[key]

    def _installed(self, file: str | None) -> bool:
        return installed(file) and not (file is not None and self._to_read and file.startswith(self._to_read))

    def resume(self) -> str:
        """The digest of the next object that lay too deep."""
        value = self.deeper.pop(0)
        del self._known[id(value)]
        return self.of(value)

    def _parts(self, value: Any) -> Iterable[Any]:
        for kind, parts in KINDS:
            if isinstance(value, kind):
                return (type(value).__name__, *parts(self, value))
        return self._object(value)

    def _each(self, values: Iterable[Any]) -> list[str]:
        return [self.of(value) for value in values]

    def _sequence(self, value: Any) -> Iterable[Any]:
        if _plain(value):
            return (repr(value),)
        own = () if type(value) in (list, tuple) else (self._class_of(value), self.of(getattr(value, "__dict__", {})))
        return (*own, self._each(value))

    def _mapping(self, value: Mapping[Any, Any]) -> Iterable[Any]:
        own = () if type(value) is dict else (self._class_of(value), self.of(getattr(value, "__dict__", {})))
        return (*own, [(self.of(key), self.of(item)) for key, item in value.items()])

    def _set(self, value: Any) -> Iterable[Any]:
        return (sorted(self._each(value)),)

    def _plain_subclass(self, value: Any) -> Iterable[Any]:
        base: Any = next(kind for kind in PLAIN if isinstance(value, kind))
        return (base(value), self._class_of(value), self.of(getattr(value, "__dict__", {})))

    def _enum(self, value: enum.Enum) -> Iterable[Any]:
        return (type(value).__qualname__, value.name, self.of(value.value))

    def _tensor(self, value: torch.Tensor) -> Iterable[Any]:
        return (type(value).__qualname__, isinstance(value, nn.Parameter) and value.requires_grad, numbers(value))

    def _array(self, value: Any) -> Iterable[Any]:
        return self._each(value.reshape(-1).tolist()) if value.dtype.hasobject else (array_numbers(value),)

    def _generator(self, value: Any) -> Iterable[Any]:
        if isinstance(value, torch.Generator):
            return (numbers(value.get_state()),)
        if isinstance(value, np.random.Generator):
            return (self.of(value.bit_generator.state),)
        return (self.of(value.getstate() if isinstance(value, random.Random) else value.get_state(legacy=False)),)

    def _code(self, value: types.CodeType) -> Iterable[Any]:
        return (_hash(value.co_code), value.co_names, value.co_varnames, value.co_freevars, self._each(value.co_consts))

    def _function(self, value: types.FunctionType) -> Iterable[Any]:
        cells = [self.of(cell.cell_contents) for cell in value.__closure__ or () if _filled(cell)]
        defaults = (self.of(value.__defaults__), self.of(value.__kwdefaults__))
        if self._installed(value.__code__.co_filename):
            return (PurePath(value.__code__.co_filename).name, value.__code__.co_qualname, cells, defaults)
        wrapped = {name: item for name, item in vars(value).items() if name != "__wrapped__"}
        return (self.of(value.__code__), defaults, cells, self._named(value), self.of(wrapped))

    def _named(self, function: types.FunctionType) -> list[tuple[str, str]]:
        """What a function reads from its module, and from modules of the user's that it names."""
        code, scope = function.__code__, function.__globals__
        names, package = names_in(code), scope.get("__package__")
        known = [(name, scope[name]) for name in names_in(code, *READS) if name in scope]
        for name in names_in(code, "IMPORT_NAME"):
            known += [(name, sys.modules[full]) for full in (name, f"{package}.{name}") if full in sys.modules]
        return [pair for name, value in known for pair in self._read(name, value, names)]

    def _read(self, name: str, value: Any, names: list[str]) -> list[tuple[str, str]]:
        """A global; of a module of the user's, what is named of it."""
        if not isinstance(value, types.ModuleType):
            return [(name, self.of(value))]
        if self._installed(getattr(value, "__file__", None)) or name.count(".") > MODULES:
            return []
        own = [(part, vars(value)[part]) for part in names if part in vars(value)]
        return [pair for part, item in own for pair in self._read(f"{name}.{part}", item, names)]

    def _method(self, value: Any) -> Iterable[Any]:
        return (self.of(value.__func__), self.of(value.__self__))

    def _builtin(self, value: Any) -> Iterable[Any]:
        owner = getattr(value, "__self__", None)
        return (_name(value), None if isinstance(owner, (types.ModuleType, type)) else self.of(owner))

    def _module(self, value: types.ModuleType) -> Iterable[Any]:
        return (value.__name__, version_of(value.__name__))

    def _partial(self, value: Any) -> Iterable[Any]:
        return (self.of(value.func), self.of(value.args), self.of(value.keywords))

    def _property(self, value: Any) -> Iterable[Any]:
        parts = ("fget", "fset", "fdel", "__func__", "func", "__wrapped__")
        return [(part, self.of(own)) for part in parts if (own := getattr(value, part, None)) is not None]

    def _class(self, value: type) -> Iterable[Any]:
        return [self._class_alone(kind) for kind in value.__mro__]

    def _class_alone(self, kind: type) -> Any:
        if self._installed(file_of(kind)):
            return (_name(kind), version_of(kind.__module__))
        own = {name: item for name, item in vars(kind).items() if not NOT_CODE.fullmatch(name)}
        return (kind.__qualname__, [(name, self.of(own[name])) for name in sorted(own)])

    def _class_of(self, value: Any) -> str:
        return self.of(type(value))

    def _loader(self, value: DataLoader[Any]) -> Iterable[Any]:
        order = (value.sampler, value.batch_sampler)
        own = (value.dataset, value.batch_size, value.drop_last, *order, value.collate_fn, value.worker_init_fn)
        return (self._class_of(value), self._each(own))

    def _sampler(self, value: Any) -> Iterable[Any]:
        own = {name: item for name, item in vars(value).items() if name != "generator"}  # it is seeded for every epoch
        return (self._class_of(value), self.of(own))

    def _dataset(self, value: Any) -> Iterable[Any]:
        own = getattr(value, "__dict__", {})
        files = [file_state(item) for item in own.values() if isinstance(item, (str, PurePath))]
        return (*self._object(value), files)

    def _hooked(self, value: nn.Module) -> Iterable[Any]:
        """A module: its hooks are numbered by a count over the whole process."""
        if type(value).__module__.startswith("torch._dynamo"):
            return (self.of(vars(value).get("_orig_mod", value._modules.get("_orig_mod"))),)
        state = {k: list(v.values()) if "_hooks" in k and isinstance(v, dict) else v for k, v in vars(value).items()}
        return (self._class_of(value), self.of(state))

    def _by_name(self, value: Any) -> Iterable[Any]:
        return (str(value),)

    def _pattern(self, value: re.Pattern[Any]) -> Iterable[Any]:
        return (value.pattern, value.flags)

    def _object(self, value: Any) -> Iterable[Any]:
        """Anything else: its class and its state, as pickling sees it."""
        kind = type(value)
        if kind.__module__.split(".")[0] in OPAQUE:
            return (_name(kind),)
        return (self._class_of(value), self.of(_state(value)))


KINDS: tuple[tuple[Any, Callable[[_Description, Any], Iterable[Any]]], ...] = (
    (enum.Enum, _Description._enum),
    (torch.Tensor, _Description._tensor),
    ((np.ndarray, np.generic), lambda walk, value: walk._array(np.asarray(value) if value.ndim == 0 else value)),
    (types.CodeType, _Description._code),
    (types.FunctionType, _Description._function),
    (types.MethodType, _Description._method),
    ((types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType, np.ufunc), _Description._builtin),
    ((types.MethodDescriptorType, types.MemberDescriptorType, types.GetSetDescriptorType), lambda _, value: (_name(value),)),
    (types.ModuleType, _Description._module),
    (functools.partial, _Description._partial),
    ((property, staticmethod, classmethod, functools.cached_property, functools._lru_cache_wrapper), _Description._property),
    (type, _Description._class),
    (DataLoader, _Description._loader),
    (Sampler, _Description._sampler),
    (Dataset, _Description._dataset),
    (nn.Module, _Description._hooked),
    ((torch.Generator, np.random.Generator, np.random.RandomState, random.Random), _Description._generator),
    (
        (torch.dtype, torch.device, torch.layout, torch.memory_format, np.dtype, PurePath, range, slice),
        _Description._by_name,
    ),
    (re.Pattern, _Description._pattern),
    ((bool, int, float, complex, str, bytes), _Description._plain_subclass),
    ((Mapping, types.MappingProxyType), _Description._mapping),
    ((tuple, list), _Description._sequence),
    ((set, frozenset), _Description._set),
)
"""(types, how they are described); the first that fits."""


def _state(value: Any) -> Any:
    """What pickling would keep of an object, or its attributes where it refuses."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # a handle of the process, or a class that forbids it
        return getattr(value, "__dict__", None)
    if isinstance(reduced, str):
        return reduced
    return [list(part) if isinstance(part, Iterator) else part for part in reduced]


def _plain(value: Any, depth: int = 3) -> bool:
    """Whether it is numbers and text, in lists and tuples: a long list of them is described at once."""
    return type(value) in PLAIN or (depth > 0 and type(value) in (list, tuple) and all(_plain(v, depth - 1) for v in value))


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _name(value: Any) -> tuple[str, str]:
    module = getattr(value, "__module__", None) or ""
    return str(module), str(getattr(value, "__qualname__", getattr(value, "__name__", type(value).__name__)))
