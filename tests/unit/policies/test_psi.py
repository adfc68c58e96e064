"""Psi: every closed form by hand, and the loss it sees."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from etastar import ProblemError
from etastar.policies import Observation
from etastar.policies.policy import rates_over
from etastar.policies.psi import BEGINS, FITTED, MEMORY, Psi
from etastar.policies.psi_network import FEATURES, HIGHEST, LOWEST, PATH, SEEN, SLEW, PsiNetwork, features, remembered

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
    holds = slice(round(100 * warmup) + 1, round(100 * (1 - decay)))
    assert rates[holds] == pytest.approx([math.exp(level)] * len(rates[holds]))
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


def test_the_network_without_numbers_is_the_closed_form() -> None:
    nothing, losses = PsiNetwork((0.0,) * 13).over(100), torch.linspace(2.0, 0.5, 100, dtype=torch.float64)
    state = nothing.init(0.1)
    for step, loss in enumerate(losses):
        seen = {"loss": loss, "smoothed_loss": loss, "grad_cosine": 0.3, "update_norm": 0.01, "param_norm": 1.0}
        rate, state = nothing.step(Observation(step, seen), state)
        assert float(rate) == pytest.approx(0.1 * Psi(steps=100).share(step), rel=1e-12)


def test_what_the_network_sees_by_hand() -> None:
    """Two looks, all features but the times from their definitions."""
    policy = PsiNetwork((0.0,) * 13).over(100)
    one = {"loss": 2.0, "smoothed_loss": 2.0, "grad_cosine": math.nan, "update_norm": math.nan, "param_norm": 5.0}
    two = {"loss": 0.9, "smoothed_loss": 1.0, "grad_cosine": 0.25, "update_norm": 0.05, "param_norm": 5.0}
    tensors = [{name: torch.tensor(value, dtype=torch.float64) for name, value in seen.items()} for seen in (one, two)]
    state = policy.init(0.1)
    rate, state = policy.step(Observation(0, tensors[0]), state)
    state = remembered(tensors[1], state)
    own = dict(zip(FEATURES, features(0.04, tensors[1], state, 100).tolist(), strict=True))
    assert own["fallen"] == pytest.approx(math.log(0.5))
    assert own["fallen late"] == pytest.approx(0.04 * math.log(0.5))
    slow = math.log(2) + (math.log(1.0) - math.log(2)) / 6
    assert own["convergence"] == pytest.approx(1.5 if 4 * slow > 1.5 else 4 * slow)
    assert own["noise"] == pytest.approx(math.log(0.1 + 1e-3) + 2)
    assert own["relative update"] == pytest.approx(math.log(0.1 / float(rate) * 0.01 * 100 / PATH) / 2)
    assert own["agreement"] == 0.25
    assert own["ramp"] == pytest.approx(math.log(0.04 / 0.2))


def test_the_network_never_jumps_and_never_leaves_its_limits() -> None:
    policy, state, factors = PsiNetwork((9.0,) + (0.0,) * 6 + (-9.0, 9.0, 9.0, 9.0, 9.0, -9.0)).over(250), None, []
    generator = torch.Generator().manual_seed(0)
    state = policy.init(1.0)
    for step in range(250):
        seen = {name: torch.rand((), generator=generator, dtype=torch.float64).exp() for name in SEEN}
        if step % 40 == 0:
            seen["loss"] = torch.tensor(math.nan if step % 80 else math.inf, dtype=torch.float64)
        rate, state = policy.step(Observation(step, seen), state)
        factors.append(math.log(float(rate) / policy.prior.share(step)))
    assert all(LOWEST - 1e-12 <= a <= HIGHEST + 1e-12 for a in factors)
    assert max(abs(b - a) for a, b in pairwise(factors)) <= SLEW + 1e-12


def test_numbers_of_another_version_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"psi-network: numbers are .*; expected 13, one a feature: those of"):
        PsiNetwork((1.0, 2.0))
