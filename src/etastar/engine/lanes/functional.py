"""Any other network: `vmap` over the forward pass, one ordinary backward pass through the sum of the lanes' losses.

Lanes are independent, so the gradient of the sum by lane k's parameters is lane k's gradient. Differentiating outside of
vmap keeps the backward pass in C++.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from etastar.core.data import Batch, map_tensors, tensors_in
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.engine.lanes.cannot import CannotBatch
from etastar.engine.lanes.kernel import Scores
from etastar.engine.lanes.rows import Layout, Rows


class FunctionalKernel:
    """The problem's own loss and accuracy, vectorised over parameters, buffers and batches."""

    def __init__(self, problem: Problem, model: nn.Module, layout: Layout) -> None:
        # a plain deep copy: moving it to the meta device would break tied weights and compute with uninitialised memory
        self._training = _Objective(problem, copy.deepcopy(model).train())
        self._evaluating = _Objective(problem, copy.deepcopy(model).eval())
        for module in model.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and (module.sparse or module.max_norm is not None):
                raise CannotBatch("an embedding is sparse, or renormalises its weights in the forward pass")

    def gradient(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        with torch.enable_grad():
            loss, share = self._scores(self._training, rows, batch, shared=False)
            rows.set_gradients(torch.autograd.grad(loss.sum(), rows.views, allow_unused=True))
        return loss.detach(), share

    def evaluate(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        with torch.no_grad():
            return self._scores(self._evaluating, rows, batch, shared=True)

    def _scores(self, objective: _Objective, rows: Rows, batch: Batch, *, shared: bool) -> Scores:
        state = {f"model.{name}": value for name, value in (rows.parameters() | rows.buffers).items()}
        leaves = tensors_in(batch)

        def one(state: dict[str, torch.Tensor], leaves: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
            inner = iter(leaves)
            own = map_tensors(lambda _: next(inner), batch)
            loss, share = functional_call(objective, state, (own,))
            return (loss.reshape(()),) if share is None else (loss.reshape(()), share.detach().reshape(()))

        try:
            with sdpa_kernel(SDPBackend.MATH), _without_fused_encoders():  # the fused kernels have no batching rule
                found = vmap(one, in_dims=(0, None if shared else 0), randomness="error")(state, leaves)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CannotBatch(f"torch cannot vectorise it ({line.rstrip('.')})") from error
        return found[0], found[1] if len(found) > 1 else None


@contextmanager
def _without_fused_encoders() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class _Objective(nn.Module):
    """Loss and accuracy as a module's forward, so that its parameters can be swapped for a lane's."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._problem = problem

    def forward(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        return loss_and_accuracy(self._problem, self.model, batch)
