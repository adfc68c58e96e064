"""Psi: every closed form by hand, and the loss it sees."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from etastar import ProblemError
from etastar.policies import Observation
from etastar.policies.named import policy_over
from etastar.policies.policy import rates_over
from etastar.policies.psi import BEGINS, FITTED, MEMORY, Psi
from etastar.policies.psi_network import (
    AT,
    EARLY,
    FEATURES,
    HIGHEST,
    LONGER,
    LOWEST,
    NUMBERS,
    SEEN,
    SLEW,
    UNTIL,
    USUAL,
    VERSION,
    PsiNetwork,
    features,
    remembered,
)
from etastar.policies.psi_weights import PsiWeights

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


CALM = {"loss": 1.0, "smoothed_loss": 1.0, "grad_cosine": 0.0, "update_norm": 0.01, "param_norm": 1.0}


def driven(policy: PsiNetwork, steps: int, **changed: float) -> list[float]:
    """Rates of a training in which all looks are alike."""
    state, rates = policy.init(0.1), []
    for step in range(steps):
        rate, state = policy.step(Observation(step, {**CALM, **changed}), state)
        rates.append(float(rate))
    return rates


@pytest.mark.parametrize("steps", [1, 2, 24, 100])
def test_the_network_without_numbers_is_the_closed_form(steps: int) -> None:
    """Also over trainings that are shorter than its looks are many."""
    rates = driven(PsiNetwork((0.0,) * len(NUMBERS)).over(steps), steps)
    assert rates == pytest.approx([0.1 * Psi(steps=steps).share(step) for step in range(steps)], rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 24, 100])
def test_a_path_that_is_usual_or_shorter_changes_nothing_and_a_longer_one_lowers_the_rate(steps: int) -> None:
    """As it is shipped: at a right peak, or at one that is too low, it is the closed form."""
    own, form = PsiNetwork().over(steps), [0.1 * Psi(steps=steps).share(step) for step in range(steps)]
    assert driven(own, steps, update_norm=1e-9) == pytest.approx(form, rel=1e-12)
    wild = driven(own, steps, update_norm=10.0)
    assert wild[0] == form[0]  # nothing has moved yet
    assert all(a < b for a, b in zip(wild[own.every :], form[own.every :], strict=True))


def test_a_long_path_is_let_go_on_while_the_loss_falls() -> None:
    """Where the loss stands still the rate is lowered; where it falls by a fifth from look to look, it is not."""
    own, form = PsiNetwork().over(100), [0.1 * Psi(steps=100).share(step) for step in range(100)]
    stands = driven(own, 100, update_norm=0.03)
    assert all(a < 0.9 * b for a, b in zip(stands[20:], form[20:], strict=True))
    state, falls = own.init(0.1), []
    for step in range(100):
        loss = 0.95**step
        rate, state = own.step(Observation(step, {**CALM, "update_norm": 0.03, "loss": loss, "smoothed_loss": loss}), state)
        falls.append(float(rate))
    assert falls[20:] == pytest.approx(form[20:], rel=1e-12)


def test_the_path_by_hand() -> None:
    """What the parameters went, look by look, and what is left at the rates of the closed form from now on."""
    policy = PsiNetwork((1.0, 1.0, *(0.0,) * (len(NUMBERS) - 2))).over(100)
    state, updates = policy.init(0.1), {0: math.nan, 4: 0.05, 8: 0.02}
    for step in range(9):
        _, state = policy.step(Observation(step, {**CALM, "update_norm": updates.get(step, 0.0), "param_norm": 5.0}), state)
    shares = [Psi(steps=100).share(step) for step in range(101)]
    usual = USUAL + LONGER * math.log(100 / AT)
    first = math.log(4 * 0.05 / 5 + 0.05 / 5 / shares[3] * sum(shares[4:])) - usual - EARLY * math.exp(-0.04 / UNTIL)
    a = min(max(-first, -SLEW), SLEW)
    now = 0.02 / 5 / shares[7] / math.exp(a) * sum(shares[8:])
    second = math.log(4 * 0.05 / 5 + 4 * 0.02 / 5 + now) - usual - EARLY * math.exp(-0.08 / UNTIL)
    assert float(state["path"]) == pytest.approx(4 * 0.07 / 5)
    assert float(state["a"]) == pytest.approx(min(max(-second, a - SLEW), a + SLEW))


def test_what_the_network_sees_beside_the_path_by_hand() -> None:
    policy = PsiNetwork().over(100)
    one = {"loss": 2.0, "smoothed_loss": 2.0, "grad_cosine": math.nan, "update_norm": math.nan, "param_norm": 5.0}
    two = {"loss": 0.9, "smoothed_loss": 1.0, "grad_cosine": 0.25, "update_norm": 0.05, "param_norm": 5.0}
    state = policy.init(0.1)
    for look in (one, two):
        seen = {name: torch.tensor(value, dtype=torch.float64) for name, value in look.items()}
        state = remembered(seen, state, 4)
    own = dict(zip(FEATURES, map(float, features(seen, state)), strict=True))
    slow = math.log(2) + (math.log(1.0) - math.log(2)) / 6
    wanted = {"one": 1.0, "noise": math.log(0.1 + 1e-3) + 2, "convergence": min(4 * slow, 1.5), "fallen": -math.log(2)}
    assert own == pytest.approx({**wanted, "agreement": 0.25})


def test_the_network_never_jumps_and_never_leaves_its_limits() -> None:
    policy, factors = PsiNetwork((9.0, 9.0, 0.0, -1.0, 0.0, 9.0, 9.0, 0.0)).over(250), []
    generator = torch.Generator().manual_seed(0)
    state = policy.init(1.0)
    for step in range(250):
        seen = {name: torch.rand((), generator=generator, dtype=torch.float64).exp() for name in SEEN}
        if step % 40 == 20:
            seen["loss"] = torch.tensor(math.nan if step % 80 == 20 else math.inf, dtype=torch.float64)
        rate, state = policy.step(Observation(step, seen), state)
        factors.append(math.log(float(rate) / policy.prior.share(step)))
    assert min(factors) < -0.9 and max(factors) > 0.9, "else nothing was tried"
    assert all(LOWEST - 1e-12 <= a <= HIGHEST + 1e-12 for a in factors)
    assert max(abs(b - a) for a, b in pairwise(factors)) <= SLEW + 1e-12


def test_numbers_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"psi-network: numbers are .*; expected 8: high, low, dead, one, .* psi train"):
        PsiNetwork((1.0, 2.0))
    kept = PsiWeights(VERSION, tuple(0.1 * i for i in range(8)))
    kept.write(path := tmp_path / "weights.json")
    assert policy_over(f"psi-network:weights={path}", 50) == PsiNetwork(kept.numbers).over(50)
    PsiWeights("another", kept.numbers).write(path)
    with pytest.raises(
        ProblemError, match=r"holds weights of version another, and this one, \w+, sees other features; train"
    ):
        PsiNetwork(weights=str(path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, r"there is no file .*; expected weights, as etastar psi train --weights .* makes"),
        ("[1, 2", r"holds no weights \(.*\); expected a file that psi train made"),
        ("{}", "holds no weights; expected a file that psi train made"),
        (
            f'{{"version": "{VERSION}", "numbers": [], "evolutions": {{}}}}',
            r"evolutions that did not end; the same .* goes on",
        ),
    ],
)
def test_files_without_weights_are_refused(text: str | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ProblemError, match=sentence):
        PsiNetwork(weights=str(path))
