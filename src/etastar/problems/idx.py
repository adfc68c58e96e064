"""IDX files, the format of MNIST and Fashion-MNIST, raw or gzipped, from a folder the user has."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from etastar.errors import ProblemError

UNSIGNED_BYTES = 8
"""The only kind of element the image sets have; third byte of the file."""
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of unsigned bytes in an IDX file: 0 0 8 d, d big-endian sizes of 4 bytes each, then the elements.

    A gzipped file is known by its first bytes, not by its name.

    Raises:
        ProblemError: the file cannot be read, is not IDX, or holds fewer or more elements than it says.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except OSError as error:  # gzip's own BadGzipFile, too
        why = error.strerror or str(error)
        raise ProblemError(f"{path} cannot be read ({why}); expected an IDX file, raw or gzipped: get it again") from None
    except (EOFError, zlib.error):
        raise ProblemError(f"{path} is a truncated or damaged gzip file; expected a whole one: get it again") from None
    return _array(path, content)


def _array(path: Path, content: bytes) -> np.ndarray:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTES or content[3] == 0:
        begins = " ".join(f"{b:02x}" for b in content[:4]) or "nothing"
        raise ProblemError(
            f"{path} begins with {begins}; expected 00 00 08 and a number of dimensions: pass an IDX file of unsigned bytes"
        )
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else None
    expected = start if shape is None else start + math.prod(shape)
    if shape is None or len(content) != expected:
        kind = "truncated" if len(content) < expected else "too long"
        raise ProblemError(f"{path} is {kind}: {len(content):,} bytes where {expected:,} are expected; get it again")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def load_idx_images(
    folder: str | os.PathLike[str],
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """(train, test) of a folder as (images [N, pixels], labels [N]).

    Images have mean 0 and variance 1 over all pixels of the training images.

    Args:
        folder: holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, raw or with .gz.

    Raises:
        ProblemError: a file is missing, cannot be read, or does not fit the others.
    """
    paths = [_find(Path(folder), name) for name in NAMES]  # all of them, before the first is read
    train, test = _pair(paths[0], paths[1]), _pair(paths[2], paths[3])
    mean, std = _mean_and_std(paths[0], train[0])
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ProblemError(
            f"{folder} holds training images of {train[0].shape[1:]} pixels and test images of {test[0].shape[1:]}; "
            "expected the same: take all four files from one set"
        )
    standardised = [
        ((torch.tensor(x.reshape(len(x), -1)).float() - mean) / std, torch.tensor(y, dtype=torch.int64))
        for x, y in (train, test)
    ]
    return standardised[0], standardised[1]


def _pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or len(y) == 0:
        raise ProblemError(
            f"{images} and {labels.name} hold images of shape {x.shape} and labels of shape {y.shape}; "
            "expected one label per image: take both files from the same set"
        )
    return x, y


def _mean_and_std(path: Path, images: np.ndarray) -> tuple[float, float]:
    counts = sum(
        np.bincount(part.reshape(-1), minlength=256) for part in np.array_split(images, max(len(images) // 1000, 1))
    )
    values = np.arange(256)
    mean = float(counts @ values) / images.size
    variance = float(counts @ (values - mean) ** 2) / images.size
    if variance == 0:
        raise ProblemError(
            f"all {images.size:,} pixels of {path} have the value {mean:g}; expected images that differ: get them again"
        )
    return mean, variance**0.5


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise ProblemError(f"the data folder {folder} is {what}; expected a folder with {name} (or {name}.gz)")
    found = [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()]
    if not found:
        raise ProblemError(f"{folder} has no {name} (or {name}.gz); expected the four IDX files of an MNIST-like set")
    return found[0]
