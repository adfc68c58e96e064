"""Digests of numbers, all of them, and of files."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import torch
from torch import nn

ROWS = 64
"""Rows read of an array that lies in a file."""


def numbers(tensor: torch.Tensor) -> Any:
    """Type, shape and a digest of every number."""
    if nn.parameter.is_lazy(tensor):
        return "lazy"
    head = (str(tensor.dtype), str(tensor.layout), tuple(tensor.shape))
    if tensor.is_meta:
        return head
    if tensor.layout is not torch.strided:
        dense = tensor.detach().cpu()
        parts = (dense._indices(), dense._values()) if tensor.layout is torch.sparse_coo else (dense.to_dense(),)
        return (*head, [numbers(part) for part in parts])
    if tensor.is_quantized:
        return (*head, numbers(tensor.int_repr()), repr(tensor.qscheme()))
    if tensor.is_nested:
        return (*head, [numbers(part) for part in tensor.unbind()])
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return (*head, raw(flat.view(torch.uint8).numpy()) if flat.numel() else "")


def array_numbers(array: Any) -> Any:
    """Type, shape and a digest of every number; of an array that lies in a file: of the file's state and `ROWS` rows."""
    head = (array.dtype.str, array.shape)
    if isinstance(array, np.memmap) and array.filename is not None and len(array) > ROWS:
        rows = np.linspace(0, len(array) - 1, ROWS).astype(int)
        return (*head, file_state(array.filename), array.offset, raw(np.ascontiguousarray(array[rows])))
    return (*head, raw(np.ascontiguousarray(array)))


def raw(array: Any) -> str:
    """A digest of every byte of a contiguous array."""
    return hashlib.blake2b(array.reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()


def file_state(name: Any) -> Any:
    """Size and time of the last change of a file, where `name` is one."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if os.path.isfile(name) else None
