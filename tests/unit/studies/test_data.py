"""The data of a study: any IDX set, with as many classes as it has."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from etastar.studies import chen2024architecture, deeper_prefers_lower, haas2025width, iyer2023maximal
from etastar.studies.bench import Bench
from etastar.studies.data import load_data
from etastar.studies.study import Setting
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace


def write(path, array: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def letters(tmp_path):
    """Twelve classes of 4 x 4 images, each its own bright pixel."""
    rng = np.random.default_rng(0)
    for name, n in (("train", 512), ("t10k", 64)):
        labels = (np.arange(n) % 12).astype(np.uint8)
        images = rng.integers(0, 60, size=(n, 16), dtype=np.uint8)
        images[np.arange(n), labels] = 255
        write(tmp_path / f"{name}-images-idx3-ubyte", images.reshape(n, 4, 4))
        write(tmp_path / f"{name}-labels-idx1-ubyte", labels)
    return tmp_path


def test_its_name_size_and_digest(letters):
    data = load_data(letters)
    assert data.classes == 12 and not data.is_fashion_mnist
    assert data.in_words() == f"IDX images of {letters.name}, 512 training samples of 16 inputs"
    assert data.digest == load_data(str(letters)).digest != load_data(None).digest


@pytest.mark.parametrize("study", [chen2024architecture, deeper_prefers_lower, haas2025width, iyer2023maximal])
def test_every_study_of_data_trains_on_it(letters, study):
    setting = Setting(load_data(letters), "quick")
    with Workplace(Options(store=":memory:", workers=1, device="cpu")) as place:
        row = study.plan(setting)[0].run(Bench(place))
    assert row["gradient_steps"] > 0 and row["said"]
