"""Policies made of the question itself: the rate that a predictor promises most of, and a closed form without a horizon."""

from __future__ import annotations

import math

import pytest
import torch

from etastar import ProblemError
from etastar.policies import Observation
from etastar.policies.psi import averaged, fallen
from etastar.policies.psi_argmax import HIDDEN, MULTIPLES, NETWORK, UNITS, PsiArgmax, promised
from etastar.policies.psi_open import LEAST, LOOK, WARMUP, PsiOpen
from etastar.testing import check_policy

NUMBERS = tuple(math.sin(k + 1) for k in range(NETWORK))


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    "policy",
    [
        PsiArgmax(("1", "s*a", "e*a", "a*a"), (0.1, -1.0, 0.5, -0.3)).over(25),
        PsiArgmax((), NUMBERS).over(25),
        PsiOpen(0.5, 20.0),
        PsiOpen(0.5, 20.0, 0.5, floor=0.1),
        PsiOpen(power=1.0, sees="valid_loss"),
    ],
    ids=lambda policy: f"{type(policy).__name__} {policy.reads}",
)
def test_they_keep_the_contract_of_policies(policy) -> None:
    check_policy(policy)


def test_the_network_is_three_inputs_eight_units_and_an_output() -> None:
    s, e, a = 0.3, -1.2, 0.7
    inputs = [unit * x for unit, x in zip(UNITS, (s, e, a), strict=True)]
    units = []
    for h in range(HIDDEN):
        weights = [NUMBERS[i * HIDDEN + h] for i in range(3)]
        bias = NUMBERS[3 * HIDDEN + h]
        units.append(math.tanh(sum(w * x for w, x in zip(weights, inputs, strict=True)) + bias))
    by_hand = sum(NUMBERS[4 * HIDDEN + h] * unit for h, unit in enumerate(units)) + NUMBERS[-1]
    said = promised((), vector(*NUMBERS), *(vector(x)[0] for x in (s, e, a)))
    assert float(said) == pytest.approx(by_hand, rel=1e-12)


def test_the_best_multiple_is_found_for_every_lane_by_looking_at_all() -> None:
    policy, e = PsiArgmax(("e*a", "a*a"), (1.0, -0.5)), vector(-3.0, -1.0, 0.2, 1.0)
    by_hand = [max(MULTIPLES, key=lambda m, own=own: own * math.log(m) - math.log(m) ** 2 / 2) for own in e.tolist()]
    assert policy.best(0.5, e).tolist() == by_hand
    assert [float(policy.best(0.5, own)) for own in e] == by_hand


def test_a_predictor_that_does_not_see_the_rate_leaves_the_peak() -> None:
    assert float(PsiArgmax(("1", "s"), (1.0, 1.0)).best(0.3, vector(-1.0)[0])) == 1.0


def test_it_looks_25_times_at_the_mean_loss() -> None:
    policy = PsiArgmax(("e*a", "a*a"), (1.0, -0.5)).over(100)
    state, mean, rates, expected = policy.init(0.1), vector(math.nan)[0], [], []
    for step in range(100):
        loss = vector(2.0 * math.exp(-0.02 * step))[0]
        rate, state = policy.step(Observation(step, {"loss": loss}), state)
        mean = averaged(mean, loss, 1, 100)
        if step % 4 == 0:
            expected.append(0.1 * float(policy.best(step / 100, fallen(mean, vector(2.0)[0]))))
        rates.append(float(rate))
    assert rates[::4] == expected == rates[3::4]
    assert len(set(rates)) > 3


def test_an_open_form_is_its_formula() -> None:
    policy, state = PsiOpen(0.5, 20.0, 2.0, floor=0.5), None
    for step, loss in enumerate([2.5] * 30 + [1.5, 0.5, 0.4]):
        state = policy.init(vector(0.1, 0.2)) if state is None else state
        rate, state = policy.step(Observation(step, {"smoothed_loss": vector(loss, math.nan)}), state)
        time = min(1.0, (step + 1) / WARMUP) / math.sqrt(1 + step / 20)
        assert rate.tolist() == pytest.approx([0.1 * time * max((loss - 0.5) / 2, LEAST) ** 2, 0.2 * time], rel=1e-12)


def test_without_a_power_it_reads_nothing_and_the_validation_loss_now_and_then() -> None:
    assert PsiOpen(0.5).reads == ()
    assert PsiOpen(power=0.5).reads == ("smoothed_loss",)
    (own,) = PsiOpen(power=0.5, sees="valid_loss").reads
    assert (own.signal, own.steps) == ("valid_loss", LOOK)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: PsiArgmax(("s*b",), (1.0,)), "psi-argmax: a factor is 'b'; expected one of 1, s, left, e, loss, a, rate"),
        (lambda: PsiArgmax(("s",), (1.0, 2.0)), "psi-argmax: numbers are .*; expected 1, one a term or weight"),
        (lambda: PsiArgmax((), (1.0,)), "psi-argmax: numbers are .*; expected 41, one a term or weight"),
        (lambda: PsiArgmax(("s",), (1.0,)).step(Observation(0, {"loss": 1.0}), {}), "psi-argmax has no horizon yet"),
        (lambda: PsiOpen(scale=0.0), "psi-open: scale is 0.0; expected a finite number > 0"),
        (lambda: PsiOpen(sees="loss"), "psi-open: sees is 'loss'; expected one of smoothed_loss, valid_loss"),
    ],
)
def test_bad_settings_are_one_sentence(make, sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        make()
