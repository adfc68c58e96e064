"""The Hessian of one step's loss in the midst of a training, which goes on as if nobody had looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from etastar.core.batch import Batch
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import Setup
from etastar.core.traceless import twice_differentiable
from etastar.errors import DoesNotApply, call
from etastar.theory.curvature import Curvature, hessian, mean

COARSEST = torch.finfo(torch.float32).eps
"""Types that are rounded further (float16, bfloat16) hold a product with the Hessian to two digits."""


@contextmanager
def hessian_of_step(problem: Problem, setup: Setup, micro: Sequence[Batch], seed: int, step: int) -> Iterator[Curvature]:
    """H of the mean loss over the step's micro-batches, for the parameters that are trained, under the masks of the step.

    Raises:
        DoesNotApply: torch has no such second derivatives, or the parameters are of a narrow type.
    """
    parameters = setup.parameters()
    for p in parameters:
        if p.is_complex() or torch.finfo(p.dtype).eps > COARSEST:
            raise DoesNotApply(f"second derivatives take real parameters of float32 or wider, not {p.dtype}")
    with isolated_randomness(), twice_differentiable(setup.model, *problem.judges):
        parts = []
        for part, batch in enumerate(micro):
            seed_everything(derive_seed(seed, "mask", problem.before + step, part))
            loss, _ = call("the loss", loss_and_accuracy, problem, setup.model, batch)
            parts.append(hessian(loss.reshape(()), parameters))
        yield mean(parts)
