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
NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip


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
    folder: str | os.PathLike[str], which: str = "train", sample: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(images [N, pixels], labels [N]) of a folder; mean 0 and variance 1 over all pixels of the training images.

    Args:
        folder: holds train-images-idx3-ubyte and train-labels-idx1-ubyte (t10k-... for the test set), raw or with .gz.
        which: "train" or "test".
        sample: only the first so many images.

    Raises:
        ProblemError: a file is missing, cannot be read, or does not fit the other.
    """
    images, labels = (read_idx(_find(Path(folder), name)) for name in NAMES[which])
    if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels) or len(labels) == 0:
        raise ProblemError(
            f"{folder} holds images of shape {images.shape} and labels of shape {labels.shape}; "
            "expected one label per image: take both files from the same set"
        )
    if which == "train":
        mean, std = _mean_and_std(images)
    else:
        mean, std = _mean_and_std(read_idx(_find(Path(folder), NAMES["train"][0])))
    x = torch.tensor(images[:sample].reshape(len(labels[:sample]), -1), dtype=torch.float32)
    return (x - mean) / std, torch.tensor(labels[:sample], dtype=torch.int64)


def _mean_and_std(images: np.ndarray) -> tuple[float, float]:
    counts = np.bincount(images.reshape(-1), minlength=256)
    values = np.arange(256)
    mean = float(counts @ values) / images.size
    variance = float(counts @ (values - mean) ** 2) / images.size
    if variance == 0:
        raise ProblemError(
            f"all {images.size:,} pixels have the value {mean:g}; expected images that differ: get them again"
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
