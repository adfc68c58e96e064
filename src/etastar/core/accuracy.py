"""Accuracy: which answers are right, as far as the loss and the shapes tell. Asked once, not at every step."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import nn

from etastar.core.randomness import generator, isolated_randomness

ELEMENTS = 2**20
"""Numbers in the outputs the loss is asked about at once."""
BATCHES = 8
SURE = 4.0
"""Score of the class that is said to be right, over 0 for the others."""
CLEARLY = 0.1
"""Share of the loss that right answers must save over wrong ones; cross-entropy of 50,000 classes saves 0.37."""


class Right(StrEnum):
    """What a right answer is: the labelled class has the highest score, the likeliest class has, or the sign fits."""

    LABELS = "labels"
    SHARES = "shares"
    SIGNS = "signs"


@dataclass(frozen=True)
class AccuracyRule:
    """How right answers are counted.

    Args:
        right: what a right answer is.
        dim: dimension of the outputs that holds the scores of classes.
        ignored: labels >= 0 that the loss does not look at; negative ones never count.
        threshold: of outputs that say yes, for binary targets.

    >>> rule = AccuracyRule(Right.LABELS, dim=1, ignored=(0,))
    >>> rule(torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), torch.tensor([0, 1, 1]))
    tensor(0.5000)
    """

    right: Right
    dim: int = 1
    ignored: tuple[int, ...] = ()
    threshold: float = 0.0

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Share of right answers among those that count, scalar in [0, 1]; 0 where none counts."""
        if self.right is Right.SIGNS:
            return ((outputs > self.threshold) == (targets > 0.5)).float().mean()
        if self.right is Right.SHARES:
            return (outputs.argmax(self.dim) == targets.argmax(self.dim)).float().mean()
        counted = targets >= 0
        for label in self.ignored:
            counted = counted & (targets != label)
        return ((outputs.argmax(self.dim) == targets) & counted).sum() / counted.sum().clamp(min=1)


def accuracy_rule(loss: Any, outputs: torch.Tensor, batches: Sequence[torch.Tensor]) -> AccuracyRule | None:
    """How the accuracy of `outputs` is counted, as the loss says; None where it cannot be told.

    The class dimension is the one along which right answers lower the loss below wrong ones; a label is ignored if the loss
    has no gradient at any output that carries it.

    Args:
        loss: (outputs, targets) -> scalar; a module is copied.
        outputs: the model's, for the first batch.
        batches: targets of training batches.
    """
    if (threshold := _binary_threshold(loss)) is not None:
        return AccuracyRule(Right.SIGNS, threshold=threshold)
    own = spare_loss(loss)
    kept = batches[: min(max(ELEMENTS // max(outputs.numel(), 1), 1), BATCHES)]
    with isolated_randomness(), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rule = _most_telling(own, outputs.detach(), kept)
            if rule is None or rule.right is Right.SHARES:
                return rule
            silent = _labels_without_gradient(own, outputs.detach(), kept, rule.dim)
        except Exception:  # these outputs are not the model's own: what the loss says of them is not the user's mistake
            return None
    beyond = [int(v) for t in batches for v in t[t >= outputs.shape[rule.dim]].unique()]
    declared = declared_ignored(loss)
    ignored = sorted({v for v in (*silent, *beyond, declared) if v is not None and v >= 0})
    return AccuracyRule(rule.right, rule.dim, tuple(ignored))


def spare_loss(loss: Any) -> Any:
    """A loss that may be asked anything: a module may keep what it has seen, and what it keeps is the caller's."""
    return copy.deepcopy(loss) if isinstance(loss, nn.Module) else loss


def class_dims(outputs: torch.Tensor, targets: torch.Tensor) -> list[int]:
    """The dimensions of `outputs` that may hold class scores for integer `targets`: torch's own, 1, then the last.

    Numbers of samples may differ.
    """
    if targets.is_floating_point() or targets.is_complex() or outputs.dim() != targets.dim() + 1:
        return []
    dims = dict.fromkeys((min(1, outputs.dim() - 1), outputs.dim() - 1))
    return [d for d in dims if outputs.shape[1:d] + outputs.shape[d + 1 :] == targets.shape[1:] and outputs.shape[d] > 1]


def is_normalised(values: torch.Tensor, dim: int) -> bool:
    """Whether `values` are shares of one along `dim`, as behind a softmax.

    >>> is_normalised(torch.tensor([[0.2, 0.8], [1.0, 0.0]]), 1)
    True
    """
    if values.shape[dim] < 2 or not bool((values >= 0).all()):
        return False
    return bool((values.detach().float().sum(dim) - 1).abs().max() < 1e-3)


def declared_ignored(loss: Any) -> int | None:
    """The label that a loss of torch's says it ignores, -100 where nothing is said; None for any other loss."""
    if isinstance(loss, partial):
        declared = loss.keywords.get("ignore_index")
        return declared_ignored(loss.func) if declared is None else declared
    if loss in (nn.functional.cross_entropy, nn.functional.nll_loss):
        return -100
    declared = getattr(loss, "ignore_index", None)
    return declared if isinstance(declared, int) else None


def _binary_threshold(loss: Any) -> float | None:
    """The output from which a loss of torch's reads "yes"; None if it is not binary cross-entropy."""
    loss = loss.func if isinstance(loss, partial) else loss
    if loss is nn.functional.binary_cross_entropy_with_logits or isinstance(loss, nn.BCEWithLogitsLoss):
        return 0.0
    return 0.5 if loss is nn.functional.binary_cross_entropy or isinstance(loss, nn.BCELoss) else None


def _most_telling(loss: Any, outputs: torch.Tensor, batches: Sequence[torch.Tensor]) -> AccuracyRule | None:
    """The reading under which right answers have the lowest loss, if wrong ones have a higher one."""
    first, readings = batches[0], list[tuple[float, AccuracyRule]]()
    labels = [d for d in class_dims(outputs, first) if _fits(outputs, first, d)]
    shares = [d for d in range(1, outputs.dim()) if first.is_floating_point() and first.shape == outputs.shape]
    shares = [d for d in shares if all(is_normalised(t, d) for t in batches)]
    for dim in labels or shares:
        own = [t if labels else t.argmax(dim) for t in batches]
        answer = lambda shift: _mean(
            [
                loss(_sure(outputs, named + shift * (named >= 0), dim), t)  # noqa: B023
                for named, t in zip(own, batches, strict=True)  # noqa: B023
            ]
        )
        right, wrong = answer(0), answer(1)
        if wrong - right > CLEARLY * max(abs(right), abs(wrong)):
            readings.append((right, AccuracyRule(Right.LABELS if labels else Right.SHARES, dim)))
    return min(readings, key=lambda reading: reading[0])[1] if readings else None


def _fits(outputs: torch.Tensor, targets: torch.Tensor, dim: int) -> bool:
    return outputs.shape[:dim] + outputs.shape[dim + 1 :] == targets.shape


def _mean(losses: Sequence[torch.Tensor]) -> float:
    """Over those that are finite: a batch of ignored labels alone has no mean loss."""
    finite = [x for x in (float(loss.detach()) for loss in losses) if math.isfinite(x)]
    return sum(finite) / len(finite) if finite else math.nan


def _sure(outputs: torch.Tensor, labels: torch.Tensor, dim: int) -> torch.Tensor:
    """Outputs, of the model's kind, that are sure of `labels` (modulo the number of classes), and of nothing below 0."""
    classes = outputs.shape[dim]
    index = labels.remainder(classes).unsqueeze(dim)
    score = outputs.new_zeros(*labels.shape[:dim], classes, *labels.shape[dim:])
    return _of_a_kind(score.scatter(dim, index, (SURE * (labels >= 0)).to(score.dtype).unsqueeze(dim)), outputs, dim)


def _of_a_kind(scores: torch.Tensor, outputs: torch.Tensor, dim: int) -> torch.Tensor:
    """Scores as log-probabilities or probabilities along `dim` where the model's outputs are."""
    if is_normalised(outputs.exp(), dim):
        return scores.log_softmax(dim)
    return scores.softmax(dim) if is_normalised(outputs, dim) else scores


def _labels_without_gradient(loss: Any, outputs: torch.Tensor, batches: Sequence[torch.Tensor], dim: int) -> set[int]:
    """Labels none of whose positions the loss looks at. Half precision has gradients that are zero by rounding."""
    seen, alive = set[int](), set[int]()
    if outputs.dtype not in (torch.float32, torch.float64):
        return seen
    for targets in batches:
        shape = (*targets.shape[:dim], outputs.shape[dim], *targets.shape[dim:])
        draws = 0.1 * torch.randn(shape, generator=generator(0, "accuracy"), dtype=torch.float64).to(outputs)
        z = _of_a_kind(draws, outputs, dim).requires_grad_()
        (slope,) = torch.autograd.grad(loss(z, targets).reshape(()), z)
        size = slope.abs().sum(dim)
        if torch.isfinite(size).all():
            seen |= set(targets.unique().tolist())
            alive |= set(targets[size > 0].unique().tolist())
    return seen - alive
