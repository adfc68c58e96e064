"""The point where a training would start: a problem's fresh model on its first samples."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from etastar.core.finite_loss import check_data, check_finite
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import check_fresh_storage, set_up, to
from etastar.errors import ProblemError
from etastar.probes.convention import as_trained, sees_whole_batches
from etastar.probes.point import Point
from etastar.probes.samples import draw, length


def starting_point(
    problem: Problem,
    seed: int,
    *,
    samples: int = 512,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Point:
    """The model that `seed` initialises, the optimizer, and the first `samples` training samples of `seed`.

    Where the loss is no mean over samples, the point's is that of the batches trained on (`PerBatch`).

    Call inside `isolated_randomness()`.

    Raises:
        ProblemError: the problem cannot be trained, has no parts (`from_loop`), or starts at a loss that is not finite.
    """
    if problem.is_loop:
        raise ProblemError("a training loop of your own has no parts to probe; make a Problem of model, loss and data")
    check_fresh_storage(problem)
    lane, batches = derive_seed(seed, "probe"), problem.parts.batches
    batch = draw(batches, lane, samples)
    setup = set_up(problem, lane, device=device, dtype=dtype, example=batch)
    check_data(problem, setup, device, dtype)
    point = Point(
        model=setup.model,
        optimizer=setup.optimizer,
        batch=to(batch, device, dtype),
        loss=problem.loss,
        loss_fn=problem.loss_fn,
        clip_grad_norm=problem.clip_grad_norm,
        seed=lane,
    )
    loss = point.value()
    if not math.isfinite(loss):
        check_finite(batch, "a training batch")
        raise ProblemError(f"the loss at initialisation is {loss}; expected a finite number: check data and model")
    size = batches.batch_size or length(next(iter(batches.epoch(lane, 0))))
    trained = point if size is None else as_trained(point, size)
    if size is None or size <= samples or not sees_whole_batches(trained):
        return trained
    return replace(trained, batch=to(draw(batches, lane, size), device, dtype))
