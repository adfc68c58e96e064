"""CIFAR's files against bytes written by hand, and every way they can be wrong; noise and augmentation by hand."""

from __future__ import annotations

import io
import pickle
import sys

import numpy as np
import pytest
import torch

from etastar.errors import MissingExtra, ProblemError
from etastar.problems.cifar import PIXELS, augmented, read_cifar, standardised, with_label_noise
from etastar.problems.resnet18 import Augmented, ResNet18, resnet18

IMAGES = np.random.default_rng(0).integers(0, 256, (12, PIXELS), dtype=np.uint8)
LABELS = [3, 1, 0, 2, 3, 1, 0, 2, 3, 1, 0, 2]


def pickles(folder):
    for i in range(5):
        part = {b"data": IMAGES[2 * i : 2 * i + 2], b"labels": LABELS[2 * i : 2 * i + 2]}
        (folder / f"data_batch_{i + 1}").write_bytes(pickle.dumps(part))
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": IMAGES[10:], b"labels": LABELS[10:]}))
    return folder


def binary(folder):
    rows = np.concatenate([np.array(LABELS, dtype=np.uint8)[:, None], IMAGES], axis=1)
    for i in range(5):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(rows[2 * i : 2 * i + 2].tobytes())
    (folder / "test_batch.bin").write_bytes(rows[10:].tobytes())
    return folder


@pytest.mark.parametrize("write", [pickles, binary])
def test_pictures_and_labels_are_those_that_were_written(write, tmp_path):
    train, test = read_cifar(write(tmp_path))
    assert (
        torch.equal(train.images, torch.tensor(IMAGES[:10]).reshape(10, 3, 32, 32)) and train.labels.tolist() == LABELS[:10]
    )
    assert torch.equal(test.images.flatten(1), torch.tensor(IMAGES[10:])) and test.labels.tolist() == LABELS[10:]
    assert len(read_cifar(tmp_path, most=3)[0].labels) == 3


def test_fine_labels_of_cifar_100(tmp_path):
    for name, part in (("train", slice(10)), ("test", slice(10, 12))):
        coarse = np.zeros((len(LABELS[part]), 1), dtype=np.uint8)
        fine = np.array(LABELS[part], dtype=np.uint8)[:, None]
        (tmp_path / f"{name}.bin").write_bytes(np.concatenate([coarse, fine, IMAGES[part]], axis=1).tobytes())
    assert read_cifar(tmp_path)[0].labels.tolist() == LABELS[:10]


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_something_is_refused(tmp_path, capsys):
    pickles(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(ProblemError, match=r"test_batch holds no pictures .*names builtins\.print.*get it again"):
        read_cifar(tmp_path)
    assert capsys.readouterr().out == ""


def test_what_is_wrong_with_files_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(ProblemError, match=r"is not there; expected a folder with CIFAR's files"):
        read_cifar(tmp_path / "nowhere")
    with pytest.raises(ProblemError, match=r"has no data_batch_1 \.\. test_batch|has no data_batch_1 \.\. "):
        read_cifar(tmp_path)
    binary(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(ProblemError, match=r"test_batch\.bin has 3 bytes; expected a multiple of 3,073"):
        read_cifar(tmp_path)
    (tmp_path / "pictures.npz").write_bytes(b"123")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="need Pillow; pip install pillow"):
        read_cifar(tmp_path / "pictures.npz")


def test_smaller_pictures_are_means_over_squares_and_colours_are_standardised(tmp_path):
    train, test = read_cifar(pickles(tmp_path))
    own = IMAGES[0].reshape(3, 32, 32)[1, 4:8, 8:12].mean() / 255
    assert float(train.sized(8)[0, 1, 1, 2]) == pytest.approx(own, rel=1e-6)
    x, _ = standardised(train.sized(16), test.sized(16))
    assert x.mean((0, 2, 3)).abs().max() < 1e-5 and (x.std((0, 2, 3)) - 1).abs().max() < 1e-5
    with pytest.raises(ProblemError, match="side is 5; expected a divisor of 32"):
        train.sized(5)


def test_augmentation_is_a_mirror_and_a_move_with_zeros_from_outside():
    images = torch.arange(1.0, 1 + 64 * 3 * 8 * 8).reshape(64, 3, 8, 8)
    seen = set()
    for picture, own in zip(augmented(images, 1, 2), images, strict=True):
        found = []
        for mirrored in (False, True):
            source = own.flip(-1) if mirrored else own
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    moved = torch.zeros_like(source)
                    for y in range(8):
                        for x in range(8):
                            if 0 <= y + dy < 8 and 0 <= x + dx < 8:
                                moved[:, y, x] = source[:, y + dy, x + dx]
                    if torch.equal(moved, picture):
                        found.append((mirrored, dy, dx))
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 12, "of 18"
    assert not torch.equal(augmented(images, 1, 3), augmented(images, 1, 2))
    assert torch.equal(augmented(images, 1, 2), augmented(images, 1, 2))


def test_label_noise_depends_on_seed_and_step_alone():
    labels = torch.zeros(1000, dtype=torch.long)
    one, two = (with_label_noise(labels, 10, 0.5, 4, step) for step in (1, 2))
    assert torch.equal(one, with_label_noise(labels, 10, 0.5, 4, 1)) and not torch.equal(one, two)
    assert torch.equal(with_label_noise(labels, 10, 0.0, 4, 1), labels)


def test_the_network_halves_pictures_three_times_and_keeps_the_shortcut():
    net = ResNet18(8)()
    net.eval()
    x = torch.randn(2, 3, 32, 32)
    shapes = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert net(x).shape == (2, 10)
    assert shapes == [(8, 32, 32)] * 2 + [(16, 16, 16)] * 2 + [(32, 8, 8)] * 2 + [(64, 4, 4)] * 2
    block = net.blocks[1]
    torch.nn.init.zeros_(block.bn2.weight)
    inner = torch.relu(torch.randn(1, 8, 4, 4))
    assert torch.equal(block(inner), inner), "with an inner path of zero a block is its shortcut"


def test_the_problem_draws_anew_at_every_step_and_the_same_for_the_same_seed(tmp_path):
    train, test = read_cifar(pickles(tmp_path))
    problem = resnet18(train, test, width=1, side=8, noise=0.5, batch_size=4, steps=3)
    assert isinstance(problem.train, Augmented) and problem.schedule_name == "cosine"
    read = lambda seed: [batch[0] for batch in problem.parts.batches.epoch(seed, 0)]
    assert all(map(torch.equal, read(1), read(1))) and not torch.equal(read(1)[0], read(2)[0])


def jpegs(folder, *, sizes=(32, 32), cut=None):
    """An .npz of JPEG pictures, sorted by class: three of each of two."""
    pillow = pytest.importorskip("PIL.Image")
    coded = []
    for label in (0, 0, 0, 1, 1, 1):
        out = io.BytesIO()
        pillow.new("RGB", sizes, (200 * label, 100, 50)).save(out, "jpeg")
        coded.append(out.getvalue())
    if cut is not None:
        coded[cut] = coded[cut][:40]
    joined = np.frombuffer(b"".join(coded), dtype=np.uint8)
    off, y = np.cumsum([0, *map(len, coded)]), np.array([0, 0, 0, 1, 1, 1], dtype=np.uint8)
    parts = {f"{part}_{key}": v for part in ("train", "test") for key, v in (("bytes", joined), ("off", off), ("y", y))}
    np.savez(folder / "pictures.npz", **parts)
    return folder


def test_classes_take_turns_whatever_the_order_of_the_file(tmp_path):
    train, test = read_cifar(jpegs(tmp_path), each=2)
    assert train.labels.tolist() == test.labels.tolist() == [0, 1, 0, 1]
    red = train.images[:, 0].float().mean((1, 2))
    assert torch.allclose(red, torch.tensor([0.0, 200.0, 0.0, 200.0]), atol=4)  # JPEG is lossy
    assert read_cifar(tmp_path, most=3)[0].labels.tolist() == [0, 1, 0]
    with pytest.raises(ProblemError, match="a class has 3 pictures of 6 in all; expected at least 4 of each"):
        read_cifar(tmp_path, each=4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"cut": 4}, r"picture 4 of .*cannot be read"), ({"sizes": (16, 24)}, r"picture 0 of .* is 16 x 24; expected 32 x 32")],
)
def test_a_picture_that_is_none_is_named(wrong, says, tmp_path):
    with pytest.raises(ProblemError, match=says):
        read_cifar(jpegs(tmp_path, **wrong))


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_a_smooth_network_has_no_relu(activation):
    torch.manual_seed(0)
    net = ResNet18(4, 10, activation)()
    x = torch.randn(4, 3, 8, 8)
    assert net(x).shape == (4, 10)
    assert float(net.activation(torch.tensor(-1.0))) < 0
    with pytest.raises(ProblemError, match="activation is 'tanh'; expected one of relu, gelu, silu"):
        ResNet18(4, 10, "tanh")
