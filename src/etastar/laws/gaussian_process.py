"""A smooth function from noisy values: a Gaussian process whose intervals answer for their own leave-one-out errors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float64]
JITTER = 1e-10


@dataclass(frozen=True)
class GaussianProcess:
    """f ~ GP(0, Matern-5/2), y_i = f(x_i) + e_i; hyperparameters by maximum likelihood (scikit-learn).

    Its standard deviations are multiplied by max(1, rms of the standardised leave-one-out residuals): a stationary
    kernel is too sure of itself where the function has a cliff, and the data say by how much.

        residual_i = [K^-1 y]_i / [K^-1]_ii,  variance_i = 1 / [K^-1]_ii

    Source: C. E. Rasmussen and C. Williams, Gaussian Processes for Machine Learning (2006), eq. 5.12.

    Args:
        x: points, [N, D].
        weights: K^-1 y, in units of `scale`.
        inverse: K^-1.
        signal: the kernel of f alone.
        centre, scale: of the values.
        inflation: factor of the standard deviations.
    """

    x: Array
    weights: Array
    inverse: Array
    signal: Any
    centre: float
    scale: float
    inflation: float

    @classmethod
    def fit(cls, x: Array, y: Array, variance: Array) -> GaussianProcess:
        """Fit to values `y` [N] at `x` [N, D], each known to a `variance` [N] at least; more noise is learned."""
        # importing scikit-learn takes 0.5 s, which a command that fits no surface need not wait for
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        centre, scale = float(y.mean()), float(y.std()) or 1.0
        z, noise = (y - centre) / scale, variance / scale**2 + JITTER
        lengths = [0.5] + [1.0] * (x.shape[1] - 1)
        bounds = [(0.1, 5.0)] + [(0.2, 20.0)] * (x.shape[1] - 1)
        signal = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(lengths, bounds, nu=2.5)
        known: Any = noise  # one per point, which scikit-learn takes and its types do not say
        regressor = GaussianProcessRegressor(signal + WhiteKernel(1e-3, (1e-8, 1.0)), alpha=known, random_state=0)
        # matrices this small gain nothing from threads, which on a busy machine wait for each other 20 times as long
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound is fine
            regressor.fit(x, z)
        kernel: Any = regressor.kernel_
        total = kernel.k1(x) + np.diag(noise + kernel.k2.noise_level)
        inverse = np.linalg.inv(total)
        weights = inverse @ z
        precision = np.diag(inverse)
        standardised = weights / np.sqrt(precision)
        inflation = max(1.0, float(np.sqrt(np.mean(standardised**2))))
        return cls(x, weights, inverse, kernel.k1, centre, scale, inflation)

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Mean [M] and covariance [M, M] of f at `x` [M, D]."""
        across = self.signal(x, self.x)
        covariance = self.signal(x) - across @ self.inverse @ across.T
        factor = self.scale * self.inflation
        return self.centre + self.scale * across @ self.weights, factor**2 * covariance

    def draws(self, x: Array, n: int, seed: int) -> Array:
        """`n` functions from the posterior, at `x`: [n, M]."""
        mean, covariance = self.posterior(x)
        with threadpool_limits(1):
            values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        normal = np.random.default_rng(seed).standard_normal((n, len(values)))
        return mean + normal @ root.T
