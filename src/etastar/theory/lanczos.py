"""Lanczos with full re-orthogonalisation: the largest ALGEBRAIC eigenvalue of a symmetric matrix known by its products.

Power iteration finds the eigenvalue of largest magnitude, which at initialisation may be a negative one; and a library's
"tolerance" is usually a change between iterations. Here the stop rests on the residual.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from etastar.core.randomness import generator
from etastar.theory.curvature import Curvature

MAX_PRODUCTS = 100
FEWEST_PRODUCTS = 8
"""Fewer have not seen the spectrum below the top, unless they are all there are."""
SAFETY = 20
"""How much smaller than the bound both r^2 / gap and the last growth of the value must be; see docs/log.md, 2026-11-22."""


NOISE = 2.0
"""Length of the random part beside a given start of length 1: with 0.3, digits-mlp settled 4 % below its top eigenvalue."""
TOLERANCE = 1e-2
"""Relative error to stop at in the midst of a training: the sampling error of 512 samples is larger."""
WARM_NOISE = 0.1
"""Length of the random part beside the last look's eigenvector: over 57 looks at three networks of digits, ten products each
missed the top eigenvalue by 0.1 % at most, and by 0.5 % with the 2.0 of a cold start."""
WARM_PRODUCTS = 10
COLD = 2
"""The first look has no eigenvector to begin with, and may take so many times the products: ten missed .5 to 1.9 %."""


@dataclass(frozen=True)
class TopEigenvalue:
    """The largest eigenvalue found.

    Args:
        value: the Ritz value, a lower bound up to rounding; NaN if a product was not finite.
        bound: on |value - largest eigenvalue|.
        vector: the Ritz vector, unit length; a warm start for a matrix nearby.
        products: matrix-vector products used.
        converged: whether `bound` met the tolerance (or the limit of the floating-point type).
    """

    value: float
    bound: float
    vector: torch.Tensor
    products: int
    converged: bool

    @property
    def finite(self) -> bool:
        """Whether every product was finite."""
        return math.isfinite(self.value)


def largest_eigenvalue(
    product: Callable[[torch.Tensor], torch.Tensor],
    dimension: int,
    *,
    tolerance: float = 1e-2,
    start: torch.Tensor | None = None,
    noise: float = NOISE,
    seed: int = 0,
    max_products: int = MAX_PRODUCTS,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> TopEigenvalue:
    """The largest algebraic eigenvalue, to `tolerance` relative to its magnitude.

    A V_k = V_k T_k + beta v_{k+1} e_k'. With T_k s = theta s the residual is r = beta |s_k|; an eigenvalue lies within r of
    theta, and within r^2 / gap where the rest of the spectrum is a gap away. Neither says that it is the LARGEST one,
    and the gap is only seen through Ritz values. So it stops when r, 20 r^2 / gap and 20 x the last growth of theta are all
    below tolerance x |theta|, after at least 8 products (or 20 r is, after 4). The bound it then states is the tolerance.

    Args:
        product: v -> A v for unit vectors [dimension].
        start: a direction to begin with, e.g. the vector of a matrix nearby; a random part is always added, because a
            start without any part of the sought eigenvector would never find it.
        noise: its length beside a start of length 1; less is enough for the vector of a matrix nearby.
        seed: of the random part.
        max_products: the answer after that many is what it is, with its bound.

    >>> a = torch.diag(torch.tensor([-9.0, 2.0, 1.0]))
    >>> top = largest_eigenvalue(a.mv, 3, tolerance=1e-6)
    >>> round(top.value, 5), top.converged
    (2.0, True)

    Source: Parlett, The Symmetric Eigenvalue Problem, ch. 11 and 13.
    """
    v = _start(dimension, start, noise, seed, dtype, device)
    basis = v.new_empty((min(dimension, max_products, 16), dimension))
    alphas: list[float] = []
    betas: list[float] = []
    floor, last = 8 * torch.finfo(dtype).eps, -math.inf
    while True:
        k = len(alphas)
        if k == len(basis):
            basis = torch.cat([basis, basis.new_empty((min(k, min(dimension, max_products) - k), dimension))])
        basis[k] = v
        w = product(v)
        alpha = float(w @ v)
        for _ in range(2):  # twice is enough
            w = w - basis[: k + 1].mT @ (basis[: k + 1] @ w)
        beta = float(torch.linalg.vector_norm(w))
        if not (math.isfinite(alpha) and math.isfinite(beta)):
            return TopEigenvalue(math.nan, math.nan, v, k + 1, False)
        alphas.append(alpha)
        ritz = _ritz(alphas, betas, beta)
        growth = ritz.value - last
        last = ritz.value
        error = max(ritz.residual, SAFETY * ritz.refined, SAFETY * growth)
        allowed = max(tolerance * abs(ritz.value), floor * ritz.scale)
        exhausted = beta <= floor * ritz.scale or k + 1 == dimension  # an invariant subspace: what it holds is exact
        tiny = SAFETY * ritz.residual <= allowed and k + 1 >= FEWEST_PRODUCTS // 2
        converged = tiny or (error <= allowed and k + 1 >= FEWEST_PRODUCTS)
        if converged or exhausted or k + 1 >= max_products:
            vector = basis[: k + 1].mT @ torch.as_tensor(ritz.vector, dtype=dtype, device=device)
            bound = floor * ritz.scale if exhausted else allowed if converged else max(ritz.residual, SAFETY * growth)
            return TopEigenvalue(ritz.value, bound, vector, k + 1, converged or exhausted)
        betas.append(beta)
        v = w / beta


def top_nearby(matrix: Curvature, last: torch.Tensor | None, products: int = WARM_PRODUCTS) -> TopEigenvalue:
    """The largest eigenvalue of a matrix that is looked at again and again while it changes.

    Args:
        last: the eigenvector of the last look; None at the first, which begins along the gradient.
        products: at most; at the first look `COLD` times as many.

    >>> h = torch.tensor([3.0, 1.0], dtype=torch.float64)
    >>> top_nearby(Curvature(lambda v: h * v, 2, h.dtype, h.device), None).value
    3.0
    """
    cold = last is None
    return largest_eigenvalue(
        matrix,
        matrix.dimension,
        tolerance=TOLERANCE,
        start=matrix.gradient if cold else last,
        noise=NOISE if cold else WARM_NOISE,
        max_products=products * (COLD if cold else 1),
        dtype=matrix.dtype,
        device=matrix.device,
    )


def _start(
    dimension: int, start: torch.Tensor | None, noise: float, seed: int, dtype: torch.dtype, device: torch.device | str
) -> torch.Tensor:
    drawn = torch.randn(dimension, generator=generator(seed, "lanczos"), dtype=torch.float64)
    drawn = (drawn / torch.linalg.vector_norm(drawn)).to(device=device, dtype=dtype)
    if start is None:
        return drawn
    length = torch.linalg.vector_norm(start)
    if not 0 < float(length) < math.inf:
        return drawn
    mixed = start.to(drawn) / length.to(drawn) + noise * drawn
    return mixed / torch.linalg.vector_norm(mixed)


@dataclass(frozen=True)
class _Ritz:
    value: float
    vector: np.ndarray
    residual: float
    refined: float
    scale: float


def _ritz(alphas: list[float], betas: list[float], beta: float) -> _Ritz:
    """The largest Ritz pair: value, vector in the basis, residual, min(r, r^2 / gap), norm of T."""
    if not betas:
        return _Ritz(alphas[0], np.ones(1), beta, beta, abs(alphas[0]) + beta)
    values, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(betas, -1))  # of the lower triangle
    residual = beta * abs(float(vectors[-1, -1]))
    gap = float(values[-1] - values[-2]) - beta * abs(float(vectors[-1, -2]))  # the second is uncertain by its own residual
    refined = min(residual, residual**2 / gap) if gap > 0 else residual
    return _Ritz(float(values[-1]), vectors[:, -1], residual, refined, float(np.abs(values).max()) + residual)
