"""The falling flank of a success curve, and what Bernoulli trials say about it: a grid posterior, as in QUEST+.

    P(success | x) = g + (1 - g - l) * sigma(2 ln 9 (mu - x) / w),      x = log10(lr)

mu is the 50 % point, w the 10-90 % width in decades, l the share of lapses below the edge (a good rate that fails), g the
share of islands above it (a bad rate that trains). Source of the method: Watson (2017), QUEST+: A general
multidimensional Bayesian adaptive psychometric method, J. Vision 17(3):10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

SLOPE = 2 * np.log(9)
MU_STEP = 0.004
WIDTHS = np.geomspace(0.02, 1.5, 14)
WIDTH_MEDIAN, WIDTH_SD = 0.2, 0.8
"""Prior of the width: log-normal around the 10-90 % widths measured on real networks (0.04 .. 0.44 decade)."""
LAPSES = np.array([0.0, 0.03, 0.08, 0.2])
DRAWS = 1000
LAPSE_PRIOR = np.array([0.5, 0.25, 0.17, 0.08])


class Flank:
    """Posterior over (mu, w, l, g) on a grid.

    Args:
        low, high: the range of mu, in log10(lr); the prior is flat on it.

    >>> flank = Flank(-3.0, -1.0)
    >>> for x, success in [(-2.5, True), (-2.2, True), (-1.8, False), (-1.5, False)] * 8:
    ...     flank.update(x, success)
    >>> low, middle, high = flank.mu_quantiles([0.05, 0.5, 0.95])
    >>> bool(-2.2 < low < middle < high < -1.8)
    True
    """

    def __init__(self, low: float, high: float) -> None:
        self.mu: Array = np.arange(low, high + MU_STEP / 2, MU_STEP)
        width_prior = -0.5 * (np.log(WIDTHS / WIDTH_MEDIAN) / WIDTH_SD) ** 2
        lapse_prior = np.log(LAPSE_PRIOR)
        shape = (len(self.mu), len(WIDTHS), len(LAPSES), len(LAPSES))
        prior = width_prior[:, None, None] + lapse_prior[:, None] + lapse_prior
        self._log: Array = np.broadcast_to(prior, shape).copy()
        self._posterior: Array | None = None
        self._mu_width: Array | None = None

    def _edge(self, x: float) -> Array:
        """sigma at x for every (mu, w)."""
        return expit(SLOPE * (self.mu[:, None] - x) / WIDTHS)

    def update(self, x: float, success: bool) -> None:
        """One trial at x."""
        below, above = LAPSES[:, None], LAPSES[None, :]
        p = above + (1 - above - below) * self._edge(x)[:, :, None, None]
        self._log += np.log(np.maximum(p if success else 1 - p, 1e-4))
        self._posterior = self._mu_width = None

    @property
    def posterior(self) -> Array:
        """Probability of every grid point, [mu, w, l, g]."""
        if self._posterior is not None:
            return self._posterior
        weights = np.exp(self._log - self._log.max())
        self._posterior = normalised = weights / weights.sum()
        return normalised

    @property
    def mu_width(self) -> Array:
        """Posterior of (mu, w), lapses summed out."""
        if self._mu_width is not None:
            return self._mu_width
        self._mu_width = summed = self.posterior.sum(axis=(2, 3))
        return summed

    def mu_quantiles(self, levels: list[float]) -> Array:
        """Quantiles of the 50 % point."""
        return _quantiles(self.mu, self.mu_width.sum(axis=1), levels)

    def width_quantiles(self, levels: list[float]) -> Array:
        """Quantiles of the 10-90 % width, interpolated in its logarithm."""
        return np.exp(_quantiles(np.log(WIDTHS), self.mu_width.sum(axis=0), levels))

    def point_quantiles(self, share: float, levels: list[float]) -> Array:
        """Quantiles of the x at which `share` of trials succeed, lapses apart: mu + w ln((1-share)/share) / (2 ln 9)."""
        points = self.mu[:, None] + WIDTHS * np.log((1 - share) / share) / SLOPE
        order = np.argsort(points, axis=None)
        return _quantiles(points.ravel()[order], self.mu_width.ravel()[order], levels)

    def edge_probability(self, x: float) -> float:
        """Posterior mean of sigma at x: the success probability with lapses and islands left out."""
        return float((self.mu_width * self._edge(x)).sum())

    def curve(self, xs: Array, level: float = 0.9) -> tuple[Array, Array, Array]:
        """Mean and central interval of P(success | x) at each x, lapses included, over `DRAWS` stratified draws."""
        cumulative = np.cumsum(self.posterior, axis=None)
        drawn = np.searchsorted(cumulative, (np.arange(DRAWS) + 0.5) / DRAWS * cumulative[-1])
        mu, w, below, above = np.unravel_index(drawn, self._log.shape)
        edge = expit(SLOPE * (self.mu[mu] - xs[:, None]) / WIDTHS[w])
        p = LAPSES[above] + (1 - LAPSES[above] - LAPSES[below]) * edge
        low, high = np.quantile(p, [(1 - level) / 2, (1 + level) / 2], axis=1)
        return p.mean(axis=1), low, high

    def placements(self, n: int, highest: float = 0.85, lowest: float = 0.15) -> list[float]:
        """Where to try next: `n` points at which the predicted edge probability runs evenly from `highest` to `lowest`.

        While mu is uncertain the points spread over its whole range; once it is known they spread over the transition.
        """
        xs = self.mu[::5]
        mu_width = self.mu_width
        predicted = np.array([(mu_width * self._edge(x)).sum() for x in xs])
        return [float(x) for x in np.interp(-np.linspace(highest, lowest, n), -predicted, xs)]


def _quantiles(values: Array, weights: Array, levels: list[float]) -> Array:
    """Quantiles of a distribution on sorted `values`, each weight centred on its value."""
    cumulative = np.cumsum(weights)
    return np.interp(levels, (cumulative - weights / 2) / cumulative[-1], values)
