"""kappa: how a loss turns the slope of the outputs into curvature, relative to half the squared distance of a sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etastar.errors import ProblemError

LOSSES = ("cross_entropy", "mse", "mse_half", "bce")
DRAWS = 1024


def loss_curvature(loss: str, outputs: int, logit_variance: float = 0.0) -> float:
    """The curvature of the loss in its outputs: the largest eigenvalue of its second derivative, mean over samples.

    mse_half 1, mse 2 / C, cross_entropy 1 / C and bce 1 / (4 C) at small logits, C outputs. Logits that are not small make
    cross-entropy sharper (up to 1/2) and bce flatter; Gaussian ones of the given variance are averaged over.

    Args:
        loss: "cross_entropy", "mse" (torch's mean over samples and outputs), "mse_half" (half the squared distance of a
            sample, mean over samples) or "bce" (on logits, mean over samples and outputs).
        outputs: C.
        logit_variance: of the outputs at initialisation; a network of readout gain s has s times its inputs' mean square.

    Raises:
        ProblemError: an unknown loss, or cross-entropy of a single output.

    >>> loss_curvature("cross_entropy", 10), loss_curvature("mse", 1), loss_curvature("bce", 1)
    (0.1, 2.0, 0.25)
    >>> round(loss_curvature("cross_entropy", 10, logit_variance=2.0), 2)
    0.29
    """
    if loss not in LOSSES:
        raise ProblemError(
            f"loss is {loss!r}; expected one of {', '.join(LOSSES)}: for another one measure with etastar.probe(problem)"
        )
    if loss == "cross_entropy" and outputs < 2:
        raise ProblemError("cross_entropy of 1 output is always 0; expected at least 2 outputs, or loss='bce'")
    if loss in ("mse", "mse_half"):
        return 2 / outputs if loss == "mse" else 1.0
    if logit_variance == 0:
        return 1 / outputs if loss == "cross_entropy" else 1 / (4 * outputs)
    draws = math.sqrt(logit_variance) * np.random.default_rng(0).standard_normal((DRAWS, outputs))
    return cross_entropy_curvature(draws) if loss == "cross_entropy" else bce_curvature(draws)


def cross_entropy_curvature(logits: Any) -> float:
    """kappa of cross-entropy at these logits [N, C]: mean over samples of the largest eigenvalue of diag(p) - p p'.

    It is the root of sum_i p_i^2 / (p_i - x) = 1 between the second largest and the largest p.

    >>> round(cross_entropy_curvature([[0.0, 0.0, 0.0, 0.0]]), 12)
    0.25
    >>> round(cross_entropy_curvature([[1.0, 1.0]]), 12)
    0.5
    """
    z = np.asarray(logits, dtype=float)
    p = np.exp(z - z.max(-1, keepdims=True))
    p = np.sort(p / p.sum(-1, keepdims=True), axis=-1)
    low, high = p[:, -2].copy(), p[:, -1].copy()
    for _ in range(50):
        middle = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            above = (p**2 / (p - middle[:, None])).sum(-1) > 1
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return float(((low + high) / 2).mean())


def bce_curvature(logits: Any) -> float:
    """kappa of binary cross-entropy, mean over samples and outputs, at these logits [N, C]: mean of p (1 - p) / C.

    >>> bce_curvature([[0.0, 0.0]])
    0.125
    """
    z: NDArray[np.float64] = np.asarray(logits, dtype=float)
    p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return float((p * (1 - p)).mean()) / z.shape[-1]
