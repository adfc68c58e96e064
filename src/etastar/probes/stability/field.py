"""The loss as a distribution over examples: every example's own loss and gradient at one moment of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from etastar.core.batch import Batch, map_tensors
from etastar.core.randomness import generator
from etastar.errors import DoesNotApply, UserCodeRaised
from etastar.probes.samples import cut, length
from etastar.probes.stability.objective_module import ObjectiveModule
from etastar.probes.wide import wide

CHUNK = 16
"""Examples whose gradients are taken at once: on one core 4.3 batch gradients for 64 pictures of a ResNet-18 of width 16,
where chunks of 8 took 5.4, of 64 7.7 and single pictures 7.9."""
SINGLE_FROM = 3_000_000
"""Parameters from which single examples are faster: at width 64 (11 million) they took 2.2 batch gradients, chunks 3.6."""
COORDINATES = 2**16
"""Of a gradient that are kept, drawn once; lengths and angles of more are those of these, without bias."""


@dataclass(frozen=True, eq=False)
class ExampleField:
    """Losses and gradients, example by example.

    Args:
        losses: [examples], float64.
        gradients: [examples, coordinates].
    """

    losses: torch.Tensor
    gradients: torch.Tensor

    def moved(self, since: ExampleField) -> float:
        """Mean of |loss_i - loss_i then|."""
        return float((self.losses - since.losses).abs().mean())

    def turned(self, since: ExampleField) -> float:
        """Median over examples of the cosine of gradient and gradient then: 1 is the same direction."""
        return float((self._unit * since._unit).sum(1).median())

    @property
    def agreement(self) -> float:
        """Mean cosine of two different examples' gradients: 1 all pull one way, 0 they have nothing in common."""
        n = len(self._unit)
        return float((self._unit.sum(0).square().sum() - self._unit.square().sum()) / (n * (n - 1)))

    @cached_property
    def _unit(self) -> torch.Tensor:
        size = torch.linalg.vector_norm(self.gradients, dim=1, keepdim=True)
        return self.gradients / size.clamp(min=torch.finfo(self.gradients.dtype).tiny)


def example_field(
    model: nn.Module,
    batch: Batch,
    *,
    loss: Callable[[Any, Any], torch.Tensor] | None = None,
    loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None,
    seed: int = 0,
) -> ExampleField:
    """Every example's loss l_i and gradient d l_i / d weights, each as a batch of its own.

    BatchNorm takes the statistics of the whole batch, as constants: examples would change each other's losses otherwise.
    Dropout is off. The model is left bit-identical.

    Args:
        model: with its weights.
        batch: (inputs, targets), or any batch of tensors for `loss_fn`; of 2 examples at least.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.
        seed: of the coordinates that are kept of large gradients.

    Raises:
        DoesNotApply: examples cannot be told apart, or nothing is trained.

    >>> net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> net.weight.data.fill_(1.0).item()
    1.0
    >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    >>> field = example_field(net, (x, 0 * x), loss=nn.functional.mse_loss)
    >>> field.losses.tolist(), field.gradients.tolist()
    ([1.0, 4.0], [[2.0], [8.0]])
    """
    objective, wider = ObjectiveModule(model, loss, loss_fn), wide(batch)
    count = length(wider)
    if count is None or count < 2:
        raise DoesNotApply("a batch of one example, or whose tensors are not one row an example, has no field")
    with objective.still(seed):
        trained = {name: p for name, p in objective.model.named_parameters() if p.requires_grad}
        if not trained:
            raise DoesNotApply("nothing of the model is trained; there are no gradients")
        _fix_statistics(objective, wider)
        size = sum(p.numel() for p in trained.values())
        losses, gradients = _read(objective, trained, wider, _places(size, seed), chunked=size < SINGLE_FROM)
    return ExampleField(losses.double(), gradients)


def _read(
    objective: ObjectiveModule,
    trained: Mapping[str, torch.Tensor],
    batch: Batch,
    places: torch.Tensor | None,
    *,
    chunked: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses, gradients); one by one where torch.func cannot do it: a branch on data, an operation of one's own."""
    with suppress(RuntimeError, UserCodeRaised):
        if chunked:
            return _in_chunks(objective, trained, batch, places)
    return _one_by_one(objective, trained, batch, places)


def _places(size: int, seed: int) -> torch.Tensor | None:
    """Coordinates that are kept; None for all."""
    if size <= COORDINATES:
        return None
    return torch.randint(size, (COORDINATES,), generator=generator(seed, "coordinates")).sort().values


def _fix_statistics(objective: ObjectiveModule, batch: Batch) -> None:
    """Let every BatchNorm keep the statistics of `batch`; its buffers are copies here."""

    def note(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        x, over = args[0].detach(), [d for d in range(args[0].dim()) if d != 1]
        module.running_mean, module.running_var = x.mean(over), x.var(over, unbiased=False)

    norms = [module for module in objective.model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    if any(norm.running_mean is None for norm in norms):
        raise DoesNotApply("a BatchNorm without running statistics ties examples together")
    handles = [norm.register_forward_hook(note) for norm in norms]
    try:
        with torch.no_grad():
            objective(batch)
    finally:
        for handle in handles:
            handle.remove()
    for norm in norms:
        norm.training = False


def _in_chunks(
    objective: ObjectiveModule, trained: Mapping[str, torch.Tensor], batch: Batch, places: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    def one(weights: dict[str, torch.Tensor], example: Batch) -> torch.Tensor:
        return objective.at(weights, map_tensors(lambda t: t[None], example))

    each = torch.func.vmap(torch.func.grad_and_value(one), in_dims=(None, 0), randomness="same")
    weights = {name: p.detach() for name, p in trained.items()}
    losses, rows, count = list[torch.Tensor](), list[torch.Tensor](), length(batch) or 0
    for start in range(0, count, CHUNK):
        gradients, values = each(weights, cut(batch, start, min(start + CHUNK, count)))
        flat = torch.cat([gradients[name].reshape(len(values), -1) for name in trained], 1)
        rows.append(flat if places is None else flat[:, places])
        losses.append(values.detach())
    return torch.cat(losses), torch.cat(rows)


def _one_by_one(
    objective: ObjectiveModule, trained: Mapping[str, torch.Tensor], batch: Batch, places: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    losses, rows = list[torch.Tensor](), list[torch.Tensor]()
    for i in range(length(batch) or 0):
        loss = objective(cut(batch, i, i + 1))
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
        flat = torch.cat([g.reshape(-1) for g in found])
        rows.append(flat if places is None else flat[places])
        losses.append(loss.detach())
    return torch.stack(losses), torch.stack(rows)
