"""Kaiming-He for the learning rate: the sharpness of a ReLU network at initialisation, from its widths alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from etastar.core.estimate import Z90, Estimate
from etastar.errors import ProblemError
from etastar.theory.loss_curvature import loss_curvature

HE_GAIN = 2.0
ALIGNMENT = 1 / 3
LEAST_ALIGNMENT, MOST_ALIGNMENT = 1 / 4, 1.0
SAFE_START = (
    "a safe start, not the best rate: the edge of gradient descent is twice it, and eta* was 10 - 80 times it under "
    "cross-entropy, 11 - 36 times it under squared error"
)


def kaiming_lr(
    widths: Sequence[int],
    loss: str = "cross_entropy",
    *,
    readout_gain: float = HE_GAIN,
    input_multiplier: float = 1.0,
    second_moment: float = 1.0,
    alignment: float = ALIGNMENT,
    activation: str = "relu",
) -> float:
    """A safe learning rate for SGD on a fully connected ReLU network, before there is a network or data.

    lr = 1 / lambda1, lambda1 = kappa r q [n_{L-1} + (s/2) (rho n_0 + n_1 + ... + n_{L-2})]

    kappa is `loss_curvature` for logits of variance s q: 1 for mse_half, 2 / C for mse; for cross-entropy 1 / C with a small
    readout and nearly three times that with He's.

    It is a SAFE START: gradient descent's edge of stability is at twice it, and eta* is usually 10 - 80 times it under
    cross-entropy (11 - 36 under squared error). As weights of He's initialisation neither explode nor vanish, so do steps of
    this size. Momentum b reaches 1 / (1 - b) times as far per unit of rate.

    Args:
        widths: inputs, hidden units, outputs: [n_0, n_1, ..., n_L], one more than weight layers. Hidden weights ~ (0, 2 /
            fan_in).
        loss: "cross_entropy", "mse" (torch's mean over samples AND outputs), "mse_half" (half the squared distance of a
            sample, mean over samples) or "bce" (on logits).
        readout_gain: s, the variance of the last layer's weights times its fan-in: 2 is He's, 1 LeCun's, 0 a zero readout.
        input_multiplier: rho, the first layer's rate as a multiple of the others'; 0 is a frozen one.
        second_moment: q, the mean square of the inputs' entries; 1 for standardised data.
        alignment: r, how much of the kernel's trace its first eigenvector holds: 0.25 - 0.4 for centred data, 0.45 - 0.66
            for data that are not, 1 if all inputs were the same.
        activation: "relu"; the formula holds for no other.

    Raises:
        ProblemError: an unknown loss or activation, fewer than two widths, or a number out of range.

    >>> round(kaiming_lr([64, 256, 256, 10], "cross_entropy"), 3)
    0.018
    >>> round(kaiming_lr([64, 256, 256, 10], "cross_entropy", readout_gain=0), 4)  # 1 / (256 / 10 / 3)
    0.1172
    >>> kaiming_lr([100, 100, 1], "mse_half", alignment=1)  # 1 / (100 + 100)
    0.005

    Source: K. He et al. 2015 for the initialisation; the neural tangent kernel's diagonal for the sharpness.
    """
    return 1 / _sharpness(widths, loss, readout_gain, input_multiplier, second_moment, alignment, activation)


def kaiming_sharpness(
    widths: Sequence[int],
    loss: str = "cross_entropy",
    *,
    readout_gain: float = HE_GAIN,
    input_multiplier: float = 1.0,
    second_moment: float = 1.0,
    alignment: float = ALIGNMENT,
    activation: str = "relu",
) -> Estimate:
    """The sharpness lambda1 that `kaiming_lr` is the inverse of, with an interval; arguments and errors as there.

    The interval holds the alignments 1/4 .. 1 (the limit of deep networks; inputs that are all the same) and nine of ten
    random initialisations of networks as narrow as this one (`width_spread`).

    >>> e = kaiming_sharpness([100, 100, 1], "mse_half")
    >>> round(e.value, 3), round(e.low, 1), round(e.high, 1)
    (66.667, 34.6, 288.9)
    """
    value = _sharpness(widths, loss, readout_gain, input_multiplier, second_moment, alignment, activation)
    spread = math.exp(Z90 * width_spread(widths))
    low = value * min(1.0, LEAST_ALIGNMENT / alignment) / spread
    high = value * max(1.0, MOST_ALIGNMENT / alignment) * spread
    method = f"closed form, alignment {alignment:.3g} in {LEAST_ALIGNMENT:g} .. {MOST_ALIGNMENT:g}"
    return Estimate(value, low, high, unit="loss / parameter^2", method=method)


def width_spread(widths: Sequence[int]) -> float:
    """Standard deviation over initialisations of log |activations|^2, hence of log lambda1: sqrt(5 sum 1 / n_hidden).

    >>> width_spread([64, 500, 10])
    0.1

    Source: Hanin and Nica 2020 (arXiv 1812.05994): the log is Gaussian with variance 5 sum 1 / n for ReLU.
    """
    return math.sqrt(5 * sum(1 / n for n in widths[1:-1]))


def check_widths(widths: Sequence[int]) -> list[int]:
    """The widths, checked: at least two integers >= 1.

    Raises:
        ProblemError: they are not.
    """
    try:
        values = list(widths)
    except TypeError:
        values = []
    if len(values) < 2:
        raise ProblemError(f"widths is {widths!r}; expected inputs, hidden units and outputs, e.g. [64, 256, 256, 10]")
    for n in values:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ProblemError(f"a width is {n!r}; expected integers >= 1, e.g. widths=[64, 256, 256, 10]")
    return [int(n) for n in values]


def check_number(name: str, value: Any, *, zero: bool = False) -> float:
    """`value` as a finite float > 0 (>= 0 where `zero`).

    Raises:
        ProblemError: it is not.
    """
    ok = isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or value < 0 or (value == 0 and not zero):
        raise ProblemError(f"{name} is {value!r}; expected a finite number {'>=' if zero else '>'} 0")
    return float(value)


def _sharpness(
    widths: Sequence[int],
    loss: str,
    readout_gain: float,
    input_multiplier: float,
    second_moment: float,
    alignment: float,
    activation: str,
) -> float:
    fan_in = check_widths(widths)[:-1]
    if activation != "relu":
        raise ProblemError(f"activation is {activation!r}; expected 'relu': for another one measure with etastar.predict")
    s = check_number("readout_gain", readout_gain, zero=True)
    rho = check_number("input_multiplier", input_multiplier, zero=True)
    q = check_number("second_moment", second_moment)
    r = check_number("alignment", alignment)
    if r > 1:
        raise ProblemError(f"alignment is {alignment!r}; expected a number in (0, 1], e.g. 1/3")
    terms = [float(n) for n in fan_in]
    terms[0] *= rho
    value = loss_curvature(loss, widths[-1], s * q) * r * q * (terms[-1] + s / 2 * sum(terms[:-1]))
    if value == 0:
        raise ProblemError("nothing is trained: the only layer is the input layer and input_multiplier is 0")
    return value
