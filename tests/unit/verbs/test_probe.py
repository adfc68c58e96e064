"""`etastar.probe` from Python: arguments, samples, and the answer as an object."""

from __future__ import annotations

import pytest
import torch

import etastar
from etastar import ProblemError


def test_the_answer_holds_every_reading_by_name(small):
    answer = etastar.probe(small, seed=2, tolerance=1e-3)
    sharpness = answer["lambda1"]
    assert sharpness.ok and answer.ok
    assert sharpness.estimate.high / sharpness.value - 1 == pytest.approx(1e-3, rel=0.01)
    assert (answer.samples, answer.optimizer, answer.seed, answer.dtype) == (96, "SGD", 2, "float32")
    assert answer.parameters == 6 * 16 + 16 + 16 * 3 + 3
    assert answer.summary.startswith("lambda1 = ")
    with pytest.raises(KeyError, match="no reading 'nothing'; there are lambda1"):
        answer["nothing"]


def test_samples_are_cut_to_the_number_asked_for_and_said(small):
    assert etastar.probe(small, samples=40)["lambda1"].estimate.n == 40
    assert etastar.probe(small, samples=10_000).samples == 96


def test_the_seed_of_the_problem_is_the_default(small):
    assert etastar.probe(small.but(seed=5)).readings == etastar.probe(small, seed=5).readings
    assert etastar.probe(small).readings != etastar.probe(small, seed=5).readings


def test_sgds_readings_scale_with_the_loss_and_adams_critical_rate_does_not(small):
    base, loss = {}, small.loss
    for scale in (1.0, 100.0):
        for name, optimizer in (("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam)):
            problem = small.but(
                loss=lambda o, t, scale=scale: scale * loss(o, t),
                optimizer=lambda m, optimizer=optimizer: optimizer(m.parameters(), lr=0.1),
            )
            answer = etastar.probe(problem, dtype=torch.float64, tolerance=1e-4)
            base.setdefault(name, []).append((answer["lambda1"].value, answer["eta_c"].value, answer["noise scale"].value))
    for name, factor in (("SGD", 100), ("Adam", 1)):
        (lambda1, eta_c, noise), (scaled_lambda1, scaled_eta_c, scaled_noise) = base[name]
        assert scaled_lambda1 == pytest.approx(100 * lambda1, rel=1e-3)
        assert scaled_eta_c == pytest.approx(eta_c / factor, rel=1e-3)
        assert scaled_noise == pytest.approx(noise, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 1.5}, "samples is 1.5"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"dtype": torch.int64}, "dtype is torch.int64"),
        ({"tolerance": 2}, "tolerance is 2"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_arguments_out_of_range(arguments, message, small):
    with pytest.raises(ProblemError, match=message):
        etastar.probe(small, **arguments)
