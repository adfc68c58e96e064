"""The point where a training stands in the middle of its way, for what reads there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from etastar.core.batch import Batch, map_tensors
from etastar.core.groups import default_lr
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import isolated_randomness
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply
from etastar.probes.point import Point
from etastar.probes.wide import wide, widened


def kept(batch: Batch) -> Batch:
    """A copy that nobody else writes to."""
    return map_tensors(lambda t: t.detach().clone(), batch)


@contextmanager
def standing_point(setup: Setup, batch: Batch) -> Iterator[Point]:
    """The training's point on `batch`, in float32 or wider; what it needs is put back afterwards, bit for bit.

    Inside, every group has the rate it has at the optimizer's default: a schedule's last rate may be 0, and a point leaves
    out what does not move. Every pass draws the same masks, at every step of the training.
    """
    problem = setup.problem
    if problem is None:
        raise DoesNotApply("nothing is known of the loss that is trained on")
    with isolated_randomness(), steady_numerics(), torch.enable_grad(), _at_default_rates(setup), widened(setup.model):
        yield Point(
            model=setup.model,
            optimizer=setup.optimizer,
            batch=wide(batch),
            loss=problem.loss,
            loss_fn=problem.loss_fn,
            clip_grad_norm=problem.clip_grad_norm,
        )


@contextmanager
def _at_default_rates(setup: Setup) -> Iterator[None]:
    groups = setup.optimizer.param_groups
    rates = [group["lr"].clone() if isinstance(group["lr"], torch.Tensor) else group["lr"] for group in groups]
    setup.set_lr(default_lr(setup.optimizer))
    try:
        yield
    finally:
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(rate, torch.Tensor):
                group["lr"].copy_(rate)
            else:
                group["lr"] = rate
