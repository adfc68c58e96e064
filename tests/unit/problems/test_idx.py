"""IDX files against bytes written by hand, and every way a folder can be wrong."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from etastar.errors import ProblemError
from etastar.problems.idx import load_idx_images, read_idx

IMAGES = np.arange(7 * 2 * 3, dtype=np.uint8).reshape(7, 2, 3)
LABELS = np.array([0, 1, 2, 0, 1, 2, 1], dtype=np.uint8)


def content(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content(LABELS)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content(IMAGES[:2]))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content(LABELS[:2]))
    return tmp_path


def test_raw_and_gzipped_files_hold_the_same_array(folder):
    (folder / "gzipped without the ending").write_bytes(gzip.compress(content(IMAGES)))
    assert np.array_equal(read_idx(folder / "train-images-idx3-ubyte"), IMAGES)
    assert np.array_equal(read_idx(folder / "gzipped without the ending"), IMAGES)
    assert np.array_equal(read_idx(folder / "train-labels-idx1-ubyte.gz"), LABELS)


def test_images_are_standardised_by_the_training_pixels(folder):
    (x, y), (test, labels) = load_idx_images(folder)
    assert x.shape == (7, 6) and x.dtype == torch.float32 and y.tolist() == LABELS.tolist() and y.dtype == torch.int64
    expected = (IMAGES.reshape(7, 6) - IMAGES.mean()) / IMAGES.std()
    torch.testing.assert_close(x.double(), torch.tensor(expected), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(test.double(), torch.tensor(expected[:2]), rtol=1e-6, atol=1e-6)
    assert labels.tolist() == [0, 1]


def test_images_of_another_size_do_not_fit(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(content(IMAGES[:2, :1]))
    with pytest.raises(ProblemError, match=r"training images of \(2, 3\) pixels and test images of \(1, 3\)"):
        load_idx_images(folder)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-1], r"is truncated: 57 bytes where 58 are expected"),
        ("train-images-idx3-ubyte", lambda b: b[:9], r"is truncated: 9 bytes where 16 are expected"),
        ("train-images-idx3-ubyte", lambda b: b + b"\0", r"is too long: 59 bytes where 58 are expected"),
        ("train-images-idx3-ubyte", lambda b: b"", r"begins with nothing; expected 00 00 08"),
        ("train-images-idx3-ubyte", lambda b: b"\x89PNG" + b[4:], r"begins with 89 50 4e 47; expected 00 00 08"),
        ("train-images-idx3-ubyte", lambda b: b[:2] + b"\x0d" + b[3:], r"begins with 00 00 0d 03"),
        ("train-images-idx3-ubyte", lambda b: gzip.compress(b)[:-9], r"truncated or damaged gzip"),
        ("t10k-labels-idx1-ubyte", lambda b: gzip.compress(b)[:-9], r"truncated or damaged gzip"),
        ("train-labels-idx1-ubyte.gz", lambda b: content(LABELS[:-1]), r"\(7, 2, 3\) and labels of shape \(6,\)"),
        ("train-images-idx3-ubyte", lambda b: content(np.zeros((7, 2, 3), np.uint8)), r"all 42 pixels of .* have the value"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_what_is_wrong(folder, name, damage, said):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ProblemError, match=said):
        load_idx_images(folder)


def test_missing_files_and_folders(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ProblemError, match=r"has no train-labels-idx1-ubyte \(or train-labels-idx1-ubyte\.gz\)"):
        load_idx_images(folder)
    with pytest.raises(ProblemError, match="nowhere is not there"):
        load_idx_images(folder / "nowhere")
    with pytest.raises(ProblemError, match="is a file; expected a folder"):
        load_idx_images(folder / "train-images-idx3-ubyte")
