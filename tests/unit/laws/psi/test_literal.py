"""The question to the letter: rows of logs, what is fitted to them, and what ideal rates vary with."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from etastar import Criterion, Lane, ProblemError
from etastar.core.lane import LaneStatus, Outcome, StepRow
from etastar.laws.psi.fork import fallen_losses
from etastar.laws.psi.literal import Observed, confounded, observed
from etastar.laws.psi.literal_fits import KINDS, error_of, fitted, searched
from etastar.laws.psi.shares import shares_of_variance
from etastar.policies import Constant, Schedule
from etastar.policies.policy import Policy, rates_over
from etastar.policies.psi import averaged, fallen


def run(policy: Policy, steps: int = 200, until: int | None = None, fall: float = 0.01) -> Outcome:
    """A lane whose loss falls by a share of what is left at each step, whatever its rate."""
    rates = list(rates_over(policy, 0.2, steps))[:until]
    trace = tuple(StepRow(t, rate, 2.0 * math.exp(-fall * t)) for t, rate in enumerate(rates))
    return Outcome(Lane(0.2, 0, steps, Criterion()), LaneStatus.SLOW, None, len(trace), 2.0, 1.0, trace=trace)


def test_the_loss_of_a_log_is_averaged_as_the_policies_average_theirs() -> None:
    outcome = run(Constant(), steps=100, fall=0.03)
    mean, first = torch.tensor(math.nan, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    for (step, e), row in zip(fallen_losses(outcome), outcome.trace, strict=True):
        mean = averaged(mean, torch.tensor(row.loss, dtype=torch.float64), 1, 100)
        assert (step, e) == (row.step, pytest.approx(float(fallen(mean, first)), abs=1e-12))


def test_a_row_is_a_tenth_of_the_steps_and_what_followed() -> None:
    rows = observed(run(Schedule(decay=1.0).over(200)), 0.1, "t", "g")
    assert [row.s for row in rows] == pytest.approx([i / 10 for i in range(10)])
    assert rows[3].a == pytest.approx(math.log(2 * (1 - 0.35)), abs=1e-9)  # twice the peak, in the middle of the tenth
    assert [row.gain for row in rows[2:-1]] == pytest.approx([0.2] * 7, abs=1e-3)
    assert rows[5].e == pytest.approx(-1.0 + 0.05, abs=0.01)


def test_a_broken_run_has_the_rows_of_its_whole_tenths() -> None:
    assert len(observed(run(Constant(), until=75), 0.1, "t", "g")) == 3


def test_decaying_logs_confound_rate_and_time_and_constant_ones_do_not() -> None:
    decaying = [row for m in (0.5, 1, 2) for row in observed(run(Schedule(decay=1.0).over(200)), 0.1 * m, "t", "g")]
    constant = [row for m in (0.5, 1, 2) for row in observed(run(Constant()), 0.1 * m, "t", "g")]
    assert confounded(decaying) < -0.7
    assert confounded(constant) == pytest.approx(0.0, abs=1e-9)


def rows_of(gain, noise: float = 0.0, count: int = 900) -> list[Observed]:
    rng = random.Random(3)
    found = []
    for k in range(count):
        s, e, a = rng.random(), -3 * rng.random(), rng.uniform(-2.5, 1.2)
        found.append(Observed(f"t{k % 9}", f"g{k % 3}", s, e, a, gain(s, e, a) + noise * rng.gauss(0, 1)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_promise_leads_to_the_rate_that_was_best(kind: str) -> None:
    best = lambda s: -1.4 * s  # ln(rate / peak)
    rows = rows_of(lambda s, e, a: 0.3 - 0.1 * (a - best(s)) ** 2, noise=0.01)
    policy = fitted(rows, kind)
    assert error_of(policy, rows_of(lambda s, e, a: 0.3 - 0.1 * (a - best(s)) ** 2)) < 0.15
    for s in (0.1, 0.5, 0.9):
        chosen = math.log(float(policy.best(s, torch.tensor(-1.0, dtype=torch.float64))))
        assert chosen == pytest.approx(best(s), abs=0.55)  # the grid's rates are .35 apart


def test_a_curve_finds_the_numbers_it_was_made_of() -> None:
    policy = fitted(rows_of(lambda s, e, a: 0.2 - 0.1 * a * a + 0.15 * s * a), "curve")
    found = dict(zip(policy.terms, policy.numbers, strict=True))
    assert found["a*a"] == pytest.approx(-0.1, rel=0.02)
    assert found["s*a"] == pytest.approx(0.15, rel=0.05)
    assert found["e*e"] == pytest.approx(0.0, abs=2e-3)


def test_a_search_finds_the_terms_of_a_formula() -> None:
    assert set(searched(rows_of(lambda s, e, a: 0.3 * s * math.exp(a), noise=1e-3))[:1]) == {"s*rate"}


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ProblemError, match="59 rows were logged; a promise is fitted to 60 or more: log more runs"):
        fitted(rows_of(lambda s, e, a: a, count=59), "curve")


def test_shares_find_the_variances_a_table_was_made_of() -> None:
    rng = np.random.default_rng(0)
    task, s, seed = rng.normal(size=(40, 1, 1, 1)), rng.normal(size=(1, 30, 1, 1)), rng.normal(size=(40, 30, 3, 2))
    pair = rng.normal(size=(40, 30, 1, 1))
    found = shares_of_variance(2 * task + s + pair + seed + np.zeros((1, 1, 3, 1)), ("task", "s", "path"))
    parts = [4 * task.var(), s.var(), pair.var(), seed.var()]
    expected = [part / sum(parts) for part in parts]
    assert [found[name] for name in ("task", "s", "task x s", "seed")] == pytest.approx(expected, abs=0.03)
    assert all(abs(found[name]) < 0.01 for name in ("path", "task x path", "s x path", "more"))
    assert sum(found.values()) == pytest.approx(1.0)


def test_noise_alone_has_no_shares() -> None:
    table = np.random.default_rng(1).normal(size=(12, 6, 2))
    found = shares_of_variance(table, ("task", "s"))
    assert found["seed"] == pytest.approx(1.0, abs=0.15)
    assert shares_of_variance(np.ones((2, 2, 2)), ("task", "s")) == {}
