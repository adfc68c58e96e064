"""Quadratics: f(x) = 1/2 sum_i h_i x_i^2 from x = 1, where every answer is known.

Gradient descent multiplies x_i by (1 - lr h_i) each step; heavy-ball momentum follows a 2 x 2 recursion. So the loss after
any number of steps, the stability edge 2 (1 + beta) / max h, the best rate for a horizon and eta* itself are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import nn

from etastar import arguments
from etastar.core.lane import Criterion
from etastar.core.problem import Problem
from etastar.errors import ProblemError

CURVATURES = (1.0, 0.5, 0.2, 0.1, 0.05)
Array = NDArray[np.float64]


class Coordinates(nn.Module):
    """A parameter vector that starts at one, in float64; `forward(z)` is its distance to each noisy minimum z."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(dimension, dtype=torch.float64))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """x - z, shape [B, D]."""
        return self.x - z


def quadratic(
    curvatures: Sequence[float] = CURVATURES,
    momentum: float = 0.0,
    noise: float = 0.0,
    lr: float = 0.1,
    steps: int = 200,
    batch_size: int = 8,
    scale: float = 1.0,
    seed: int = 0,
) -> Problem:
    """SGD on scale/2 * mean_b sum_i h_i (x_i - z_bi)^2 with z ~ N(0, noise^2); noise 0 is the exact quadratic.

    Success: mean loss over 10 steps <= 0.5 x the loss at the start.

    Args:
        curvatures: h, the eigenvalues of the Hessian, all > 0.
        momentum: heavy-ball coefficient in [0, 1).
        noise: standard deviation of each sample's minimum.
        scale: multiplies the loss.
    """
    expected = "a list of numbers > 0, e.g. [1.0, 0.5]"
    given = arguments.several("curvatures", curvatures, expected)
    if not given:
        raise ProblemError(f"curvatures is empty; expected {expected}")
    for curvature in given:
        arguments.POSITIVE("a curvature", float(curvature) if isinstance(curvature, np.floating) else curvature)
    arguments.MOMENTUM("momentum", momentum)
    arguments.POSITIVE("scale", scale)
    arguments.NOISE("noise", noise)
    arguments.RATE("lr", lr)
    arguments.BATCH_SIZE("batch_size", batch_size)
    arguments.SEED("seed", seed)
    h = torch.tensor(list(curvatures), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    z = noise * torch.randn(4096 if noise else batch_size, len(h), generator=generator, dtype=torch.float64)

    def loss_fn(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return 0.5 * scale * (h * model(batch).square()).sum(1).mean()

    return Problem(
        model=lambda: Coordinates(len(h)),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum),
        loss_fn=loss_fn,
        train=z,
        batch_size=batch_size,
        steps=steps,
        loss_threshold=0.5 * scale * 0.5 * float(h.sum()),
        label="noisy-quadratic" if noise else "quadratic",
        seed=seed,
    )


def noisy_quadratic(
    noise: float = 0.3, momentum: float = 0.0, lr: float = 0.1, steps: int = 200, batch_size: int = 8, seed: int = 0
) -> Problem:
    """`quadratic` with a noisy minimum: success is a matter of chance near the edge."""
    return quadratic(CURVATURES, momentum, noise, lr, steps, batch_size, seed=seed)


def loss_curve(lr: float | Array, steps: int, curvatures: Sequence[float] = CURVATURES, momentum: float = 0.0) -> Array:
    """Losses before each of `steps` steps of (heavy-ball) gradient descent from x = 1, exactly; [steps] or [len(lr), steps].

    >>> loss_curve(1.0, 3, curvatures=[0.5])
    array([0.25    , 0.0625  , 0.015625])
    """
    h = np.asarray(curvatures, dtype=float)
    rate = np.asarray(lr, dtype=float)[..., None]
    x, velocity = np.ones(rate.shape[:-1] + h.shape), np.zeros(rate.shape[:-1] + h.shape)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            losses.append(0.5 * np.sum(h * x**2, axis=-1))
            velocity = momentum * velocity + h * x
            x = x - rate * velocity
    return np.stack(losses, axis=-1)


def stability_edge(curvatures: Sequence[float] = CURVATURES, momentum: float = 0.0) -> float:
    """2 (1 + beta) / max h: the largest rate at which heavy-ball descent never diverges.

    >>> stability_edge([4.0, 1.0])
    0.5
    """
    return 2 * (1 + momentum) / max(curvatures)


def best_lr(steps: int, curvatures: Sequence[float] = CURVATURES) -> float:
    """The rate with the smallest loss after `steps` plain gradient steps from x = 1.

    steps = 1 gives the Cauchy step g'g / g'Hg; steps -> infinity gives 2 / (min h + max h).

    >>> h = [1.0, 0.5]
    >>> bool(abs(best_lr(1, h) - (1 + 0.25) / (1 + 0.125)) < 1e-6)
    True
    """
    h = np.asarray(curvatures, dtype=float)

    def log_loss(lr: float) -> float:
        return float(np.asarray(logsumexp(np.log(h) + 2 * steps * np.log(np.abs(1 - lr * h) + 1e-300))))

    found = minimize_scalar(log_loss, bounds=(1e-9, 2 / h.max()), method="bounded", options={"xatol": 1e-12})
    return float(found.x)  # pyright: ignore[reportAttributeAccessIssue]


def exact_eta_star(
    criterion: Criterion, steps: int, curvatures: Sequence[float] = CURVATURES, momentum: float = 0.0
) -> float:
    """The upper end of the widest band of rates that meet `criterion` within `steps`, from the exact loss curve.

    With strong momentum the band ends below the stability edge: just below it the ringing dies out too slowly.

    Raises:
        ValueError: no rate between 1e-4 and 10 stability edges meets the criterion.
    """

    def trains(lr: float | Array) -> NDArray[np.bool_]:
        losses = loss_curve(lr, steps, curvatures, momentum)
        with np.errstate(invalid="ignore", over="ignore"):
            means = np.lib.stride_tricks.sliding_window_view(losses, criterion.window, axis=-1).mean(-1)
        return (np.isfinite(means) & (means <= criterion.bound(float(losses.flat[0])))).any(-1)

    rates = stability_edge(curvatures, momentum) * np.geomspace(1e-4, 10, 2001)
    met = np.concatenate([[False], trains(rates), [False]])
    starts, ends = np.flatnonzero(~met[:-1] & met[1:]), np.flatnonzero(met[:-1] & ~met[1:])
    if not len(starts):
        raise ValueError(f"no rate from {rates[0]:.3g} to {rates[-1]:.3g} meets: {criterion.sentence()}")
    end = int(ends[np.argmax(ends - starts)])
    low, high = float(rates[end - 1]), float(rates[min(end, len(rates) - 1)])
    while high / low > 1 + 1e-12:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if trains(middle) else (low, middle)
    return low
