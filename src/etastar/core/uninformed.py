"""The loss of knowing nothing: the best output that ignores the input, found by asking the user's own loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.core.accuracy import class_dims, is_normalised, spare_loss
from etastar.core.randomness import isolated_randomness, seed_everything

ELEMENTS = 2**20
"""Numbers in the outputs that are asked about at once: 0.1 s or less of most losses."""
ITERATIONS = 30
UNBOUNDED = 1e3
"""A loss this many times below where it began has no lowest value."""
ENOUGH = 10
"""Labels per class from which the frequencies in the batches that were asked about are those of the data."""
LEAST_SHARE = 1e-6
"""Least share of a class relative to an even share, so that the logarithm of one that never occurs is finite."""

Link = Callable[[torch.Tensor], torch.Tensor]


def uninformed_loss(loss: Any, outputs: torch.Tensor, batches: Sequence[torch.Tensor]) -> float | None:
    """The loss of the best guess that ignores the input, in the loss's own unit and for batches as they are trained on.

        min over c of the mean over batches of loss(c at every sample, targets of the batch)

    For class labels c is one vector of class scores for all samples and positions, else an output for all samples. It is
    one that the model can give: where its outputs are (log-)probabilities, c is. L-BFGS from the best of several starts.

    Args:
        loss: (outputs, targets) -> scalar; a module is copied, so that what it keeps does not change.
        outputs: the model's, for the first batch.
        batches: targets of training batches, each [N, ...].

    Returns:
        None where no constant output can be formed, or the loss has no lowest value.

    >>> sums = nn.CrossEntropyLoss(reduction="sum")
    >>> even = uninformed_loss(sums, torch.zeros(4, 2), [torch.tensor([0, 1, 1, 0])])
    >>> round(even / math.log(2), 4)  # a batch of 4
    4.0
    """
    kept = batches[: max(ELEMENTS // max(outputs.numel(), 1), 1)]
    if not kept:
        return None
    asked = _Asked(spare_loss(loss), outputs, kept, batches)
    with isolated_randomness(), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user has seen what the loss warns of
        found = [asked.lowest(constant) for constant in _constants(outputs, kept[0])]
    return min((value for value in found if value is not None), default=None)


@dataclass(frozen=True)
class _Constant:
    """Outputs that ignore the input: `shape` of what is free, and how it becomes the outputs for targets.

    `dim` is the dimension of the outputs that holds the scores of classes, `position` its place in what is free.
    """

    shape: tuple[int, ...]
    expand: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    dim: int | None
    position: int = 0


def _constants(outputs: torch.Tensor, targets: torch.Tensor) -> list[_Constant]:
    """What a guess without the input may look like; where classes and positions are equally many, both readings."""
    fitting = class_dims(outputs, targets)
    if fitting:
        return [_Constant((outputs.shape[d],), _class_scores(d, outputs.shape[d]), d) for d in fitting]
    rows = lambda some: len(outputs) * some.numel() // max(targets.numel(), 1)
    if not targets.is_floating_point() and outputs.dim() > 2:
        return [
            _Constant((outputs.shape[d],), _at_all_positions(d, outputs, rows), d)
            for d in dict.fromkeys((1, outputs.dim() - 1))
        ]
    shape = outputs.shape[1:]
    same = lambda c, some: c.expand(rows(some), *shape)
    dims = [d for d in dict.fromkeys((1, outputs.dim() - 1)) if 0 < d < outputs.dim()]
    dim = next((d for d in dims if is_normalised(outputs, d) or is_normalised(outputs.exp(), d)), None)
    return [_Constant(tuple(shape), same, dim, 0 if dim is None else dim - 1)]


def _class_scores(dim: int, classes: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def expand(c: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        flat = c.view([classes if d == dim else 1 for d in range(targets.dim() + 1)])
        return flat.expand(*targets.shape[:dim], classes, *targets.shape[dim:])

    return expand


def _at_all_positions(
    dim: int, outputs: torch.Tensor, rows: Callable[[torch.Tensor], int]
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def expand(c: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return c.view([len(c) if d == dim else 1 for d in range(outputs.dim())]).expand(rows(targets), *outputs.shape[1:])

    return expand


@dataclass(frozen=True)
class _Asked:
    """A loss with the targets it is asked about: of the `kept` batches, labels of `everything` where those are too few."""

    loss: Any
    outputs: torch.Tensor
    kept: Sequence[torch.Tensor]
    everything: Sequence[torch.Tensor]

    def lowest(self, constant: _Constant) -> float | None:
        """The lowest loss over all constants; None where there is none."""
        found: list[float] = []
        for link in self._links(constant):
            descent = self._descend(constant, link)
            if descent.bounded:
                found.append(descent.lowest)
                if descent.complete:
                    break
        return min(found, default=None)

    def _links(self, constant: _Constant) -> list[Link]:
        """From free numbers to outputs as the model gives them; further ones for when the first leads out of its range."""
        z, dim, own = self.outputs.detach(), constant.dim, constant.position
        if dim is not None and is_normalised(z.exp(), dim):
            return [lambda u: u.log_softmax(own)]
        if dim is not None and is_normalised(z, dim):
            return [lambda u: u.softmax(own)]
        inside = bool((z >= 0).all()), bool((z <= 1).all())
        further: list[Link] = [torch.sigmoid] if all(inside) else []
        return [lambda u: u, *further, *([nn.functional.softplus] if inside[0] else [])]

    def _descend(self, constant: _Constant, link: Link) -> _Descent:
        seen = _Descent()

        def value(u: torch.Tensor) -> torch.Tensor:
            seed_everything(0)  # a loss that draws something draws the same each time
            c = link(u)
            return seen.note(torch.stack([self.loss(constant.expand(c, t), t).reshape(()) for t in self.kept]).mean())

        try:
            starts = self._starts(constant, value)
            start = min(starts, key=lambda u: _or_infinite(float(value(u).detach())))
            seen.start = seen.lowest
            seen.complete = self._few_labels(constant) or _minimise(value, start)
        except Exception:  # this output is not the model's own: what the loss says of it is not the user's mistake
            seen.complete = False
        return seen

    def _starts(self, constant: _Constant, value: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        """Zeros, what the model says on average, moments of the targets, frequencies of classes: where they apply."""
        new = self.outputs.new_zeros
        starts = [new(constant.shape)]
        if len(constant.shape) == 1 and constant.shape[0] > 1:
            starts += self._frequencies(constant, value)
        target = self.kept[0]
        if target.is_floating_point() and target.shape[1:] == constant.shape:
            own = [t for t in self.kept if t.shape[1:] == constant.shape]
            pooled = torch.cat(own).to(self.outputs.dtype)
            known = torch.where(torch.isfinite(pooled), pooled, torch.nan)  # a loss may leave out what is missing
            starts += [known.nanmean(0).nan_to_num(), known.nanmedian(0).values.nan_to_num()]
        return starts

    def _frequencies(self, constant: _Constant, value: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        """log q, which is the best constant where the loss is - sum_k q_k log softmax(z)_k: cross-entropy of any weights,
        smoothing, reduction, ignored labels or soft targets. Its gradient at 0 is a / K - q, its value a log K."""
        zero = self.outputs.new_zeros(constant.shape).requires_grad_()
        at_zero = value(zero)
        (slope,) = torch.autograd.grad(at_zero, zero)
        even = float(at_zero.detach()) / math.log(len(zero)) / len(zero)
        q = even - slope
        if self._few_labels(constant):
            q = self._of_all_labels(q)
        return [(q / q.sum() * len(q)).clamp(min=LEAST_SHARE).log()] if float(q.sum()) > 0 else []

    def _few_labels(self, constant: _Constant) -> bool:
        """Whether the batches asked about hold too few labels to say how frequent the classes are."""
        seen = sum(t.numel() for t in self.kept)
        labels = len(constant.shape) == 1 and not self.kept[0].is_floating_point()
        return labels and len(self.kept) < len(self.everything) and seen < ENOUGH * constant.shape[0]

    def _of_all_labels(self, q: torch.Tensor) -> torch.Tensor:
        """q for the frequencies of all labels, each class weighted as the loss weighs it in the batches asked about."""
        asked, known = (_counts(batches, len(q)).to(q) for batches in (self.kept, self.everything))
        least = q.min().clamp(min=0)
        weights = (q - least) / asked.clamp(min=1)
        usual = weights[asked > 0].median() if bool((asked > 0).any()) else q.new_ones(())
        return least + torch.where(asked > 0, weights, usual) * known * float(asked.sum() / known.sum().clamp(min=1))


@dataclass
class _Descent:
    """The best start's loss, the lowest seen, and whether the way down was gone to its end."""

    start: float = math.inf
    lowest: float = math.inf
    complete: bool = False

    def note(self, loss: torch.Tensor) -> torch.Tensor:
        self.lowest = min(self.lowest, _or_infinite(float(loss.detach())))
        return loss

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.lowest) and self.lowest > self.start - UNBOUNDED * abs(self.start)


def _or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def _counts(batches: Sequence[torch.Tensor], classes: int) -> torch.Tensor:
    labels = torch.cat([t.flatten() for t in batches]).long()
    return torch.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)


def _minimise(value: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor) -> bool:
    """L-BFGS on `value`, which keeps what it sees; whether it stayed finite."""
    u = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([u], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        current = value(u)
        current.backward()
        return current

    optimizer.step(closure)
    return bool(torch.isfinite(u).all())
