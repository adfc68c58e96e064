"""Gradient noise scale: how many samples a batch needs before its gradient is more signal than noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import stdtrit

from etastar.core.estimate import Status
from etastar.core.reduction import OTHER, SUM
from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.convention import reduction
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading
from etastar.probes.samples import chunks

LEVEL = 0.9


@dataclass(frozen=True)
class NoiseScale(Probe):
    """B_simple = tr Sigma / |G|^2, Sigma the covariance of one sample's gradient and G the true gradient.

    Unbiased from batches of two sizes, b (each chunk) and B (all of them): |G|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b),
    tr Sigma = (|g_b|^2 - |g_B|^2) / (1/b - 1/B), averaged over all pairs before the quotient is taken. The interval is a
    delete-one jackknife of 1 / B_simple, whose denominator is the well-determined one.

    Args:
        chunks: number of small batches.

    Raises:
        ProblemError: fewer than 4 chunks.

    Source: McCandlish et al. 2018 (arXiv 1812.06162), appendix A.
    """

    chunks: int = 16
    name: ClassVar[str] = "noise scale"
    unit: ClassVar[str] = "samples"
    meaning: ClassVar[str] = "B_simple = tr Sigma / |G|^2: the batch at which noise equals signal"
    caveat: ClassVar[str] = "at this point only: it grows by orders of magnitude while a network trains"

    def __post_init__(self) -> None:
        if self.chunks < 4:
            raise ProblemError(f"chunks is {self.chunks!r}; expected at least 4")

    def read(self, point: Point) -> Reading:
        """One gradient per chunk."""
        parts = chunks(point.batch, self.chunks)
        if parts is None:
            raise DoesNotApply(
                f"needs a batch of at least {2 * self.chunks} samples that can be cut along its first dimension"
            )
        b = point.samples // self.chunks
        kind = reduction(point, parts)
        if kind == OTHER:
            raise DoesNotApply("the loss is neither a mean nor a sum over samples: a sample has no gradient of its own")
        scale = 1 / b if kind == SUM else 1.0
        gradients = torch.stack([point.gradient(part).double() * scale for part in parts])
        gram = (gradients @ gradients.mT).cpu().numpy()
        return self._report(gram, b)

    def _report(self, gram: np.ndarray, b: int) -> Reading:
        k = len(gram)
        signal, noise = _signal_and_noise(gram, b)
        n = k * b
        if noise <= 0:
            return self.refuse("all samples have the same gradient", Status.FLAT, n=n)
        spread = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * _jackknife_error(gram, b)
        low, high = signal / noise - spread, signal / noise + spread
        if low <= 0 or signal <= 0:
            least = 1 / high if high > 0 else None
            text = f"at least {least:.3g} samples" if least else "larger than can be seen"
            return self.refuse(
                f"the gradient of {n} samples is not told apart from noise: {text}; pass more samples",
                Status.EDGE_OF_RANGE,
                low=least,
                n=n,
                level=LEVEL,
            )
        return self.found(
            noise / signal,
            1 / high,
            1 / low,
            n=n,
            method=f"{k} chunks of {b} samples",
            level=LEVEL,
            cost=k,
            says="below this batch size the best SGD rate grows with the batch",
            parts={"gradient_squared": signal, "trace_of_covariance": noise},
        )


def _signal_and_noise(gram: np.ndarray, b: int) -> tuple[float, float]:
    """(|G|^2, tr Sigma) from the inner products of chunk gradients."""
    k = len(gram)
    squares, everything = float(np.trace(gram)), float(gram.sum())
    signal = (everything - squares) / (k * (k - 1))
    return signal, b * (squares - everything / k) / (k - 1)


def _jackknife_error(gram: np.ndarray, b: int) -> float:
    """Standard error of |G|^2 / tr Sigma."""
    k = len(gram)
    ratios = []
    for left_out in range(k):
        kept = np.delete(np.delete(gram, left_out, 0), left_out, 1)
        signal, noise = _signal_and_noise(kept, b)
        ratios.append(signal / noise if noise > 0 else math.inf)
    return float(math.sqrt((k - 1) * np.var(ratios)))
