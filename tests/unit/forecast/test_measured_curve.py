"""What of a log becomes the curve: the path trained last, the loss that says most, the rate of every update."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from etastar import ProblemError
from etastar.laws.curves.blind_power import BlindPower
from etastar.verbs.forecast.measured_curve import BINS, measured
from etastar.verbs.forecast.ran import Ran, schedule_rates

N = np.arange(20, 2001, 20)


def loss(n):
    return 2 + (np.asarray(n) / 1000) ** -0.5


def table(**columns):
    return pd.DataFrame({"step": N, "lr": np.full(len(N), 1e-3), "loss": loss(N)} | columns)


def test_the_path_trained_last_counts():
    before, after = table().iloc[:60], table(loss=loss(N) - 0.1).iloc[40:]
    found = measured(pd.concat([before, after]), name="t")
    assert found.curve.losses == pytest.approx(np.where(N <= 800, loss(N), loss(N) - 0.1))
    assert "resumed at step 820: what was trained beyond it before is left out" in found.notes


def test_twenty_evaluations_are_taken_before_training_losses():
    for every, kind, shifted in ((5, "validation", 0), (6, "validation", 100 - 17), (50, "training", 0)):
        evaluated = np.where(np.arange(len(N)) % every == 0, loss(N) + 0.2, np.nan)
        found = measured(table(val_loss=evaluated), name="t").curve
        assert (found.kind, found.shifted.sum()) == (kind, shifted)
    assert measured(table(val_loss=loss(N) + 0.2), name="t", loss="loss").curve.kind == "training"


def test_few_evaluations_and_training_losses_are_fitted_together_at_the_level_of_the_evaluations():
    rng = np.random.default_rng(3)
    evaluated = np.where(np.isin(N, (400, 800, 1200, 1600, 2000)), loss(N) + 0.2, np.nan)
    noisy = loss(N) * (1 + 0.02 * rng.standard_normal(len(N)))
    found = measured(table(loss=noisy, val_loss=evaluated), name="t")
    both, evaluations = found.curve, ~np.isnan(evaluated)
    assert both.losses[~both.shifted] == pytest.approx(evaluated[evaluations]) and len(both.steps) == len(N)
    guess = np.median((evaluated - noisy)[evaluations])
    assert both.losses[both.shifted] == pytest.approx((noisy + guess)[~evaluations])
    assert "5 evaluation losses and 95 training losses are fitted together" in "; ".join(found.notes)
    law = BlindPower.fit([both])
    off = lambda offset: abs(offset - 0.2)
    assert off(guess - law.coefficients[2]) < off(guess) / 3
    assert law.values(np.full(2000, 1e-3), [2000])[0] == pytest.approx(loss(2000) + 0.2, abs=0.012), "two standard errors"


def test_dense_training_losses_are_binned_without_lag():
    n = np.arange(1, 60_001)
    rng = np.random.default_rng(0)
    rates = np.minimum(1.0, (60_000 - n + 1) / 30_000)
    noisy = loss(n) * (1 + 0.05 * rng.standard_normal(len(n)))
    curve = measured({"step": n, "lr": rates, "loss": noisy}, name="t").curve
    assert BINS * 0.9 <= len(curve.steps) <= BINS and curve.kind == "training"
    late = curve.steps > 5000
    assert np.mean(curve.losses[late] / loss(curve.steps[late]) - 1) == pytest.approx(0, abs=1e-3), (
        "a bin stands at its middle"
    )
    assert curve.weights.std() < 0.6 * curve.weights.mean()


def test_spikes_are_masked_and_listed_and_changes_of_level_are_told():
    spiky = loss(N).copy()
    spiky[[30, 55]] += 1.0
    found = measured(table(loss=spiky), name="t")
    assert not {620, 1120} & set(found.curve.steps.tolist()) and len(found.curve.steps) == len(N) - 2
    assert "2 spikes masked, at step 620, 1120" in found.notes
    shifted = loss(N) + 0.15 * (N > 1200)
    (told,) = [note for note in measured(table(loss=shifted), name="t").notes if "changes its level" in note]
    assert "at about step 12" in told and "from_step=12" in told
    assert not [note for note in measured(table(), name="t").notes if "level" in note or "spike" in note]
    stepped = table(lr=np.where(N > 1200, 1e-4, 1e-3), loss=loss(N) - 0.15 * (N > 1200))
    assert not [note for note in measured(stepped, name="t").notes if "level" in note], "the rate explains it"


def test_a_loss_that_ends_as_no_number_ends_the_curve():
    broken = np.where(N > 1500, np.nan, loss(N))
    found = measured(table(loss=broken), name="t")
    assert found.curve.steps[-1] == 1500 and "the loss is no number after step 1500; the curve ends there" in found.notes


def test_rates_are_those_of_the_log_or_those_that_are_said_to_have_run():
    ran = Ran("warmup-cosine:warmup=0.02,floor=0.1", 6e-4, 4000)
    found = measured(table().drop(columns="lr"), name="t", ran=ran)
    assert found.curve.rates == pytest.approx(ran.rates[:2000]) and len(found.planned) == 4000
    assert found.curve.warmup == 79 and ran.rates[-1] == pytest.approx(0.6e-4, rel=1e-3)
    warmed = measured(table(), name="t", warmup=20).curve
    assert warmed.rates[:20] == pytest.approx(1e-3 * np.arange(1, 21) / 20)


def test_a_log_that_begins_late_at_its_largest_rate_may_hide_a_warmup():
    late, said = table().iloc[20:], "the log begins at step 420, at its largest rate"
    assert said in "; ".join(measured(late, name="t").notes)
    for clear in (measured(late, name="t", warmup=100), measured(table(), name="t")):
        assert "the log begins" not in "; ".join(clear.notes)


def test_groups_in_a_fixed_ratio_are_one():
    both = table(**{"lr/head": np.linspace(1, 0.1, len(N)), "lr/body": 0.1 * np.linspace(1, 0.1, len(N))}).drop(columns="lr")
    assert "rate from 'lr/head'" in "; ".join(measured(both, name="t").notes)
    both["lr/body"] = 0.1
    with pytest.raises(ProblemError, match="'lr/head' and 'lr/body' change apart, and a law follows one"):
        measured(both, name="t")


def test_steps_may_be_tokens_samples_or_epochs():
    plain = measured(table(), name="t").curve
    for column, each in (("tokens", 524_288), ("train/samples", 64), ("epoch", 1 / 500), ("step", 4)):
        counted = table().drop(columns="step").assign(**{column: N * each})
        found = measured(counted, name="t", step=column, per_step=each)
        assert (found.curve.steps.tolist(), found.curve.rates.tolist()) == (plain.steps.tolist(), plain.rates.tolist())
        assert f"'{column}' counted in updates of {each:g}" in found.notes


def test_a_batch_that_changes_is_refused_until_the_log_counts_from_there():
    sizes = np.where(N > 800, 128, 64)
    for ramp in ({"batch_size": sizes}, {"tokens": np.cumsum(sizes * 20 * 512)}):
        with pytest.raises(ProblemError, match=r"the batch changes 1 time, last from .* by step 820; .*\(from_step=820\)"):
            measured(table(**ramp), name="t")
        found = measured(table(**ramp), name="t", from_step=820)
        assert found.curve.steps[0] == 820 and len(found.curve.rates) == 2000
        assert any(note.startswith("the batch changes 1 time") and "noise follows the batch" in note for note in found.notes)
    uneven = np.cumsum(20 * 64 * np.random.default_rng(0).integers(400, 512, len(N)))
    one_odd = np.where(N == 800, 32, 64)
    for steady in ({"batch_size": 64}, {"batch_size": one_odd}, {"tokens": N * 64 * 512}, {"tokens": uneven}):
        assert not [note for note in measured(table(**steady), name="t").notes if "batch" in note]


@pytest.mark.parametrize(
    ("source", "given", "sentence"),
    [
        (table(step=N * 1e6), {}, "goes to update 2e\\+09 by 'step'; if it counts tokens or samples, say how many"),
        (table().rename(columns={"step": "tokens"}), {}, "counts in 'tokens', and a law in updates; say how many an update"),
        (table(step=N / 500).rename(columns={"step": "epoch"}), {}, "counts in parts of 'epoch', .* e.g. 0.001 for 1,000"),
        (table().drop(columns="lr"), {}, "the log has no learning rate; name its column .* or say what ran"),
        (table().drop(columns="step"), {}, "no column of steps among lr, loss; name it"),
        (table().drop(columns="loss"), {}, "no column of losses among step, lr; name it"),
        (table(), {"loss": "accuracy"}, "the log has no column 'accuracy' for the loss; it has step, lr, loss"),
        (table(loss=[f"{x:.2f}%" for x in loss(N)]), {}, r"holds '9.07%', which is no number; divide by 100"),
        (table(loss=-loss(N)), {}, "has a loss of -9.0.* laws need losses > 0"),
        (table(loss=np.where(N == 1000, np.inf, loss(N))), {}, "has a loss of inf at step 1000"),
        (table().iloc[:3], {}, "has 3 losses from step 0 on; a curve needs at least 4"),
        (table(), {"from_step": 1980}, "has 2 losses from step 1980 on"),
        (table().iloc[::-1], {}, "the steps fall from 2000 to 20; sort the rows by step"),
        (pd.concat([table(), table(loss=loss(N) + 1)]).sort_values("step", kind="stable"), {}, "two runs mixed"),
        (table().sample(frac=1, random_state=0), {}, "two runs mixed, or rows out of order"),
        (table(lr=np.nan), {}, "the log has no learning rate"),
        (table(lr=-1.0), {}, "no list of finite numbers >= 0"),
        (table(), {"ran": Ran("cosine", 0.1, 500)}, "goes to step 2000 and the schedule that ran to 500"),
        (table(), {"warmup": 500}, "the warm-up of 500 updates ends after the first logged rate"),
    ],
)
def test_logs_that_cannot_be_forecast_are_refused_in_a_sentence(source, given, sentence):
    with pytest.raises(ProblemError, match=sentence):
        measured(source, name="mine", **given)


def test_a_schedule_that_reacts_has_no_rates_beforehand():
    from catalog import BackOff

    with pytest.raises(ProblemError, match="reacts to what it reads, which nobody knows beforehand"):
        schedule_rates(BackOff(), 0.1, 10)
    with pytest.raises(ProblemError, match="lr is 0; expected a learning rate > 0"):
        Ran("cosine", 0, 10)
