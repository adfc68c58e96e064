"""The neural tangent kernel of a ReLU chain on given inputs, by exact recursion, and the sharpness it implies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etastar.core.estimate import Z90, Estimate
from etastar.errors import ProblemError
from etastar.theory.kaiming import HE_GAIN, check_number, check_widths, width_spread
from etastar.theory.loss_curvature import loss_curvature

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerScale:
    """How one weight layer is initialised and trained.

    Args:
        fan_in: its inputs.
        gain: variance of its weights times fan_in; He's is 2.
        bias_variance: of its biases at initialisation.
        multiplier: its weights' rate as a multiple of the default rate; 0 is frozen.
        bias_multiplier: the same for its biases; 0 where it has none.
    """

    fan_in: int
    gain: float = HE_GAIN
    bias_variance: float = 0.0
    multiplier: float = 1.0
    bias_multiplier: float = 0.0


def relu_kernel(inputs: Any, layers: Sequence[LayerScale]) -> Array:
    """K [N, N], the tangent kernel of one output in the limit of infinite width, each parameter weighted by its multiplier.

    With S_l the covariance of layer l's pre-activations, rho_l its correlation, Q_l = sqrt(S_ii S_jj) k1(rho_l) / 2 that of
    its activations and Q_0 = x x' / n_0:

    S_{l+1} = g_{l+1} Q_l + b_{l+1},  K = sum_l (m_l fan_in_l Q_{l-1} + m_l^bias) prod_{k > l} g_k k0(rho_{k-1}) / 2

    k1(r) = (sqrt(1 - r^2) + r (pi - acos r)) / pi, k0(r) = (pi - acos r) / pi.

    Args:
        inputs: [N, n_0] (more dimensions are flattened).
        layers: one per weight layer, the readout last.

    >>> x = [[1.0, 0.0], [0.0, 2.0]]
    >>> relu_kernel(x, [LayerScale(2)])  # linear model: x x'
    array([[1., 0.],
           [0., 4.]])
    >>> float(relu_kernel(x, [LayerScale(2), LayerScale(100)])[0, 0])  # (2 + 100) x 1/2
    51.0

    Source: Cho and Saul 2009; Jacot et al. 2018 (arXiv 1806.07572), theorem 1.
    """
    x = _matrix(inputs)
    if x.shape[1] != layers[0].fan_in:
        raise ProblemError(f"the inputs have {x.shape[1]} entries each but the first width is {layers[0].fan_in}")
    q = x @ x.T / x.shape[1]
    kernel = np.zeros_like(q)
    for index, layer in enumerate(layers):
        if index:
            s = layers[index - 1].gain * q + layers[index - 1].bias_variance
            scale = np.sqrt(np.outer(s.diagonal(), s.diagonal()))
            rho = np.clip(np.divide(s, scale, out=np.zeros_like(s), where=scale > 0), -1.0, 1.0)
            np.fill_diagonal(rho, 1.0)
            angle = np.pi - np.arccos(rho)
            q = scale * (np.sqrt(1 - rho**2) + rho * angle) / (2 * np.pi)
            kernel *= layer.gain * angle / (2 * np.pi)
        kernel += layer.multiplier * layer.fan_in * q + layer.bias_multiplier
    return kernel


def he_layers(
    widths: Sequence[int], *, readout_gain: float = HE_GAIN, input_multiplier: float = 1.0, bias: bool = False
) -> list[LayerScale]:
    """The layers of a network of these widths, He's initialisation, zero biases, a readout of gain s.

    Raises:
        ProblemError: a width or a number out of range.

    >>> [layer.gain for layer in he_layers([4, 8, 8, 2], readout_gain=1.0)]
    [2.0, 2.0, 1.0]
    """
    fan_in = check_widths(widths)[:-1]
    s = check_number("readout_gain", readout_gain, zero=True)
    rho = check_number("input_multiplier", input_multiplier, zero=True)
    gains = [HE_GAIN] * (len(fan_in) - 1) + [s]
    rates = [rho] + [1.0] * (len(fan_in) - 1)
    return [
        LayerScale(n, g, multiplier=m, bias_multiplier=m if bias else 0.0)
        for n, g, m in zip(fan_in, gains, rates, strict=True)
    ]


def kernel_sharpness(
    inputs: Any,
    widths: Sequence[int],
    loss: str = "cross_entropy",
    *,
    readout_gain: float = HE_GAIN,
    input_multiplier: float = 1.0,
    bias: bool = False,
    curvature: float | None = None,
) -> Estimate:
    """lambda1 at He's initialisation from the inputs' Gram matrix, without a network: kappa lambda_max(K) / N.

    Measured / predicted, mean over initialisations, is 0.85 - 1.25 with a small readout and 0.9 - 1.5 with He's at widths of
    256 and more; narrow deep networks are sharper (up to 2.6). The interval is that of the kernel, which a constant vector
    and its trace bound, max(sum_ij K_ij, sum_i K_ii) / N^2 <= lambda1 / kappa <= mean_i K_ii, widened by `width_spread`.

    Args:
        inputs: [N, n_0], 64 to 512 samples; it takes O(N^2 L) and one eigenvalue.
        widths, loss, readout_gain, input_multiplier: as for `kaiming_lr`.
        bias: whether there are (zero, trained) biases.
        curvature: kappa, where it is known better than from the loss's name and the readout's gain, e.g. from
            `cross_entropy_curvature` of the network's own logits.

    Raises:
        ProblemError: inputs that are not a finite matrix, or an argument out of range.

    >>> e = kernel_sharpness([[1.0, 0.0], [0.0, 1.0]], [2, 1], "mse_half")
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)  # the Hessian of least squares: x'x / N
    (0.5, 0.5, 1.0)
    """
    layers = he_layers(widths, readout_gain=readout_gain, input_multiplier=input_multiplier, bias=bias)
    x = _matrix(inputs)
    if curvature is None:
        kappa = loss_curvature(loss, check_widths(widths)[-1], readout_gain * float((x**2).mean()))
    else:
        kappa = check_number("curvature", curvature)
    return sharpness_of(relu_kernel(x, layers), kappa, width_spread(widths))


def sharpness_of(kernel: Array, curvature: float, spread: float = 0.0) -> Estimate:
    """kappa lambda_max(K) / N, between what holds for every kernel, widened by 1.645 x the `spread` of its log."""
    n = len(kernel)
    top = float(np.linalg.eigvalsh(kernel)[-1])
    mean, trace = float(kernel.sum()) / n**2, float(kernel.trace()) / n
    low, high = curvature * max(mean, trace / n), curvature * trace
    value = min(max(curvature * top / n, low), high)  # they meet up to rounding
    factor = math.exp(Z90 * spread)
    method = "kernel recursion on the inputs, infinite width"
    return Estimate(value, low / factor, high * factor, unit="loss / parameter^2", n=n, method=method)


def _matrix(inputs: Any) -> Array:
    x = np.asarray(inputs, dtype=float)
    if x.ndim < 2 or len(x) < 1 or not np.isfinite(x).all():
        kind = f"shape {x.shape}" if x.ndim < 2 or not len(x) else "NaN or infinite entries"
        raise ProblemError(f"the inputs have {kind}; expected a finite matrix [samples, entries]")
    return x.reshape(len(x), math.prod(x.shape[1:]))
