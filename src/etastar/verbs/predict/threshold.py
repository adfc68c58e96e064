"""Is a predicted sharpness a threshold? Descend at once and at two and a half times its inverse, and come back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from etastar.core.numerics import steady_numerics
from etastar.core.randomness import isolated_randomness
from etastar.errors import DoesNotApply, UserCodeRaised
from etastar.probes.point import Point
from etastar.verbs.predict.predictions import Prediction


@dataclass(frozen=True)
class Threshold:
    """Whether gradient descent on the same batch descends monotonically at a multiple of 1 / lambda, and at a larger one.

    Args:
        of: the rung whose lambda it is.
        steps: of gradient descent, with the groups' multipliers, taken back.
        below, above: the multiples.
        below_descends, above_descends: whether no step raised the loss.
    """

    TOLD: ClassVar = ("of", "steps", "below", "above", "below_descends", "above_descends", "sentence")

    of: str
    steps: int
    below: float
    above: float
    below_descends: bool
    above_descends: bool

    @property
    def sentence(self) -> str:
        """In words."""
        say = lambda c, down: f"{c:g} / lambda {'descends monotonically' if down else 'raises the loss'}"
        both = f"{say(self.below, self.below_descends)}, {say(self.above, self.above_descends)}"
        return f"{self.steps} steps of gradient descent on these samples (lambda: {self.of}): {both}"


def threshold(point: Point, of: Prediction, steps: int = 10, below: float = 1.0, above: float = 2.5) -> Threshold | None:
    """Descend from the point at both rates and come back; None where the rung has no sharpness or there is no gradient."""
    if of.quantity is None or not of.quantity.value or of.quantity.value <= 0:
        return None
    sharpness = of.quantity.value
    with isolated_randomness(), steady_numerics():
        try:
            down = [_descends(point, c / sharpness, steps) for c in (below, above)]
        except DoesNotApply:
            return None
    return Threshold(of.name, steps, below, above, *down)


def descending(point: Point, lr: float, steps: int = 10, halvings: int = 5) -> tuple[float, int]:
    """(`lr` halved, at least once, until so many steps of gradient descent never raise the loss; how often it was).

    A network that starts flat, as torch's default initialisation makes it, sharpens within these steps.
    """
    count = 1
    with isolated_randomness(), steady_numerics():
        while count < halvings and not _descends(point, lr * 0.5**count, steps):
            count += 1
    return lr * 0.5**count, count


def _descends(point: Point, lr: float, steps: int) -> bool:
    saved = [p.detach().clone() for p in point.parameters]
    try:
        last = math.inf
        for _ in range(steps):
            loss = point.objective()
            if not float(loss.detach()) <= last * (1 + 1e-6):
                return False
            last = float(loss.detach())
            gradients = torch.autograd.grad(loss, point.parameters, allow_unused=True)
            rates = {id(p): lr * float(g["lr"]) / point.lr for g in point.optimizer.param_groups for p in g["params"]}
            with torch.no_grad():
                for p, g in zip(point.parameters, gradients, strict=True):
                    if g is not None:
                        p.sub_(rates[id(p)] * g)
        return point.value() <= last * (1 + 1e-6)
    except UserCodeRaised:
        return False
    finally:
        with torch.no_grad():
            for p, old in zip(point.parameters, saved, strict=True):
                p.copy_(old)
        point.put_back()
