"""The laws of learning rates that the library rests on, each with a test.

| # | law | test |
|---|---|---|
| 1 | thresholds 2/h, 2(1+b)/h, 2(1+b)/((1+2b)h), (2+2b)/((1-b)h) on a quadratic | here; oracles/test_probes.py |
| 2 | doubling inputs and targets quarters SGD's rate, leaves Adam's | oracles/test_rescaling.py |
| 3 | inputs x s, targets x t, loss x a | oracles/test_rescaling.py |
| 4 | lambda1 from the kernel | oracles/test_kernel.py |
| 5 | lambda1 is linear in depth x width | oracles/test_kernel.py |
| 6 | 1/lambda descends, 2.5/lambda does not | oracles/test_kernel.py |
| 7 | one step changes pre-activations by eta^2 depth^3 | here |
| 8 | path sums of branched graphs, initialisation by in-degree | oracles/test_path_sum.py |
| 9 | eta* is a power of depth x width, not the inverse of lambda1 | here (slow) |
| 10 | catapult | here |
| 11 | edge of stability | here (slow) |
| 12 | Adam's edge of stability, 38 | here (slow) |
| 13 | eta_c is 2 / directional sharpness | oracles/test_probes.py |
| 14 | Adam's one-shot rate | oracles/test_probes.py |
| 15 | Adam begun with v = g^2 takes a first step of lr sqrt(1 - b2) | here |
| 16 | muP's tables 3 and 9 are one | oracles/test_mup.py |
| 17 | cross-entropy tolerates more width than squared error | here (slow) |
| 18 | noise scale from two batch sizes | oracles/test_probes.py |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.digits import load
from etastar.theory.curvature import flat, hessian
from etastar.theory.lanczos import largest_eigenvalue
from relu_networks import LOSSES, digits, relu_network, widths_of

H = 4.0


def gradient_descent(x: float, v: float, b: float, lr: float) -> tuple[float, float]:
    return x - lr * H * x, v


def heavy_ball(x: float, v: float, b: float, lr: float) -> tuple[float, float]:
    v = b * v + H * x
    return x - lr * v, v


def nesterov(x: float, v: float, b: float, lr: float) -> tuple[float, float]:
    v = b * v + H * x
    return x - lr * (H * x + b * v), v


def averaged(x: float, v: float, b: float, lr: float) -> tuple[float, float]:
    v = b * v + (1 - b) * H * x
    return x - lr * v, v


THRESHOLDS: dict[str, tuple[Callable, Callable[[float], float]]] = {
    "gradient descent": (gradient_descent, lambda b: 2 / H),
    "heavy ball": (heavy_ball, lambda b: 2 * (1 + b) / H),
    "Nesterov": (nesterov, lambda b: 2 * (1 + b) / ((1 + 2 * b) * H)),
    "averaged": (averaged, lambda b: (2 + 2 * b) / ((1 - b) * H)),
}


def converges(rule: Callable, b: float, lr: float, steps: int = 20_000) -> bool:
    x, v = 1.0, 0.0
    for _ in range(steps):
        x, v = rule(x, v, b, lr)
        if abs(x) > 1e6:
            return False
    return abs(x) < 1


@pytest.mark.parametrize("b", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", THRESHOLDS)
def test_01_thresholds_on_a_quadratic(name, b):
    rule, truth = THRESHOLDS[name]
    assert converges(rule, b, 0.997 * truth(b)) and not converges(rule, b, 1.003 * truth(b))


def change_of_preactivations(depth: int, width: int = 128, seeds: int = 160) -> float:
    """E (change of the last hidden pre-activation)^2 / eta^2 in one step on one sample, mean-field readout."""
    generator = torch.Generator().manual_seed(depth)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    weights = [(draw(seeds, width, width) * (2 / width) ** 0.5).requires_grad_() for _ in range(depth)]
    readout = (draw(seeds, 1, width) / width).requires_grad_()
    x, y = draw(seeds, width, 1), 1.0  # E y^2 = 1 is all that counts
    x = x / x.square().mean(1, keepdim=True).sqrt()

    def last(weights: list[torch.Tensor]) -> torch.Tensor:
        z = weights[0] @ x
        for w in weights[1:]:
            z = w @ torch.relu(z)
        return z

    z = last(weights)
    loss = 0.5 * (readout @ torch.relu(z) - y).square().sum()
    eta = 1e-6
    with torch.no_grad():
        moved = [w - eta * g for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True)]
        return float(((last(moved) - z) / eta).square().mean())


@pytest.mark.slow
def test_07_one_step_changes_preactivations_by_the_rate_squared_times_depth_cubed():
    depths = [2, 4, 8, 16]
    slope = np.polyfit(np.log(depths), np.log([change_of_preactivations(d) for d in depths]), 1)[0]
    assert 2.6 <= slope <= 3.1


def standardised() -> tuple[torch.Tensor, torch.Tensor]:
    """Digits, every pixel of mean 0 and variance 1."""
    (x, labels), _ = load()
    return (x - x.mean(0)) / x.std(0).clamp(min=1e-3), labels


def sharpness_at_start(widths: list[int], loss: str, seed: int) -> float:
    x, labels = (t[:256] for t in standardised())
    y = labels if loss == "cross_entropy" else F.one_hot(labels, 10).float()
    parameters = list((model := relu_network(widths, seed)).parameters())
    matrix = hessian(LOSSES[loss](model(x), y), parameters)
    return largest_eigenvalue(matrix, matrix.dimension, tolerance=1e-2).value


def trains(widths: list[int], loss: str, lr: float, seed: int, *, rho: float, epochs: int, accuracy: float) -> bool:
    """SGD in batches of 128 on digits, the input layer at rho x lr: whether an epoch ends at this training accuracy."""
    x, labels = standardised()
    y = labels if loss == "cross_entropy" else F.one_hot(labels, 10).float()
    model = relu_network(widths, seed)
    parameters = list(model.parameters())
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).split(128):
            value = LOSSES[loss](model(x[batch]), y[batch])
            if not float(value.detach()) < 1e6:
                return False
            with torch.no_grad():
                for i, (p, g) in enumerate(zip(parameters, torch.autograd.grad(value, parameters), strict=True)):
                    p.sub_((rho if i == 0 else 1.0) * lr * g)
        with torch.no_grad():
            if float((model(x).argmax(1) == labels).float().mean()) >= accuracy:
                return True
    return False


def eta_star(widths: list[int], loss: str, seed: int, ratio: float = 1.15, **settings) -> float:
    """The largest rate that trains, by doubling and bisection from 4 / lambda1."""
    low = 4 / sharpness_at_start(widths, loss, seed)
    works = lambda lr: trains(widths, loss, lr, seed, **settings)
    while not works(low):
        low /= 2
        assert low > 1e-6, "never"
    high = 2 * low
    while works(high):
        low, high = high, 2 * high
    while high / low > ratio:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if works(middle) else (low, middle)
    return math.sqrt(low * high)


def line(x: list[float], y: list[float]) -> tuple[float, float]:
    """(slope, R^2) of log y on log x."""
    u, v = np.log(x), np.log(y)
    slope, offset = np.polyfit(u, v, 1)
    return float(slope), 1 - float((v - slope * u - offset).var() / v.var())


@pytest.mark.slow
def test_09_eta_star_is_a_power_of_depth_times_width_and_not_the_inverse_of_lambda1():
    sizes, sharpness, found, unfitted = [], [], [], []
    for n, layers in ((32, 3), (64, 3), (64, 5), (128, 3), (128, 5), (128, 8)):
        widths = widths_of(n, layers)
        rates = [eta_star(widths, "cross_entropy", s, ratio=1.05, rho=0.01, epochs=5, accuracy=0.8) for s in range(2)]
        tops = [sharpness_at_start(widths, "cross_entropy", s) for s in range(2)]
        found.append(math.exp(np.log(rates).mean()))
        sharpness.append(math.exp(np.log(tops).mean()))
        sizes.append((layers - 1) * n)
        unfitted.append(n**-0.5 * layers**-1.5)
    p, q = -line(sizes, found)[0], -line(sharpness, found)[0]
    assert 0.4 <= p <= 0.9 and 0.4 <= q <= 0.9, (p, q)
    logs = np.log(found) - np.log(unfitted)
    assert 1 - logs.var() / np.log(found).var() > 0.8, "n^-1/2 L^-3/2 with one constant"


def catapult(c: float, steps: int = 200) -> tuple[np.ndarray, float]:
    """(losses, final lambda x rate) of gradient descent at rate c / lambda on centred digits, one wide hidden layer."""
    x, y = digits(128)
    x, target = (x - x.mean(0)).double(), y[:, :1].double() - y[:, :1].double().mean()
    model = relu_network([64, 1024, 1], seed=0).double()
    parameters = list(model.parameters())
    rate = c / top_eigenvalue(model, x, target)
    losses = []
    for _ in range(steps):
        loss = 0.5 * (model(x) - target).square().mean()
        losses.append(float(loss.detach()))
        if not losses[-1] < 1e8:
            return np.array(losses), math.inf
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.sub_(rate * g)
    return np.array(losses), rate * top_eigenvalue(model, x, target)


def top_eigenvalue(model: nn.Module, x: torch.Tensor, target: torch.Tensor, scale: torch.Tensor | None = None) -> float:
    parameters = list(model.parameters())
    loss = 0.5 * (model(x) - target).square().sum(1).mean()
    matrix = hessian(loss, parameters)
    matrix = matrix if scale is None else matrix.scaled(scale)
    return largest_eigenvalue(matrix, matrix.dimension, tolerance=1e-2, dtype=matrix.dtype).value


def test_10_between_two_and_four_over_lambda_the_loss_rises_and_lands_in_a_flatter_place():
    calm, _ = catapult(1.8)
    assert (np.diff(calm) <= 1e-9).all()
    thrown, end = catapult(3.0)
    assert thrown.max() > 10 * thrown[0] and thrown[-1] < 0.1 * thrown.max() and end < 2.05
    wild, _ = catapult(4.5)
    assert wild[-1] > 1e4 * wild[0]


def tanh_network(layers: int) -> nn.Sequential:
    torch.manual_seed(0)
    sizes = [64, *[64] * (layers - 1), 10]
    parts = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*parts[:-1])


@pytest.mark.slow
def test_11_gradient_descent_settles_at_two_over_its_rate():
    (x, _), _ = load()
    x = x[:512]
    target = F.one_hot(torch.randint(10, (512,), generator=torch.Generator().manual_seed(0)), 10).float()
    model, rate, seen = tanh_network(5), 0.1, []
    parameters = list(model.parameters())
    for step in range(2001):
        loss = 0.5 * (model(x) - target).square().sum(1).mean()
        with torch.no_grad():
            for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.sub_(rate * g)
        if step >= 1000 and step % 100 == 0:
            seen.append(rate * top_eigenvalue(model, x, target))
    assert 1.9 <= np.median(seen) <= 2.3 and max(seen) < 2.6, "it hovers" + str(seen)


@pytest.mark.slow
def test_12_adam_settles_at_38_over_its_rate():
    (x, y), _ = load()
    x, target = x[:256], F.one_hot(y[:256], 10).float()
    model, rate, seen = tanh_network(4), 3e-3, []
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    for step in range(1, 1601):
        optimizer.zero_grad()
        (0.5 * (model(x) - target).square().sum(1).mean()).backward()
        optimizer.step()
        if step >= 800 and step % 200 == 0:
            v = flat([optimizer.state[p]["exp_avg_sq"] for p in parameters], parameters) / (1 - 0.99**step)
            seen.append(rate * top_eigenvalue(model, x, target, (v.sqrt() + 1e-8).rsqrt()))
    assert all(34 <= c <= 42 for c in seen), seen


def test_15_adam_begun_with_the_squared_gradient_takes_a_first_step_of_lr_times_root_one_minus_beta2():
    lr, beta2 = 0.01, 0.999
    steps = []
    for begun in (False, True):
        p = nn.Parameter(torch.tensor([1.0, -3.0, 1e-3], dtype=torch.float64))
        optimizer = torch.optim.Adam([p], lr=lr, betas=(0.9, beta2), eps=1e-60)
        p.grad = 2 * p.detach()
        if begun:
            zero = torch.zeros_like(p)
            optimizer.state[p] = {"step": torch.tensor(0.0), "exp_avg": zero, "exp_avg_sq": p.grad.square()}
        before = p.detach().clone()
        optimizer.step()
        steps.append((p.detach() - before).abs())
    assert steps[0].tolist() == pytest.approx([lr] * 3, rel=1e-6)
    assert (steps[1] / steps[0]).tolist() == pytest.approx([math.sqrt(1 - beta2)] * 3, rel=1e-6)


@pytest.mark.slow
def test_17_cross_entropy_tolerates_more_width_than_squared_error():
    widths = [64, 256, 1024]
    settings = {"rho": 1.0, "epochs": 5, "accuracy": 0.6}
    slopes = {}
    for loss in ("cross_entropy", "mse_half"):
        rates = [
            math.exp(np.mean([math.log(eta_star(widths_of(n, 3), loss, s, **settings)) for s in range(2)])) for n in widths
        ]
        slopes[loss] = line(widths, rates)[0]
    assert slopes["mse_half"] <= slopes["cross_entropy"] - 0.2, slopes


def test_every_check_has_a_test():
    table = [row for row in (__doc__ or "").splitlines() if row.startswith("| ") and row[2].isdigit()]
    assert [int(row.split("|")[1]) for row in table] == list(range(1, 19))
