"""Probes against closed forms: quadratics of a known spectrum, dense Hessians, the sign step, synthetic gradient noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import CriticalRate, Point, Sharpness
from etastar.core.randomness import isolated_randomness
from etastar.probes.adam_one_shot import AdamOneShot
from etastar.probes.directional import GradientCurvature, UpdateCurvature
from etastar.probes.noise_scale import NoiseScale
from etastar.probes.sharpness import GaussNewtonSharpness, PreconditionedSharpness
from etastar.probes.update_ratios import UpdateRatios
from etastar.problems.digits import load
from etastar.theory.curvature import flat

SPECTRA = {
    "positive": np.linspace(0.1, 5, 20),
    "more negative than positive": np.concatenate([-np.linspace(1, 50, 10), np.linspace(0.1, 3, 10)]),
    "one": np.array([7.0]),
    "clustered": np.array([2.0, 1.999, 1.9985, *np.linspace(0, 1, 20)]),
}


def quadratic(spectrum, optimizer=None, *, start: float = 1.0) -> Point:
    """1/2 sum h x^2 in float64."""
    h = torch.as_tensor(np.asarray(spectrum), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = start * (1 + torch.rand(len(h), generator=generator, dtype=torch.float64))
    model = nn.ParameterList([nn.Parameter(x)])
    make = optimizer or (lambda p: torch.optim.SGD(p, lr=0.01))
    return Point(
        model=model, optimizer=make(model.parameters()), batch=h, loss_fn=lambda m, h: 0.5 * (h * m[0].square()).sum()
    )


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6])
def test_lambda1_is_the_largest_curvature(name, tolerance):
    reading = Sharpness(tolerance)(quadratic(SPECTRA[name]))
    e = reading.estimate
    truth = SPECTRA[name].max()
    assert e.low <= truth <= e.high
    assert e.value == pytest.approx(truth, rel=tolerance)
    assert reading.rate == pytest.approx(2 / truth, rel=tolerance)


EDGES = {
    "gradient descent": (lambda p: torch.optim.SGD(p, lr=0.01), 2.0),
    "heavy ball": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), 3.8),
    "heavy ball, dampened": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.5), 7.6),
    "Nesterov": (lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True), 3.8 / 2.8),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_edge_is_where_the_optimizer_itself_turns_from_converging_to_diverging(name):
    """In one dimension: 2000 steps just below end smaller than they began, just above larger."""
    make, factor = EDGES[name]
    edge = Sharpness()(quadratic([4.0], make)).rate
    assert edge == pytest.approx(factor / 4.0, rel=1e-9)
    for proportion, shrinks in ((0.99, True), (1.01, False)):
        settings = {k: v for k, v in make([nn.Parameter(torch.zeros(1))]).defaults.items() if k != "lr"}
        b, d, nesterov = settings["momentum"], settings["dampening"], settings["nesterov"]
        x, v = 1.0, 0.0
        for step in range(2000):
            g = 4.0 * x
            v = g if step == 0 else b * v + (1 - d) * g
            x -= proportion * edge * (g + b * v if nesterov else v)
            if abs(x) > 1e12:
                break
        assert (abs(x) < 1) is shrinks


def test_adams_edge_is_the_published_38_over_lambda_p():
    point = quadratic(SPECTRA["positive"], lambda p: torch.optim.Adam(p, lr=1e-3))
    h, x = torch.as_tensor(SPECTRA["positive"]), flat(point.parameters, point.parameters)
    truth = float((h / ((h * x).abs() + 1e-8)).max())
    reading = PreconditionedSharpness(1e-4)(point)
    assert reading.value == pytest.approx(truth, rel=1e-4)
    assert reading.rate == pytest.approx(38 / truth, rel=1e-4)
    assert Sharpness()(point).rate is None, "the Hessian's own edge is not Adam's"


def test_group_multipliers_precondition_and_frozen_groups_have_no_curvature():
    x, y, z = (nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(3))
    model = nn.ParameterList([x, y, z])
    groups = [{"params": [x]}, {"params": [y], "lr": 0.01}, {"params": [z], "lr": 0.0}]
    point = Point(
        model=model,
        optimizer=torch.optim.SGD(groups, lr=0.1),
        batch=torch.tensor([4.0, 30.0, 1000.0], dtype=torch.float64),
        loss_fn=lambda m, h: 0.5 * sum(a * p.square().sum() for a, p in zip(h, m, strict=True)),
    )
    plain, seen = Sharpness()(point), PreconditionedSharpness()(point)
    assert (plain.value, plain.rate) == (pytest.approx(30.0), None)
    assert (seen.value, seen.rate) == (pytest.approx(4.0), pytest.approx(0.5))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_eta_c_of_a_quadratic_is_two_over_the_curvature_along_the_update(seed, scale):
    """Row 13: within 1/16, in at most 12 forward passes, from the optimizer's own rate up to a factor 100 away."""
    rng = np.random.default_rng(seed)
    spectrum = scale * rng.lognormal(0, 1.5, 30)
    guess = rng.choice([0.01, 1, 100])
    point = quadratic(spectrum, lambda p: torch.optim.SGD(p, lr=0.1))
    h, x = torch.as_tensor(spectrum), flat(point.parameters, point.parameters)
    g = h * x
    truth = 2 * float(g @ g / (g @ (h * g)))
    passes = []
    loss_fn = point.loss_fn
    point.loss_fn = lambda m, b: (passes.append(torch.is_grad_enabled()), loss_fn(m, b))[1]
    e = CriticalRate(guess=guess * truth)(point).estimate
    assert passes.count(False) <= 12 and passes.count(True) <= 1, "forward passes, and one gradient"
    assert e.low <= truth * (1 + 1e-9) and truth <= e.high * (1 + 1e-9)
    assert 1 - e.low / e.high <= 1 / 16
    assert UpdateCurvature()(point).rate == pytest.approx(truth, rel=1e-4)
    assert GradientCurvature()(point).rate == pytest.approx(truth, rel=1e-4)


def network(loss: str, optimizer, *, width: int = 256, depth: int = 3, seed: int = 0, samples: int = 256) -> Point:
    """ReLU network with He weights on digits; mean squared error as half the squared distance per sample."""
    (x, y), _ = load()
    x, y = x[:samples], y[:samples]
    with isolated_randomness():
        torch.manual_seed(seed)
        sizes = [64, *[width] * (depth - 1), 10]
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b, bias=False), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        for module in model:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    target = F.one_hot(y, 10).float() if loss == "mse" else y
    fn = (lambda z, t: 0.5 * (z - t).square().sum(1).mean()) if loss == "mse" else F.cross_entropy
    return Point(model=model, optimizer=optimizer(model.parameters()), batch=(x, target), loss=fn)


@pytest.mark.parametrize("seed", range(3))
def test_adams_one_shot_is_within_a_quarter_of_the_line_search(seed):
    """Row 14: mean squared error, width 256, 3 weight layers."""
    point = network("mse", lambda p: torch.optim.Adam(p, lr=1e-3), seed=seed)
    one_shot, searched = AdamOneShot()(point).value, CriticalRate()(point).value
    assert one_shot == pytest.approx(searched, rel=0.25)


def test_eta_c_times_lambda1_is_in_the_measured_range_of_mean_squared_error():
    """2.6-3.6 at width 256 and above, against 2 on a quadratic: eta_c is not 2 / lambda1."""
    point = network("mse", lambda p: torch.optim.SGD(p, lr=1e-3))
    assert 2.2 <= CriticalRate()(point).value * Sharpness()(point).value <= 4.5


def test_networks_agree_with_a_dense_hessian_also_where_it_is_mostly_negative():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randint(2, (20,))
    for sign in (1.0, -1.0):  # the negated loss: more curvature below zero than above
        loss = lambda z, t, sign=sign: sign * F.cross_entropy(z, t)
        point = Point(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), batch=(x, y), loss=loss)
        matrix = point.hessian()
        values = torch.linalg.eigvalsh(torch.stack([matrix(e) for e in torch.eye(matrix.dimension, dtype=torch.float64)]))
        assert Sharpness(1e-6)(point).value == pytest.approx(float(values[-1]), rel=1e-6)
        if sign < 0:
            assert abs(float(values[0])) > 2 * float(values[-1])
    gauss_newton = GaussNewtonSharpness(1e-6)(point)
    assert gauss_newton.ok and gauss_newton.value <= 1e-9, "minus a positive matrix"
    assert gauss_newton.rate is None


def noisy(dimension: int, samples: int, noise: float, seed: int) -> Point:
    """Per-sample gradients G + noise with |G| = 1: the loss is linear in the parameters."""
    generator = torch.Generator().manual_seed(seed)
    gradients = noise * torch.randn(samples, dimension, generator=generator, dtype=torch.float64)
    gradients[:, 0] += 1
    model = nn.ParameterList([nn.Parameter(torch.ones(dimension, dtype=torch.float64))])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Point(model=model, optimizer=optimizer, batch=gradients, loss_fn=lambda m, z: (z @ m[0]).mean())


@pytest.mark.parametrize("seed", range(4))
def test_the_noise_scale_of_a_known_covariance(seed):
    """Row 18: within 10 %; tr Sigma = 1000 x 0.02 and |G|^2 = 1."""
    reading = NoiseScale()(noisy(1000, 512, 0.02**0.5, seed))
    assert reading.value == pytest.approx(20, rel=0.1)
    assert reading.parts["trace_of_covariance"] == pytest.approx(20, rel=0.05)
    assert reading.parts["gradient_squared"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_the_interval_of_the_noise_scale_covers(noise):
    """90 % nominal, 80 seeds; one-sided answers count by their side."""
    truth = 30 * noise**2
    inside = 0
    for seed in range(80):
        e = NoiseScale()(noisy(30, 128, noise, seed)).estimate
        inside += e.low <= truth and (e.high is None or truth <= e.high)
    assert 62 <= inside <= 80


def test_pure_noise_gives_a_lower_bound_and_no_value():
    point = noisy(50, 256, 1.0, 0)
    point.batch = point.batch.clone()
    point.batch[:, 0] -= 1
    e = NoiseScale()(point).estimate
    assert e.value is None and "noise" in e.reason


def test_update_ratios_are_those_of_the_step_by_hand():
    point = quadratic([1.0, 3.0], lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    x = flat(point.parameters, point.parameters)
    g = torch.tensor([1.0, 3.0], dtype=torch.float64) * x
    reading = UpdateRatios()(point)
    assert reading.value == pytest.approx(float(0.01 * g.norm() / x.norm()), rel=1e-12)
    assert UpdateRatios(lr=0.1)(point).value == pytest.approx(10 * reading.value, rel=1e-9)
