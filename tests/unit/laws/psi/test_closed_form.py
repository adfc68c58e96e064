"""Closed forms of the ideal rate: fits find the truth, ratios resample what they should."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from etastar import Criterion, Lane, ProblemError
from etastar.core.lane import LaneStatus, Outcome, StepRow
from etastar.laws.psi.closed_form import ClosedForm, log_factors
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.fork import state_of
from etastar.laws.psi.ideal import Ideal
from etastar.policies.psi import FORMS, Psi

TRUTHS = {
    "trapezoid": (-0.3, 1.1, 0.6, 0.4, 0.3),
    "hold": (-0.3, 1.1, 0.6),
    "power": (-0.2, 1.5),
    "exponential": (-0.2, 2.5),
    "inverse": (0.2, 0.4, 1.5),
    "trapezoid-of-loss": (-0.3, 1.1, 0.6, 0.4, 0.3, 0.5),
    "saturating": (0.4, 1.0, -1.5),
    "loss-alone": (0.2, 0.6),
}


def states(form: str, noise: float = 0.0, cut: float = math.inf) -> list[Ideal]:
    """Ideal rates of a form, at many shares of the steps and losses; those beyond `cut` are only known to be above it."""
    rng, found = random.Random(0), []
    for k in range(20):
        for s in (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95):
            e = -2.5 * s * rng.uniform(0.3, 1.5)
            exact = float(log_factors(form, TRUTHS[form], [s], [e])[0]) + noise * rng.gauss(0, 1)
            found.append(Ideal(f"t{k}", f"g{k % 3}", "linear", s, e, min(exact, cut), int(exact > cut)))
    return found


@pytest.mark.parametrize("form", TRUTHS)
def test_a_fit_finds_the_numbers_its_states_were_made_of(form: str) -> None:
    law = ClosedForm.fit(states(form), form)
    assert law.numbers == pytest.approx(TRUTHS[form], abs=2e-3)
    assert law.decades(states(form)) < 1e-3


def test_states_whose_best_lies_beyond_pull_from_one_side() -> None:
    cut = math.log(0.6)
    blind = [Ideal(i.task, i.group, i.path, i.s, i.eps, i.log_factor, 0) for i in states("hold", cut=cut)]
    assert ClosedForm.fit(states("hold", cut=cut), "hold").numbers[0] >= cut - 1e-6
    assert ClosedForm.fit(blind, "hold").numbers[0] == pytest.approx(cut, abs=1e-3)


def test_a_prediction_covers_states_like_those_of_the_fit() -> None:
    law = ClosedForm.fit(states("trapezoid", noise=0.4), "trapezoid")
    assert law.scatter == pytest.approx(0.4, rel=0.2)
    inside = [law.predict(i.s, i.eps) for i in states("trapezoid", noise=0.4)]
    wanted = [math.exp(i.log_factor) for i in states("trapezoid", noise=0.4)]
    covered = sum(p.low <= w <= p.high for p, w in zip(inside, wanted, strict=True)) / len(wanted)  # type: ignore[operator]
    assert covered == pytest.approx(0.9, abs=0.06)
    assert law.predict(1.0).status.value == "outside-the-law"


def test_its_policy_gives_what_it_predicts() -> None:
    law = ClosedForm.fit(states("trapezoid-of-loss"), "trapezoid-of-loss")
    policy = law.policy().over(100)
    assert isinstance(policy, Psi)
    assert float(policy.factor(30, -0.8)) == pytest.approx(law.predict(0.3, -0.8).require(), rel=1e-3)


def test_too_few_states_are_refused() -> None:
    with pytest.raises(ProblemError, match="11 states were forked; a closed form needs 12 or more: fork more tasks"):
        ClosedForm.fit(states("hold")[:11], "hold")


def test_every_form_has_a_truth_here() -> None:
    assert TRUTHS.keys() == FORMS.keys()


def test_a_ratio_is_a_geometric_mean_over_tasks_whose_interval_resamples_groups() -> None:
    rng = random.Random(1)
    tasks = {}
    for g in range(8):
        of_group = rng.gauss(0, 0.2)
        for f in range(3):
            arm = tuple(math.exp(math.log(0.9) + of_group + rng.gauss(0, 0.01)) for _ in range(4))
            tasks[f"{g}/{f}"] = (f"f{f}", f"g{g}", arm, (1.0,) * 4)
    ratio = Ratio.of(tasks)
    logs = [sum(map(math.log, arm)) / 4 for _, _, arm, _ in tasks.values()]
    estimate = ratio.mean()
    assert estimate.require() == pytest.approx(math.exp(sum(logs) / len(logs)), rel=1e-12)
    assert math.log(estimate.high / estimate.low) == pytest.approx(2 * 1.645 * 0.2 / 8**0.5, rel=0.4)  # type: ignore[operator]
    assert sum(ratio.record) == 24


def test_a_broken_lane_counts_two_nats_and_no_more() -> None:
    ratio = Ratio.of({"a": ("f", "g", (math.inf, 1e-9), (1.0, 1.0)), "b": ("f", "g", (1.0, 1.0), (math.inf, 1.0))})
    assert ratio.by_task == {"a": pytest.approx(1.0), "b": pytest.approx(math.exp(-1.0))}


def test_two_broken_lanes_are_alike() -> None:
    assert Ratio.of({"a": ("f", "g", (math.inf, 2.0), (math.inf, 2.0))}).by_task == {"a": 1.0}


def test_the_state_at_a_fork_is_the_mean_loss_and_how_fast_it_falls() -> None:
    losses = [2.0 * math.exp(-0.01 * t) for t in range(200)]
    trace = tuple(StepRow(t, 0.1, loss) for t, loss in enumerate(losses))
    outcome = Outcome(Lane(0.1, 0, 200, Criterion()), LaneStatus.TRAINED, 1, 200, 2.0, 1.0, trace=trace)
    eps, convergence = state_of(outcome, 100)
    assert eps == pytest.approx(-1.0 + 0.05, abs=0.01)  # the mean looks back six steps, five behind on average
    assert convergence == pytest.approx(0.01, rel=1e-3)
    broken = replace(outcome, trace=trace[:51])
    assert state_of(broken, 100) == state_of(outcome, 50)
    assert state_of(outcome, 0) == (0.0, pytest.approx(math.nan, nan_ok=True))
