"""Loss and accuracy of many lanes from their outputs, with the derivative by hand where the loss is cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import vmap

from etastar.core.accuracy import declared_ignored
from etastar.core.batch import Batch
from etastar.core.data import IndexedBatches
from etastar.core.objective import accuracy_of, split
from etastar.core.problem import Problem
from etastar.engine.lanes.kernels.kernel import Scores
from etastar.errors import DoesNotApply, ProblemError


class ChainLoss:
    """The problem's `loss(outputs, targets)` for outputs [K, B, C].

    Raises:
        DoesNotApply: the problem measures its loss or accuracy another way, or not on plain tensors.
    """

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        if problem.loss is None or problem.metric_fn is not None:
            raise DoesNotApply("loss_fn and metric_fn may do anything with the model")
        self._loss = problem.loss
        self._rule = accuracy_of(problem, model)
        self._by_hand = _is_plain_cross_entropy(problem)

    def split(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, [K, B, ...] each."""
        inputs, targets = split(batch)
        if not (isinstance(inputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
            raise DoesNotApply("its batches are not two tensors")
        return inputs, targets

    def scores(self, outputs: torch.Tensor, targets: torch.Tensor) -> Scores:
        """Loss [K], differentiable, and accuracy [K] or None."""
        if self._by_hand and outputs.dim() == 3:
            losses = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
            return losses.view(targets.shape).mean(1), _share_right(outputs.detach(), targets)
        loss = vmap(self._loss)(outputs, targets)
        if loss.dim() != 1:
            raise ProblemError(f"the loss has shape {tuple(loss.shape[1:])}; expected a real scalar: reduce it")
        return loss, self._accuracy(outputs.detach(), targets)

    def scores_and_gradient(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        """The scores, and the derivative of every lane's loss by its outputs, [K, B, C].

        For cross-entropy: d loss / d z = (softmax(z) - onehot(y)) / B.
        """
        if not (self._by_hand and outputs.dim() == 3):
            leaf = outputs.detach().requires_grad_()
            with torch.enable_grad():
                loss, share = self.scores(leaf, targets)
                (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            return (loss.detach(), share), gradient
        index = targets.unsqueeze(-1)
        largest, guess = outputs.max(-1, keepdim=True)
        shifted = outputs - largest
        own = shifted.gather(-1, index)
        gradient = shifted.exp_()
        total = gradient.sum(-1, keepdim=True)
        loss = (total.log() - own).squeeze(-1).mean(1)
        gradient.div_(total)
        gradient.scatter_add_(-1, index, gradient.new_full((), -1.0).expand(index.shape))
        share = (guess == index).squeeze(-1).sum(1) / targets.shape[1]
        return (loss, share), gradient.div_(targets.shape[1])

    def _accuracy(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor | None:
        """By the problem's rule, lane by lane."""
        return None if self._rule is None else vmap(self._rule)(outputs, targets)


def _share_right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.argmax(-1) == targets).sum(1) / targets.shape[1]


def _is_plain_cross_entropy(problem: Problem) -> bool:
    """Mean cross-entropy on class indices none of which is ignored, known from the data itself."""
    loss: Any = problem.loss
    if type(loss) is nn.CrossEntropyLoss:
        plain = loss.weight is None and loss.reduction == "mean" and loss.label_smoothing == 0
    else:
        plain = loss is F.cross_entropy
    batches = problem.batches
    data = batches.tensors if isinstance(batches, IndexedBatches) else None
    targets = data[1] if isinstance(data, (tuple, list)) and len(data) == 2 else None
    return bool(
        plain and isinstance(targets, torch.Tensor) and targets.dtype == torch.int64 and targets.dim() == 1
        and int(targets.min()) >= 0 and not bool((targets == declared_ignored(loss)).any())
    )  # fmt: skip
