"""Where eta* is expected before it is measured: a multiple of what widths, one batch and the size of the targets say."""

from __future__ import annotations

import math

import torch

from etastar.core.estimate import Estimate, Status
from etastar.core.kinds import is_plain_adam, is_plain_sgd
from etastar.core.numerics import steady_numerics
from etastar.core.objective import split
from etastar.core.randomness import isolated_randomness
from etastar.core.uninformed import uninformed_loss
from etastar.errors import DoesNotApply
from etastar.probes.point import Point
from etastar.probes.relu_chain import ReluChain
from etastar.theory.kaiming import kaiming_sharpness
from etastar.theory.target_scale import learnt_sharpness
from etastar.verbs.predict.predictions import Prediction

Range = tuple[float, float, float]
HE_CHAIN: dict[tuple[str, bool], Range] = {
    ("sgd", True): (1.45, 1.05, 1.85),
    ("momentum", True): (1.0, 0.6, 1.4),
    ("sgd", False): (0.9, 0.5, 1.35),
    ("momentum", False): (0.65, 0.25, 1.1),
}
"""(optimizer, whether the loss saturates) -> log10(eta* x lambda1 of He's network of the same widths), middle and range;
divided by sqrt(width / 64) where it does."""
FLAT_START: dict[str, Range] = {"sgd": (0.2, -0.4, 0.8), "momentum": (-0.1, -0.7, 0.5)}
"""log10(eta* / (2 / curvature along the first step)) under losses that do not saturate, of networks that start flatter."""
LEARNT: dict[str, Range] = {"sgd": (0.35, -0.15, 0.85), "momentum": (-0.1, -0.5, 0.4)}
"""log10(eta* x `learnt_sharpness` / 2) of networks whose targets are large: 2 to 4 layers, widths 32 to 256."""
CRITICAL: dict[str, Range] = {"sgd": (-0.5, -1.8, 0.8), "adam": (0.75, 0.2, 1.4)}
"""log10(eta* / eta_c): middle, least, most of the networks measured (benchmarks/records/*_predict)."""
LEVEL = 0.8
FAR_ABOVE = 1e3
"""A first loss this many times the uninformed one was not brought down within 100 steps at any rate."""
LARGE_TARGETS = 10.0
"""Targets this many times as large as outputs (or as 1) are outside what was measured, except for plain ReLU chains."""


def expected_eta_star(point: Point, chain: ReluChain | str, rungs: tuple[Prediction, ...], safe: float | None) -> Estimate:
    """Where eta* is expected: as in the networks measured, relative to 1 / lambda1 of He's network of these widths, to the
    edge along the first step and to the sharpness of a network that has learnt the targets; else a multiple of eta_c.

    lambda1 grows with the width n; eta* falls as 1 / n under squared error, as n^(-1/2) where large logits flatten the loss.

    Args:
        point, chain, rungs: what was read.
        safe: the safest start, which eta* of gradient descent lies above.

    Source: Haas et al. 2025 (arXiv 2505.22491) for the exponents; the multiples are measured.
    """
    kind = _rule(point)
    try:
        _check_reach(point)
        if kind in ("sgd", "momentum") and not isinstance(chain, str) and chain.he_curvature > 0:
            (middle, low, high), method = _of_chain(point, chain, kind)
        else:
            if kind != "adam" or isinstance(chain, str):
                _check_targets(point)
            (middle, low, high), method = _of_critical_rate(point, rungs, kind, safe)
    except DoesNotApply as why:
        return Estimate.none(Status.NOT_MEASURED, f"{why}; etastar find measures it")
    return Estimate(middle, low, high, LEVEL, n=point.samples, method=f"{method}, as on networks measured before")


def _rule(point: Point) -> str:
    """ "sgd", "momentum", "adam", or "" for any other, of which nothing was measured."""
    if is_plain_adam(point.optimizer):
        return "adam"
    if is_plain_sgd(point.optimizer):
        return "momentum" if any(g.get("momentum") for g in point.optimizer.param_groups) else "sgd"
    return ""


def _of_chain(point: Point, chain: ReluChain, kind: str) -> tuple[Range, str]:
    he = kaiming_sharpness(chain.widths, "mse_half", second_moment=chain.second_moment).require()
    wider = math.sqrt(chain.width / 64) if chain.saturates else 1.0
    found = _times(wider / (he * chain.he_curvature), HE_CHAIN[kind, chain.saturates])
    method = "multiple of 1 / lambda1 of He's network of these widths"
    if chain.saturates:
        return found, method
    if not chain.is_he:
        found, method = _times(edge_along_gradient(point), FLAT_START[kind]), "multiple of the edge along the first step"
    if chain.targets > 0:
        sharpness = chain.he_curvature * learnt_sharpness(len(chain.layers), chain.targets, chain.second_moment)
        learnt = _times(2 / sharpness, LEARNT[kind])
        if learnt[0] < found[0]:
            method = "multiple of 2 / lambda1 of a network that has learnt targets of this size"
        middle, low, high = (min(pair) for pair in zip(found, learnt, strict=True))
        found = middle, low, high
    return found, method


def _of_critical_rate(point: Point, rungs: tuple[Prediction, ...], kind: str, safe: float | None) -> tuple[Range, str]:
    critical = next(rung.lr for rung in rungs if rung.name == "eta_c")
    shifts = CRITICAL.get("sgd" if kind == "momentum" else kind)
    if shifts is None or not critical.value:
        name = type(point.optimizer).__name__
        raise DoesNotApply(critical.reason or f"how eta* of {name} relates to eta_c has not been measured")
    middle, low, high = _times(critical.value, shifts)
    if kind != "adam" and safe:
        low, high = max(low, safe), max(high, 2 * safe)
        middle = middle if middle > low else math.sqrt(low * high)
    return (middle, low, high), "multiple of eta_c"


def _times(rate: float, shifts: Range) -> Range:
    middle, low, high = (rate * 10**x for x in shifts)
    return middle, low, high


def edge_along_gradient(point: Point) -> float:
    """2 g'd / d'Gd: the rate at which a step along d, the gradient times the groups' multipliers, stops to help; G is the
    Gauss-Newton matrix, so that targets far away do not bend the loss by themselves.

    Raises:
        DoesNotApply: there is no such edge.
    """
    with isolated_randomness(), steady_numerics(), torch.enable_grad():
        gradient = point.gradient()
        step = point.multipliers * gradient
        bend = float(step.double() @ point.gauss_newton()(step).double())
        slope = float(step.double() @ gradient.double())
    if not (bend > 0 and slope > 0 and math.isfinite(slope / bend)):
        raise DoesNotApply("the loss does not curve upwards along the first step")
    return 2 * slope / bend


def _check_reach(point: Point) -> None:
    """Raise `DoesNotApply` where the untrained loss is so far above the uninformed one that training may stay above it."""
    if point.loss is None:
        return
    with isolated_randomness(), torch.no_grad():
        inputs, targets = split(point.batch)
        outputs, first = point.model_outputs(inputs), point.value()
    if not (isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
        return
    uninformed = uninformed_loss(point.loss, outputs, [targets])
    ratio = first / uninformed if uninformed and uninformed > 0 else 0.0
    if ratio > FAR_ABOVE:
        raise DoesNotApply(
            f"the first loss is {ratio:.2g} times that of the best constant, and nothing like it has been measured: the "
            "outputs are far larger than the targets; scale either"
        )


def _check_targets(point: Point) -> None:
    """Raise `DoesNotApply` where targets are far larger than outputs: networks sharpen as they grow into them."""
    if point.loss is None:
        return
    with isolated_randomness(), torch.no_grad():
        inputs, targets = split(point.batch)
        outputs = point.model_outputs(inputs)
    comparable = isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor) and targets.is_floating_point()
    if not comparable or outputs.shape != targets.shape:
        return
    size = float(targets.square().mean().sqrt())
    if size > LARGE_TARGETS * max(float(outputs.square().mean().sqrt()), 1.0):
        raise DoesNotApply(
            f"the targets are as large as {size:.2g}, far larger than the outputs, and how eta* falls with them is known of "
            "plain ReLU chains only: divide the targets by their standard deviation"
        )
