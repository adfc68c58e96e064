"""CIFAR-10 as the grey 32 x 32 IDX files that `scale_family` reads, from an npz of JPEG images.

The npz has train_bytes, train_off, train_y and the same of test; image i is JPEG, bytes off[i]:off[i + 1]. Needs Pillow,
which the project does not install:

    pip install pillow numpy
    python benchmarks/cifar_grey.py cifar10_jpeg_bytes.npz FOLDER
    ETASTAR_CIFAR_GREY=FOLDER make bench BENCH=scale-family
"""

from __future__ import annotations

import io
import struct
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np


def main(source: str, folder: str) -> None:
    from PIL import Image  # pyright: ignore[reportMissingImports]

    content = np.load(source)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        coded, offsets, labels = (content[f"{part}_{what}"] for what in ("bytes", "off", "y"))
        images = [coded[start:end].tobytes() for start, end in pairwise(offsets)]
        grey = np.stack([np.asarray(Image.open(io.BytesIO(image)).convert("L")) for image in images])
        write_idx(Path(folder) / f"{name}-images-idx3-ubyte", grey)
        write_idx(Path(folder) / f"{name}-labels-idx1-ubyte", labels)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Unsigned bytes, as `etastar.problems.idx` reads them."""
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
