"""Whether data with NaN or infinite numbers can be trained on: the loss decides, before the first update.

NaN may stand for a missing label that the loss leaves out, -inf for a position that an attention mask hides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from etastar.core.batch import Batch, is_finite, tensors_in
from etastar.core.data import Batches, IndexedBatches
from etastar.core.kept import unmoved
from etastar.core.objective import loss_and_accuracy
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import Setup, set_up, to
from etastar.errors import ProblemError, UserCodeRaised, call

if TYPE_CHECKING:
    from etastar.core.problem import Problem


MOST_BATCHES = 4
"""Batches with such numbers that are tried before any lane; a lane that breaks later asks again about its own."""


def check_data(problem: Problem, setup: Setup, device: torch.device | str, dtype: torch.dtype | None = None) -> None:
    """Refuse tensors of `problem` that hold NaN or infinite numbers and make the loss, or its gradients, so.

    Raises:
        ProblemError: how many such numbers there are, and what to do.
    """
    data = {"train": problem.batches, "valid": problem.valid_batches, "watch": problem.watch_batches}
    for name, batches in data.items():
        for batch in _suspects(batches):
            if not _trains(problem, setup, to(batch, device, dtype), name == "train"):
                check_finite(batches.tensors if isinstance(batches, IndexedBatches) else batch, name)


def check_batch(
    problem: Problem, batch: Batch, where: str, device: torch.device | str, dtype: torch.dtype | None = None
) -> None:
    """Refuse a batch that holds NaN or infinite numbers and gives a fresh network a loss, or gradients, that are not finite.

    Raises:
        ProblemError: how many such numbers there are, and what to do.
    """
    if is_finite(batch):
        return
    seed = derive_seed(problem.seed, "finite")
    setup = set_up(problem, seed, device=device, dtype=dtype, example=batch)
    if not _trains(problem, setup, to(batch, device, dtype), True):
        check_finite(batch, where)


def _suspects(batches: Batches | None) -> Iterator[Batch]:
    """The first batches, in the order they would be read, that hold such numbers; only tensors can be looked through."""
    if not isinstance(batches, IndexedBatches) or batches.tensors is None or is_finite(batches.tensors):
        return
    odd = torch.zeros(batches.size, dtype=torch.bool)
    for tensor in tensors_in(batches.tensors):
        if tensor.is_floating_point():
            odd |= ~torch.isfinite(tensor).reshape(batches.size, -1).all(1).cpu()
    order = [index for index in batches.order(0, 0) if bool(odd[index].any())]
    yield from map(batches.read, order[:MOST_BATCHES])


def _trains(problem: Problem, setup: Setup, batch: Batch, training: bool) -> bool:
    """Whether the loss of this batch is finite, and in training its gradients, too."""
    seed_everything(derive_seed(problem.seed, "finite"))
    modes = [(module, module.training) for module in setup.model.modules()]
    if not training:
        setup.model.eval()
    try:
        with unmoved(*problem.judges):
            found = call("the loss", _loss_and_gradients, problem, setup, batch, training)
    except UserCodeRaised:
        return False
    finally:
        for module, mode in modes:
            module.training = mode
    return is_finite([t.to_dense() for t in found])


def _loss_and_gradients(problem: Problem, setup: Setup, batch: Batch, training: bool) -> list[torch.Tensor]:
    with torch.set_grad_enabled(training):
        loss, _ = loss_and_accuracy(problem, setup.model, batch)
    if not loss.requires_grad:
        return [loss]
    parameters = [p for p in setup.model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss.reshape(()), parameters, allow_unused=True)
    return [loss.detach(), *(g for g in gradients if g is not None)]


def check_finite(batch: Batch, where: str) -> None:
    """Raise `ProblemError` if a floating-point tensor in `batch` holds NaN or inf."""
    for tensor in tensors_in(batch):
        if not is_finite(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ProblemError(
                f"{where} holds NaN or infinite numbers ({bad} in a tensor of shape {tuple(tensor.shape)}); "
                "expected finite data: clean or impute it first"
            )
