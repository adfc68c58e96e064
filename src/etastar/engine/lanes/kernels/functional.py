"""Any other network: `vmap` over the forward pass, one ordinary backward pass through the sum of the lanes' losses.

Lanes are independent, so the gradient of the sum by lane k's parameters is lane k's gradient. Differentiating outside of
vmap keeps the backward pass in C++. It is done inside where vmap rewrites an operation whose derivative is special (the
padding row of an embedding gets no gradient).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from etastar.core.batch import Batch, map_tensors, tensors_in
from etastar.core.objective import accuracy_of, loss_and_accuracy
from etastar.core.problem import Problem
from etastar.engine.lanes.kernels.kernel import Scores
from etastar.engine.lanes.rows import Layout, Rows
from etastar.errors import DoesNotApply

Named = dict[str, torch.Tensor]


class FunctionalKernel:
    """The problem's own loss and accuracy, vectorised over parameters, buffers and batches."""

    def __init__(self, problem: Problem, model: nn.Module, layout: Layout) -> None:
        accuracy_of(problem, model)  # not inside vmap
        # a plain deep copy: moving it to the meta device would break tied weights and compute with uninitialised memory
        self._training = _Objective(problem, copy.deepcopy(model))
        self._evaluating = _Objective(problem, copy.deepcopy(model).eval())
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        if any(m.sparse or m.max_norm is not None for m in embeddings):
            raise DoesNotApply("an embedding is sparse, or renormalises its weights in the forward pass")
        self._differentiate_inside = any(m.padding_idx is not None for m in embeddings)

    def gradient(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        one = _one_lane(self._training, batch)
        rest = {**rows.frozen, **rows.buffers}
        trainable = dict(zip(rows.layout.names, rows.views, strict=True))
        leaves = tensors_in(batch)
        with torch.enable_grad(), _vectorised():
            if self._differentiate_inside:
                values = {name: value.detach() for name, value in trainable.items()}
                found, scores = vmap(grad(one, has_aux=True), randomness="error")(values, rest, leaves)
                gradients = [found[name] for name in rows.layout.names]
            else:
                loss, scores = vmap(one, randomness="error")(trainable, rest, leaves)
                gradients = torch.autograd.grad(loss.sum(), rows.views, allow_unused=True)
            rows.set_gradients(gradients)
        return scores[0].detach(), scores[1] if len(scores) > 1 else None

    def evaluate(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        one = _one_lane(self._evaluating, batch)
        with torch.no_grad(), _vectorised():
            _, scores = vmap(one, in_dims=(0, 0, None), randomness="error")(
                rows.parameters(), rows.buffers, tensors_in(batch)
            )
        return scores[0], scores[1] if len(scores) > 1 else None


def _one_lane(objective: _Objective, batch: Batch) -> Any:
    """(trainable, other state, the tensors of a batch) -> (loss, (loss, accuracy where there is one)) of one lane."""

    def one(trainable: Named, rest: Named, leaves: list[torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        inner = iter(leaves)
        own = map_tensors(lambda _: next(inner), batch)
        state = {f"model.{name}": value for name, value in (trainable | rest).items()}
        loss, share = functional_call(objective, state, (own,))
        loss = loss.reshape(())
        return loss, ((loss,) if share is None else (loss, share.detach().reshape(())))

    return one


class _Objective(nn.Module):
    """Loss and accuracy as a module's forward, so that its parameters can be swapped for a lane's."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._problem = problem

    def forward(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        return loss_and_accuracy(self._problem, self.model, batch)


@contextmanager
def _vectorised() -> Iterator[None]:
    """Without fused kernels, which have no batching rule; what torch cannot vectorise is a `DoesNotApply`.

    Where torch loops over lanes inside an operation it warns; whether that is too slow is measured, not guessed.
    """
    fused_encoders = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
            yield
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DoesNotApply(f"torch cannot vectorise it ({line.rstrip('.')})") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_encoders)
