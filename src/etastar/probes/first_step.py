"""What the optimizer's own next step does to the parameters, taken for real and taken back by copying."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from etastar.core.closures import needs_closure
from etastar.core.gradients import clip
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import DoesNotApply, UserCodeRaised, call
from etastar.probes.point import Point
from etastar.theory.curvature import flat, unflat

LINEAR_WITHIN = 1e-3
PROPORTIONS = (1 / 256, 1.0, 256.0)


def first_change(point: Point, lr: float) -> torch.Tensor:
    """theta(after) - theta(before) of one step at the rate `lr` (times each group's multiplier), [dimension], float64.

    The gradient is that of the whole batch, clipped as in training; optimizers that need a closure get one.

    Raises:
        DoesNotApply: the loss has no gradient.
    """
    point.gradient()
    closures = needs_closure(point.optimizer, lambda: _undone(point))
    with _undone(point):
        before = _values(point)
        _step(point, lr, closures=closures)
        return _values(point) - before


def first_direction(point: Point, lr: float) -> tuple[torch.Tensor, bool]:
    """(change per unit of rate [dimension], whether the change is proportional to the rate around `lr`).

    The change is measured at lr / 256, lr and 256 lr. If they are proportional up to rounding, the direction is that of the
    rate whose step is as long as the parameters, where float32 resolves it best; else it is the change at `lr` over `lr`.

    Raises:
        DoesNotApply: the step does not move the parameters.
    """
    changes = [first_change(point, lr * proportion) for proportion in PROPORTIONS]
    here = changes[1] / lr
    size = float(_values(point).norm())
    if not all(torch.isfinite(change).all() for change in changes):
        return here, False
    lengths = [float(change.norm()) for change in changes]
    if lengths[-1] == 0:
        raise DoesNotApply("the optimizer's first step does not move the parameters (all gradients are zero)")
    eps = torch.finfo(point.parameters[0].dtype).eps
    largest = changes[2] / (lr * PROPORTIONS[2])
    for change, length, proportion in zip(changes, lengths, PROPORTIONS, strict=True):
        rounding = 2 * eps * (size + length) / (lr * proportion)
        if float((change / (lr * proportion) - largest).norm()) > LINEAR_WITHIN * float(largest.norm()) + rounding:
            return here, False
    best = lr * PROPORTIONS[2] * (size or lengths[-1]) / lengths[-1]
    return first_change(point, best) / best, True


@contextmanager
def moved(point: Point, change: torch.Tensor) -> Iterator[None]:
    """The parameters plus `change` inside; the very same bits as before afterwards (copied back, never subtracted)."""
    saved = [p.detach().clone() for p in point.parameters]
    try:
        with torch.no_grad():
            for p, old, piece in zip(point.parameters, saved, unflat(change, point.parameters), strict=True):
                p.copy_(old.double() + piece)
        yield
    finally:
        with torch.no_grad():
            for p, old in zip(point.parameters, saved, strict=True):
                p.copy_(old)
        point.put_back()


def value_after(point: Point, change: torch.Tensor) -> float:
    """The loss at the parameters plus `change`; infinite where the user's code raises there."""
    with moved(point, change):
        try:
            return point.value()
        except UserCodeRaised:
            return math.inf


def _values(point: Point) -> torch.Tensor:
    return flat(point.parameters, point.parameters).double()


def _step(point: Point, lr: float, *, closures: bool) -> None:
    optimizer = point.optimizer
    for group in optimizer.param_groups:
        multiplier = float(group["lr"]) / point.lr
        group["lr"] = torch.full_like(group["lr"], lr * multiplier) if torch.is_tensor(group["lr"]) else lr * multiplier
    seed_everything(derive_seed(point.seed, "step"))

    def closure() -> torch.Tensor:
        loss = point.objective()
        gradients = torch.autograd.grad(loss, point.stepped, allow_unused=True)
        _put(point, list(gradients))
        return loss.detach()

    if closures:
        with torch.enable_grad():
            call("optimizer.step(closure)", optimizer.step, torch.enable_grad()(closure))
    else:
        _put(point, point.gradients())
        call("optimizer.step()", optimizer.step)


def _put(point: Point, gradients: list[torch.Tensor | None]) -> None:
    for p, g in zip(point.stepped, gradients, strict=True):
        p.grad = None if g is None else g.detach().clone()  # an optimizer may write to it
    if point.clip_grad_norm is not None:
        clip(point.stepped, point.clip_grad_norm)


@contextmanager
def _undone(point: Point) -> Iterator[torch.optim.Optimizer]:
    """Whatever the optimizer does inside has not happened: it works on copies of its state, and values are copied back."""
    optimizer = point.optimizer
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    values = [p.detach().clone() for p in parameters]
    everything = {id(p): p for p in (*parameters, *point.model.parameters())}.values()
    grads = [(p, p.grad) for p in everything]
    groups = [(group, dict(group)) for group in optimizer.param_groups]
    attributes = dict(vars(optimizer))
    optimizer.state = defaultdict(dict, {p: _copied(state) for p, state in optimizer.state.items()})
    try:
        yield optimizer
    finally:
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        for group, settings in groups:
            group.clear()
            group.update(settings)
        with torch.no_grad():
            for p, value in zip(parameters, values, strict=True):
                p.copy_(value)
        for p, grad in grads:
            p.grad = grad
        point.put_back()


def _copied(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return copy.deepcopy(state)
