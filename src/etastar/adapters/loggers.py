"""Where rates and readings of a live training are written: TensorBoard, Weights & Biases, or anything with two methods."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import torch

from etastar.arguments import shown
from etastar.core.kinds import is_plain_sgd
from etastar.errors import ProblemError
from etastar.policies.torch_schedule import group_names

AXIS = "optimizer_step"


class Scalars(Protocol):
    """What a `StabilityWatch` writes to; the step is that of the optimizer, from 0."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""


class Logger(Scalars, Protocol):
    """What a `Controller`, a `PolicyLR` and a `Watcher` write to."""

    def image(self, step: int, name: str, png: bytes) -> None:
        """A chart."""


class TensorBoard:
    """A `Logger` that writes events for TensorBoard.

    Args:
        where: a folder, or a `SummaryWriter` that is in use.

    Raises:
        ProblemError: tensorboard is not installed.
    """

    def __init__(self, where: Any) -> None:
        try:
            from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ProblemError("tensorboard is not installed; expected pip install 'etastar[tensorboard]'") from error
        self._summary = Summary
        self.writer = SummaryWriter(os.fspath(where)) if isinstance(where, (str, os.PathLike)) else where
        if not isinstance(self.writer, SummaryWriter):
            raise ProblemError(f"TensorBoard got {shown(where)}; expected a folder or a SummaryWriter")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars by name."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, png: bytes) -> None:
        """An image, as it is encoded."""
        picture = self._summary.Image(encoded_image_string=png)
        values = [self._summary.Value(tag=name, image=picture)]
        self.writer._get_file_writer().add_summary(self._summary(value=values), step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class WandB:
    """A `Logger` that writes to a run of Weights & Biases.

    Its numbers have an axis of their own, `optimizer_step`: W&B drops what is logged at a step that is past, and a training
    that is rolled back takes steps again.

    Args:
        run: what `wandb.init` returned.

    Raises:
        ProblemError: it is no run.
    """

    def __init__(self, run: Any) -> None:
        if not callable(getattr(run, "define_metric", None)):
            raise ProblemError(f"WandB got {shown(run)}; expected what wandb.init() returned")
        self.run = run
        self._defined: set[str] = set()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name."""
        self._define(values)
        self.run.log({AXIS: step, **values})

    def image(self, step: int, name: str, png: bytes) -> None:
        """An image."""
        import wandb  # pyright: ignore[reportMissingImports]
        from PIL import Image

        self._define([name])
        self.run.log({AXIS: step, name: wandb.Image(Image.open(BytesIO(png)))})

    def _define(self, names: Any) -> None:
        for name in set(names) - self._defined:
            self.run.define_metric(name, step_metric=AXIS)
            self._defined.add(name)


def show_charts(logger: Logger, folder: str | os.PathLike[str], step: int = 0) -> list[str]:
    """Hand the charts of a report to a logger, as `etastar/NAME`; returns their names.

    Args:
        folder: what `etastar.report(answer, folder)` wrote.

    Raises:
        ProblemError: there is no chart.
    """
    files = sorted(Path(folder).rglob("*.png"))
    if not files:
        raise ProblemError(
            f"no chart is in {shown(os.fspath(folder))}; expected the folder of etastar.report(answer, folder)"
        )
    for file in files:
        logger.image(step, f"etastar/{file.stem}", file.read_bytes())
    return [file.stem for file in files]


def rates_of(optimizer: torch.optim.Optimizer, names: Sequence[str] | None = None) -> dict[str, float]:
    """`lr/NAME` for every group, and `lr/effective`, the largest of rate x (1 - dampening) / (1 - momentum), for SGD.

    Under a gradient that stays the same momentum moves as far as plain gradient descent at the effective rate does; Adam's
    momentum is a mean, which changes nothing.

    >>> rates_of(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.75))
    {'lr/group_0': 0.1, 'lr/effective': 0.4}
    """
    names = group_names(optimizer) if names is None else names
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    gain = lambda group: (1 - group["dampening"] * bool(group["momentum"])) / (1 - group["momentum"])
    gains = [gain(group) if is_plain_sgd(optimizer) else 1.0 for group in optimizer.param_groups]
    told = {f"lr/{name}": rate for name, rate in zip(names, rates, strict=True)}
    return {**told, "lr/effective": max(rate * own for rate, own in zip(rates, gains, strict=True))}
