"""Rates and readings, read back from what TensorBoard and W&B wrote."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
import torch
from torch import nn

import etastar
from etastar.adapters import TensorBoard, WandB, show_charts
from etastar.adapters.loggers import rates_of
from etastar.errors import ProblemError


def png_of_one_pixel() -> bytes:
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0\xff")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PNG = png_of_one_pixel()


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 6)) for event in events(folder).Scalars(name)]


def parts() -> tuple[nn.Parameter, nn.Parameter, torch.optim.SGD]:
    slow, fast = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([1.0]))
    groups = [{"params": [slow], "name": "slow"}, {"params": [fast], "lr": 0.2}]
    return slow, fast, torch.optim.SGD(groups, lr=0.1, momentum=0.5)


def test_a_controller_writes_the_rate_of_every_group_and_step(tmp_path):
    slow, fast, sgd = parts()
    board = TensorBoard(tmp_path)
    controller = etastar.Controller(sgd, "linear", steps=4, logger=board)
    for _ in range(4):
        slow.grad, fast.grad = torch.ones(1), torch.ones(1)
        controller.step()
        sgd.step()
    board.close()
    assert scalars(tmp_path, "lr/slow") == [(0, 0.1), (1, 0.075), (2, 0.05), (3, 0.025)]
    assert scalars(tmp_path, "lr/group_1") == [(0, 0.2), (1, 0.15), (2, 0.1), (3, 0.05)]
    assert scalars(tmp_path, "lr/effective") == [(0, 0.4), (1, 0.3), (2, 0.2), (3, 0.1)]


def test_a_scheduler_writes_the_rate_each_step_was_taken_at(tmp_path):
    slow, fast, sgd = parts()
    board = TensorBoard(tmp_path)
    scheduler = etastar.PolicyLR(sgd, "linear", steps=4, logger=board)
    for _ in range(4):
        slow.grad, fast.grad = torch.ones(1), torch.ones(1)
        sgd.step()
        scheduler.step()
    board.close()
    assert scalars(tmp_path, "lr/slow") == [(0, 0.1), (1, 0.075), (2, 0.05), (3, 0.025)]


def test_a_watch_writes_what_its_looks_read(tmp_path):
    x = nn.Parameter(torch.tensor([1.0]))
    sgd = torch.optim.SGD([x], lr=0.25)
    board = TensorBoard(tmp_path)
    watcher = etastar.watch(sgd, nn.ParameterList([x]), lambda: (2 * x**2).sum(), every=2, logger=board)
    for _ in range(4):
        sgd.zero_grad()
        loss = (0.2 * x**2).sum()  # what is trained may be another loss than what is looked at
        loss.backward()
        watcher.step(loss)
        sgd.step()
    board.close()
    assert scalars(tmp_path, "watch/edge") == [(0, 0.5), (2, 0.5)]  # 0.25 x 4 / 2
    assert scalars(tmp_path, "watch/update_ratio") == [(2, 0.1)]  # 0.25 x 0.4
    assert scalars(tmp_path, "lr/group_0") == [(0, 0.25), (2, 0.25)]
    assert [step for step, _ in scalars(tmp_path, "watch/gradient_norm")] == [0, 2]


def test_the_charts_of_a_report_become_images(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "success.png").write_bytes(PNG)
    board = TensorBoard(tmp_path / "events")
    assert show_charts(board, tmp_path / "out", step=7) == ["success"]
    board.close()
    (image,) = events(tmp_path / "events").Images("etastar/success")
    assert (image.step, image.encoded_image_string) == (7, PNG)
    with pytest.raises(ProblemError, match=r"no chart is in .*; expected the folder of etastar\.report"):
        show_charts(board, tmp_path / "events")


def test_a_writer_in_use_is_written_to(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        TensorBoard(writer).log(3, {"lr/a": 0.5})
    assert scalars(tmp_path, "lr/a") == [(3, 0.5)]


def test_other_destinations_are_refused():
    with pytest.raises(ProblemError, match="TensorBoard got 3; expected a folder or a SummaryWriter"):
        TensorBoard(3)
    with pytest.raises(ProblemError, match=r"WandB got None; expected what wandb.init\(\) returned"):
        WandB(None)


def test_momentum_makes_the_effective_rate_and_dampening_takes_it_back():
    p = [nn.Parameter(torch.ones(1))]
    assert rates_of(torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.9))["lr/effective"] == pytest.approx(0.1)
    assert rates_of(torch.optim.SGD(p, lr=0.1, momentum=0.9))["lr/effective"] == pytest.approx(1.0)
    assert rates_of(torch.optim.Adam(p, lr=0.1)) == {"lr/group_0": 0.1, "lr/effective": 0.1}


def kept_by_wandb(data: bytes) -> list[bytes]:
    """The records of an offline run's file: blocks of 32 KiB of parts, each behind a checksum, its length and its type."""
    place, parts, found = 7, b"", []
    while place + 7 <= len(data):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(parts)
            parts = b""
    return found


def test_weights_and_biases_keeps_steps_that_are_taken_again(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportMissingImports]

    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True)) as run:
        logger = WandB(run)
        for step in (0, 1, 0, 1):  # rolled back after the second
            logger.log(step, {"lr/slow": 0.1 / (step + 1)})
        logger.image(1, "etastar/success", PNG)
    wandb.teardown()  # its service writes the rest
    (file,) = tmp_path.rglob("*.wandb")
    found = []
    for record in map(Record.FromString, kept_by_wandb(file.read_bytes())):
        if record.HasField("history"):
            found.append(
                {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            )
    assert [(row["optimizer_step"], row["lr/slow"]) for row in found[:4]] == [(0, 0.1), (1, 0.05)] * 2
    assert found[4]["etastar/success._type"] == "image-file"
    assert len(list(tmp_path.rglob("etastar/success*.png"))) == 1
