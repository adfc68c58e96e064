"""CIFAR-10 and -100 from files the user has: pickles for Python, binary files, or one npz of JPEG pictures."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from etastar.core.randomness import generator
from etastar.errors import MissingExtra, ProblemError, in_one_line

SIDE = 32
PIXELS = 3 * SIDE * SIDE
SHIFT = 8
"""A picture is moved by at most its side / `SHIFT`, as is usual for CIFAR-10 (4 of 32 pixels)."""
PICKLES = (tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",))
BINARY = (tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",))
PICKLES_100, BINARY_100 = (("train",), ("test",)), (("train.bin",), ("test.bin",))
NUMPY = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
         ("numpy", "dtype"), ("_codecs", "encode")}  # fmt: skip
"""All that the pickles need; nothing else of a pickle is run."""


@dataclass(frozen=True)
class Pictures:
    """Pictures and what they show.

    Args:
        images: [N, 3, 32, 32], unsigned bytes.
        labels: [N].
    """

    images: torch.Tensor
    labels: torch.Tensor

    def at(self, places: torch.Tensor) -> Pictures:
        """Those at these places."""
        return Pictures(self.images[places], self.labels[places])

    def sized(self, side: int) -> torch.Tensor:
        """[N, 3, side, side] in [0, 1]; smaller ones are means over squares of pixels.

        Raises:
            ProblemError: 32 is no multiple of `side`.
        """
        if side < 1 or SIDE % side:
            raise ProblemError(f"side is {side}; expected a divisor of 32: 8, 16 or 32")
        return F.avg_pool2d(self.images.float() / 255, SIDE // side)


def read_cifar(
    path: str | os.PathLike[str], *, most: int | None = None, each: int | None = None
) -> tuple[Pictures, Pictures]:
    """(train, test) of a folder, or of an npz file in it.

    Args:
        path: a folder with data_batch_1 .. 5 and test_batch (pickles, or .bin), with train and test (of CIFAR-100),
            or with an .npz; or that .npz: train_bytes, train_off, train_y and the same of test, where picture i is the JPEG
            bytes[off[i]:off[i + 1]].
        most: training pictures that are read at most, the classes in turn; JPEG pictures take .1 ms each.
        each: instead, so many of every class, of both parts, the classes in turn.

    Raises:
        ProblemError: there are no such files, or they do not hold what they should; a class has fewer pictures.
        MissingExtra: they hold JPEG pictures, and Pillow is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise ProblemError(f"{path} is not there; expected a folder with CIFAR's files, or an .npz of JPEG pictures")
    if path.is_file():
        return _from_npz(path, most, each)
    for (train, test), read in (
        (PICKLES, _pickled), (BINARY, _binary), (PICKLES_100, _pickled), (BINARY_100, _binary_100)
    ):  # fmt: skip
        if all((path / name).is_file() for name in (*train, *test)):
            parts = [_joined([read(path / name) for name in names]) for names in (train, test)]
            return parts[0].at(chosen(parts[0].labels, most, each)), parts[1].at(chosen(parts[1].labels, None, each))
    if found := sorted(path.glob("*.npz")):
        return _from_npz(found[0], most, each)
    raise ProblemError(
        f"{path} has no {PICKLES[0][0]} .. {PICKLES[1][0]}, with or without .bin, and no .npz; "
        "expected the files of cifar-10-python or cifar-10-binary, unpacked"
    )


def in_turns(labels: torch.Tensor) -> torch.Tensor:
    """All places, the first of every class, then the second of every class ...: any beginning is as balanced as can be.

    >>> in_turns(torch.tensor([0, 0, 0, 1, 1])).tolist()
    [0, 3, 1, 4, 2]
    """
    ranks = F.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    return torch.argsort(ranks * (1 + int(labels.max())) + labels)


def chosen(labels: torch.Tensor, most: int | None, each: int | None) -> torch.Tensor:
    """The places of `each` of every class, in turns; or of `most`, in turns; or all.

    Raises:
        ProblemError: a class has fewer.
    """
    if each is None:
        return torch.arange(len(labels)) if most is None or most >= len(labels) else in_turns(labels)[:most]
    counts = labels.bincount()
    if int(counts.min()) < each:
        raise ProblemError(
            f"a class has {int(counts.min())} pictures of {len(labels):,} in all; expected at least {each} of each"
        )
    return in_turns(labels)[: each * len(counts)]


def standardised(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both, with mean 0 and variance 1 in each colour over the training pictures."""
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)
    return (train - mean) / std, (test - mean) / std


def augmented(images: torch.Tensor, seed: int, step: int) -> torch.Tensor:
    """Each picture [B, 3, S, S] mirrored or not, and moved by up to S / 8 pixels either way, with zeros from outside.

    A pure function of (seed, step) and of the place in the batch.

    >>> images = torch.arange(2.0 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    >>> torch.equal(augmented(images, 0, 5), augmented(images, 0, 5)), torch.equal(augmented(images, 0, 5), images)
    (True, False)
    """
    draw, side = generator(seed, "augment", step), images.shape[-1]
    reach = side // SHIFT
    mirrored = torch.rand(len(images), generator=draw) < 0.5
    moves = torch.randint(0, 2 * reach + 1, (len(images), 2), generator=draw)
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    padded = F.pad(images, (reach,) * 4)
    return torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, moves.tolist(), strict=True)])


def with_label_noise(labels: torch.Tensor, classes: int, share: float, seed: int, step: int) -> torch.Tensor:
    """Labels of which a `share` is drawn anew from all classes: never the same ones twice, so that none is learnt by heart.

    A pure function of (seed, step) and of the place in the batch.

    >>> labels = torch.zeros(1_000_000, dtype=torch.long)
    >>> round(float((with_label_noise(labels, 10, 0.2, 0, 3) != 0).float().mean()), 2)  # .2 x 9 / 10
    0.18
    """
    draw = generator(seed, "label noise", step)
    drawn = torch.rand(labels.shape, generator=draw) < share
    return torch.where(drawn, torch.randint(0, classes, labels.shape, generator=draw), labels)


# -- files -------------------------------------------------------------------------------------------------------------


class _Arrays(pickle.Unpickler):
    """Reads arrays, lists, dictionaries and texts; runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NUMPY:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _pickled(path: Path) -> Pictures:
    try:
        with path.open("rb") as file:
            content = _Arrays(file, encoding="bytes").load()
        labels = content[b"labels"] if b"labels" in content else content[b"fine_labels"]
        images, labels = np.asarray(content[b"data"], dtype=np.uint8), np.asarray(labels, dtype=np.int64)
    except Exception as error:  # whatever a file that is none makes of unpickling
        raise ProblemError(f"{path} holds no pictures ({type(error).__name__}: {error}); get it again") from None
    return _checked(path, images, labels)


def _binary(path: Path, labels: int = 1) -> Pictures:
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % (labels + PIXELS):
        raise ProblemError(
            f"{path} has {len(content):,} bytes; expected a multiple of {labels + PIXELS:,}, of each picture: get it again"
        )
    rows = content.reshape(-1, labels + PIXELS)
    return _checked(path, rows[:, labels:], rows[:, labels - 1].astype(np.int64))


def _binary_100(path: Path) -> Pictures:
    return _binary(path, labels=2)  # coarse, then fine


def _checked(path: Path, images: np.ndarray, labels: np.ndarray) -> Pictures:
    if images.size != len(labels) * PIXELS or not len(labels):
        raise ProblemError(
            f"{path} holds {images.size:,} bytes of pictures for {len(labels):,} labels; expected {PIXELS:,} bytes for each"
        )
    images = np.ascontiguousarray(images).reshape(-1, 3, SIDE, SIDE)
    return Pictures(torch.tensor(images), torch.tensor(labels))


def _joined(parts: list[Pictures]) -> Pictures:
    return Pictures(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]))


def _from_npz(path: Path, most: int | None, each: int | None) -> tuple[Pictures, Pictures]:
    decode = _jpeg_decoder(path)
    try:
        with np.load(path, allow_pickle=False) as content:
            coded = {
                name: content[name] for part in ("train", "test") for name in (f"{part}_bytes", f"{part}_off", f"{part}_y")
            }
    except Exception as error:  # whatever a file that is none makes of unpacking
        raise ProblemError(
            f"{path} holds no JPEG pictures ({type(error).__name__}: {error}); expected train_bytes, train_off, train_y and "
            "the same of test"
        ) from None
    of = lambda part: (coded[f"{part}_bytes"], coded[f"{part}_off"], coded[f"{part}_y"])
    return _decoded(path, *of("train"), decode, most, each), _decoded(path, *of("test"), decode, None, each)


def _decoded(
    path: Path,
    coded: np.ndarray,
    off: np.ndarray,
    labels: np.ndarray,
    decode: Callable[[bytes], np.ndarray],
    most: int | None,
    each: int | None,
) -> Pictures:
    labels = labels.astype(np.int64)
    if not len(labels) or len(off) != len(labels) + 1:
        raise ProblemError(
            f"{path} has {len(labels):,} labels and {len(off):,} offsets; expected at least one picture, and an offset more "
            "than pictures"
        )
    places = chosen(torch.tensor(labels), most, each).tolist()
    images = [_picture(path, number, coded[off[number] : off[number + 1]].tobytes(), decode) for number in places]
    return _checked(path, np.stack(images).transpose(0, 3, 1, 2), labels[places])


def _picture(path: Path, number: int, coded: bytes, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        image = decode(coded)
    except Exception as error:  # whatever bytes that are no whole picture make of decoding
        raise ProblemError(
            f"picture {number} of {path} cannot be read ({in_one_line(error)}); expected a whole JPEG: get it again"
        ) from None
    if image.shape != (SIDE, SIDE, 3):
        raise ProblemError(f"picture {number} of {path} is {image.shape[1]} x {image.shape[0]}; expected 32 x 32: resize it")
    return image


def _jpeg_decoder(path: Path) -> Callable[[bytes], np.ndarray]:
    try:
        from PIL import Image  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtra(
            f"{path} holds JPEG pictures, which need Pillow; pip install pillow, or take CIFAR's pickles or binary files"
        ) from None
    return lambda coded: np.asarray(Image.open(io.BytesIO(coded)).convert("RGB"))
