"""Bounds on the sharpness at initialisation in depth x width, whatever the inputs are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from etastar.core.estimate import Z90, Estimate
from etastar.theory.kaiming import HE_GAIN, check_number, check_widths, width_spread
from etastar.theory.loss_curvature import loss_curvature


def depth_width_bounds(
    widths: Sequence[int],
    loss: str = "mse_half",
    *,
    readout_gain: float = HE_GAIN,
    input_multiplier: float = 1.0,
    second_moment: float = 1.0,
) -> Estimate:
    """lambda1 of a ReLU network at He's initialisation is linear in depth x width, for any inputs of one length.

    Constant width n, He's readout: kappa q [(L-1) n + n_0] above; below the same sum with each layer's term times
    rho_{l-1} prod_{k >= l} k0(rho_{k-1}), rho_0 = -1, rho_{l+1} = k1(rho_l): what two opposite inputs still share, and so
    the least of any mean over the kernel. It tends to a quarter of the upper bound: lambda1 is linear in depth x width.

    The value is their geometric mean. Exact at infinite width; the interval is widened by `width_spread` for the rest, so
    that nine of ten initialisations lie inside. Inputs of different lengths lower the lower bound by (mean |x|)^2 / mean
    |x|^2.

    Args:
        widths, loss, readout_gain, input_multiplier, second_moment: as for `kaiming_lr`.

    Raises:
        ProblemError: an argument out of range.

    >>> shares = opposite_shares(1000)
    >>> round(sum(shares) / 1000, 2)
    0.25
    >>> e = depth_width_bounds([64, *[10_000] * 20, 1])
    >>> 0 < e.low < e.high < 1.2 * (200_000 + 64)
    True

    Source: the kernel recursion (Cho and Saul 2009; Jacot et al. 2018), bounded by its trace and its value at -1.
    """
    fan_in = check_widths(widths)[:-1]
    s = check_number("readout_gain", readout_gain, zero=True)
    rho = check_number("input_multiplier", input_multiplier, zero=True)
    q = check_number("second_moment", second_moment)
    kappa = loss_curvature(loss, widths[-1], s * q)
    terms = [float(n) for n in fan_in]
    terms[0] *= rho
    gains = [s / 2] * (len(terms) - 1) + [1.0]
    shared = opposite_shares(len(terms))
    high = kappa * q * sum(g * t for g, t in zip(gains, terms, strict=True))
    low = kappa * q * sum(g * t * c for g, t, c in zip(gains, terms, shared, strict=True))
    spread = math.exp(Z90 * width_spread(widths))
    low, high = low / spread, high * spread
    return Estimate(math.sqrt(low * high), low, high, unit="loss / parameter^2", method="bounds for any inputs")


def opposite_shares(layers: int) -> list[float]:
    """What two opposite inputs share of each layer's term of the kernel; 0 for the first, whose terms sum to no less.

    >>> [round(c, 3) for c in opposite_shares(3)]  # k1(0) = 1 / pi behind k0(0) = 1/2 in front
    [0.0, 0.0, 0.318]
    """
    shares, cosines = [0.0] * layers, [-1.0]
    for _ in range(layers - 1):
        r = cosines[-1]
        cosines.append((math.sqrt(max(1 - r * r, 0.0)) + r * (math.pi - math.acos(r))) / math.pi)
    behind = 1.0
    for index in range(layers - 1, 0, -1):
        shares[index] = cosines[index] * behind
        behind *= (math.pi - math.acos(cosines[index - 1])) / math.pi
    return shares
