"""Psi: every closed form by hand, and the loss it sees."""

from __future__ import annotations

import math

import pytest
import torch

from etastar import ProblemError
from etastar.policies import Observation
from etastar.policies.policy import rates_over
from etastar.policies.psi import BEGINS, FITTED, MEMORY, Psi

S, E = 0.85, -0.7
BY_HAND = {
    "trapezoid": ((-0.2, 1.1, 0.6, 0.4, 0.3), math.exp(-0.2) * (0.15 / 0.6) ** 1.1),
    "hold": ((-0.2, 1.1, 0.6), math.exp(-0.2) * (0.15 / 0.6) ** 1.1),
    "power": ((0.1, 2.0), math.exp(0.1) * 0.15**2),
    "exponential": ((0.1, 2.0), math.exp(0.1 - 2 * 0.85)),
    "inverse": ((0.1, 0.2, 1.5), math.exp(0.1) / (1 + 0.85 / 0.2) ** 1.5),
    "trapezoid-of-loss": ((-0.2, 1.1, 0.6, 0.4, 0.3, 0.5), math.exp(-0.2) * (0.15 / 0.6) ** 1.1 * math.exp(-0.7) ** 0.5),
    "saturating": ((0.1, 2.0, -1.0), math.exp(0.1) * 0.15**2 * math.exp(-0.7) / (math.exp(-0.7) + math.exp(-1.0))),
    "loss-alone": ((0.1, 0.5), math.exp(0.1) * math.exp(-0.7) ** 0.5),
}


@pytest.mark.parametrize("form", BY_HAND)
def test_a_form_is_its_formula(form: str) -> None:
    numbers, value = BY_HAND[form]
    assert float(Psi(form, numbers, steps=100).factor(85, E)) == pytest.approx(value, rel=1e-12)


def test_the_trapezoid_warms_up_holds_and_decays() -> None:
    level, fall, decay, rise, warmup = FITTED
    rates = [float(rate) for rate in rates_over(Psi(steps=100), 1.0, 100)]
    assert rates[0] == pytest.approx(math.exp(level) * (BEGINS / (warmup + BEGINS)) ** rise)
    assert rates[20:36] == pytest.approx([math.exp(level)] * 16)
    assert rates[90] == pytest.approx(math.exp(level) * (0.1 / decay) ** fall)


def test_it_sees_the_mean_of_the_loss_in_units_of_the_first() -> None:
    policy = Psi("loss-alone", (0.0, 1.0), steps=200)
    losses = [[2.0, 4.0], [1.0, 4.0], [0.5, 1.0], [0.25, math.nan]]
    state, mean = policy.init(torch.tensor([0.1, 0.2], dtype=torch.float64)), [2.0, 4.0]
    for step, row in enumerate(losses):
        rate, state = policy.step(Observation(step, {"loss": torch.tensor(row, dtype=torch.float64)}), state)
        kept = 1 - 1 / (MEMORY * 200)
        mean = row if step == 0 else [kept * m + (1 - kept) * loss for m, loss in zip(mean, row, strict=True)]
        expected = [0.1 * mean[0] / 2.0, 0.2 * (1.0 if math.isnan(mean[1]) else mean[1] / 4.0)]
        assert rate.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"form": "sine"}, "psi: form is 'sine'; expected one of trapezoid, hold"),
        ({"form": "power"}, r"psi: numbers are \[?\(?\)?\]?; the form power expects 2: level, fall"),
        ({"numbers": (1.0,)}, "the form trapezoid expects 5: level, fall, decay, rise, warmup"),
    ],
)
def test_what_is_no_form_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        Psi(**settings)


def test_without_a_horizon_there_is_no_rate() -> None:
    with pytest.raises(ProblemError, match=r"no horizon yet; call policy\.over\(steps\) first"):
        Psi().factor(0)
