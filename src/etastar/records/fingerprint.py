"""What makes two problems the same problem: a digest of code, settings, shapes and data. In doubt, different."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from etastar.core.data import is_tensor_tree
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness, seed_everything
from etastar.errors import call

DATA_SAMPLES = 64
WHOLE_TENSOR = 1 << 20
"""Tensors of up to this many elements are digested whole, larger ones by shape and `DATA_SAMPLES` samples."""


def fingerprint(problem: Problem, facts: Mapping[str, Any], version: str) -> str:
    """A 32-digit digest of everything that decides what a lane of `problem` does, the learning rate apart.

    Args:
        facts: names and shapes of the model's state, the optimizer's class, defaults and multipliers.
        version: of etastar.
    """
    code: Any = problem.name or [
        _describe(getattr(problem, part)) for part in ("model", "optimizer", "loss", "loss_fn", "metric_fn", "loop")
    ]
    with isolated_randomness():  # a dataset may draw at random, and may not move the caller's state
        seed_everything(0)
        data = [_describe_data(problem.train), _describe_data(problem.valid)]
    settings = (problem.clip_grad_norm, problem.accumulate, problem.batch_size)
    parts = [version, code, settings, sorted((k, repr(v)) for k, v in facts.items()), data]
    return _digest(repr(parts).encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _describe_data(data: Any) -> Any:
    if isinstance(data, DataLoader):
        return ("loader", _describe_data(data.dataset), data.batch_size, data.drop_last, type(data.sampler).__name__)
    if isinstance(data, TensorDataset):
        data = data.tensors
    if data is None or is_tensor_tree(data):
        return _describe(data)
    try:
        n = len(data)
    except TypeError:
        return type(data).__qualname__
    indices = sorted({round(i * (n - 1) / max(DATA_SAMPLES - 1, 1)) for i in range(DATA_SAMPLES)}) if n else []
    return (
        type(data).__qualname__,
        n,
        [_describe(call("reading a sample", data.__getitem__, i)) for i in indices],
    )


def _describe(value: Any, depth: int = 0) -> Any:
    """A stable description of code and constants; anything unknown is described by its type and its attributes."""
    if depth > 6:
        return type(value).__qualname__
    inner = functools.partial(_describe, depth=depth + 1)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return _describe_tensor(value)
    if isinstance(value, types.CodeType):
        constants = [inner(c) for c in value.co_consts]
        return (_digest(value.co_code), constants, value.co_names, value.co_varnames)
    if isinstance(value, types.FunctionType):
        return _describe_function(value, inner)
    if isinstance(value, types.MethodType):
        return (inner(value.__func__), inner(value.__self__))
    if isinstance(value, functools.partial):
        return ("partial", inner(value.func), inner(value.args), inner(value.keywords))
    if isinstance(value, nn.Module):
        return (repr(value), [(name, _describe_tensor(t)) for name, t in value.state_dict().items() if torch.is_tensor(t)])
    if isinstance(value, Mapping):
        return [(repr(key), inner(item)) for key, item in value.items()]
    if isinstance(value, (tuple, list)):
        return [inner(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(inner(item)) for item in value)
    if isinstance(value, (type, types.BuiltinFunctionType, types.ModuleType)):
        return (getattr(value, "__module__", ""), getattr(value, "__qualname__", getattr(value, "__name__", "")))
    attributes = getattr(value, "__dict__", None)
    return (type(value).__qualname__, inner(attributes) if isinstance(attributes, dict) else None)


def _describe_function(function: types.FunctionType, inner: Any) -> Any:
    if function.__module__.split(".")[0] == "torch":
        return (function.__module__, function.__qualname__)
    cells = [inner(cell.cell_contents) for cell in function.__closure__ or () if _filled(cell)]
    read = [(n, function.__globals__[n]) for n in _global_names(function.__code__) if n in function.__globals__]
    used = [(name, inner(value)) for name, value in read if not isinstance(value, types.ModuleType)]
    return (inner(function.__code__), inner(function.__defaults__), inner(function.__kwdefaults__), cells, used)


def _global_names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _global_names(constant)
    return sorted(set(names))


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _describe_tensor(tensor: torch.Tensor) -> Any:
    if nn.parameter.is_lazy(tensor):
        return "lazy"
    flat = tensor.detach().cpu()
    if flat.numel() > WHOLE_TENSOR and len(flat) > DATA_SAMPLES:
        flat = flat[torch.linspace(0, len(flat) - 1, DATA_SAMPLES).long()]
    data = flat.contiguous().reshape(-1).view(torch.uint8) if flat.numel() else flat
    return (str(tensor.dtype), tuple(tensor.shape), _digest(bytes(data.numpy().data)) if flat.numel() else "")
