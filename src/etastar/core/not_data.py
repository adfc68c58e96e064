"""What people pass as data that is none yet: arrays, frames, lists of numbers, a path; and how each becomes tensors."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from etastar.arguments import shown
from etastar.errors import ProblemError

FOREIGN = {
    "numpy": ("a numpy array", "torch.from_numpy({0})"),
    "pandas": ("a pandas table", "torch.tensor({0}.to_numpy())"),
    "polars": ("a polars table", "torch.tensor({0}.to_numpy())"),
    "pyarrow": ("a pyarrow table", "torch.tensor({0}.to_pandas().to_numpy())"),
    "scipy": ("a scipy matrix", "torch.from_numpy({0}.toarray())"),
    "jax": ("a jax array", "torch.tensor(numpy.asarray({0}))"),
    "jaxlib": ("a jax array", "torch.tensor(numpy.asarray({0}))"),
    "tensorflow": ("a tensorflow tensor", "torch.from_numpy({0}.numpy())"),
}
"""package -> (what its objects are called, how one becomes a tensor)."""
NARROW = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.bool)
"""Types of labels that cross-entropy refuses."""
PAIR = "a pair of tensors (inputs, targets)"


def no_data(data: Any) -> str | None:
    """What is wrong with `data` and what to do, to follow "train"; None if it may be a dataset.

    >>> no_data("data.csv")
    "is 'data.csv', a path; expected tensors, a Dataset or a DataLoader: read the file first, e.g. with pandas or torch.load"
    >>> no_data(([1.0, 2.0], [0, 1]))
    'holds lists of numbers; expected a pair of tensors (inputs, targets): torch.tensor(...) makes one of each'
    """
    if isinstance(data, (str, bytes, os.PathLike)):
        return (
            f"is {shown(data)}, a path; expected tensors, a Dataset or a DataLoader: read the file first, e.g. with pandas "
            "or torch.load"
        )
    if isinstance(data, type):
        return f"is {shown(data)} itself; expected an instance: call it, e.g. {data.__name__}(...)"
    if (kind := _foreign(data)) is not None:
        what, how = FOREIGN[kind]
        return f"is {what}; expected tensors: {how.format('x')} makes one, and loss needs {PAIR}"
    parts = _parts(data)
    if parts is None:
        return None
    kinds = [k for k in map(_foreign, parts) if k is not None]
    if kinds:
        what, how = FOREIGN[kinds[0]]
        return f"holds {what.removeprefix('a ')}s; expected {PAIR}: {how.format('x')} makes one of each"
    if any(isinstance(part, (list, tuple)) for part in parts):
        return f"holds lists of numbers; expected {PAIR}: torch.tensor(...) makes one of each"
    named = ", ".join(dict.fromkeys(type(part).__name__ for part in parts)) or "nothing"
    split = "; pick one of its splits, e.g. data['train']" if isinstance(data, Mapping) and "train" in data else ""
    return f"is a {type(data).__name__} that holds {named}; expected tensors, a Dataset or a DataLoader{split}"


def _foreign(value: Any) -> str | None:
    """The package an array or a table is of; scalars are values."""
    package = type(value).__module__.partition(".")[0]
    return package if package in FOREIGN and getattr(value, "shape", ()) != () else None


def _parts(data: Any) -> Sequence[Any] | None:
    """The columns of what is no list of samples: of a tuple, a dict, or a list whose members are not alike."""
    if isinstance(data, Mapping):
        return None if data and all(isinstance(key, int) for key in data) else list(data.values())
    if isinstance(data, tuple):
        return None if data and _alike(list(data)) and _holds_tensors(data[0]) else data
    if isinstance(data, list) and not _alike(data):
        return data
    return None


def _holds_tensors(sample: Any) -> bool:
    """Whether this is a sample with tensors or arrays in it: a tuple of such is a dataset."""
    parts = sample.values() if isinstance(sample, Mapping) else sample if isinstance(sample, (list, tuple)) else ()
    return any(isinstance(part, torch.Tensor) or _foreign(part) is not None for part in parts)


def _alike(samples: list[Any]) -> bool:
    """Whether the members of a list could be samples: of one form, as far as the first few show."""
    return len({_form(sample) for sample in samples[:8]}) <= 1


def _form(value: Any) -> Any:
    """Type and size of a sample, and of its parts."""
    if isinstance(value, torch.Tensor) or _foreign(value) is not None:
        return type(value).__name__, len(value.shape)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, len(value), tuple(map(_form, value[:8]))
    if isinstance(value, Mapping):
        return type(value).__name__, tuple(value)
    return "number" if isinstance(value, numbers.Number) else type(value).__name__


@contextmanager
def types_explained(model: nn.Module, batch: Any) -> Iterator[None]:
    """Where the user's code fails on a batch whose types do not go with the model, say how to convert it."""
    try:
        yield
    except ProblemError as error:
        hint = _conversion(model, batch)
        if hint and isinstance(error.__cause__, (RuntimeError, TypeError, ValueError)):
            error.args = (f"{error}; {hint}",)
        raise


def _conversion(model: nn.Module, batch: Any) -> str:
    """How inputs and labels become what torch expects; "" where nothing is unusual."""
    inputs, targets = batch if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
    weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    embeds = any(isinstance(module, nn.Embedding) for module in model.modules())
    hints: list[str] = []
    if isinstance(inputs, torch.Tensor) and inputs.dtype != weights:
        name = str(inputs.dtype).removeprefix("torch.")
        if inputs.dtype is torch.uint8:
            hints.append("the inputs are uint8: convert them with .float() / 255" + (", or .long()" if embeds else ""))
        elif inputs.is_floating_point():
            to = str(weights).removeprefix("torch.")
            hints.append(f"the inputs are {name} and the weights {to}: convert them with .to({weights})")
        elif not embeds:
            hints.append(f"the inputs are {name}: convert them with .float()")
    if isinstance(targets, torch.Tensor) and targets.dtype in NARROW:
        name = str(targets.dtype).removeprefix("torch.")
        hints.append(f"the labels are {name}: convert them with .long()")
    return "; ".join(hints)
