"""The benchmark of tasks that mislead, and the bake-off's stricter bars: shares by hand, replays on known curves."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from benchmarks.bakeoff.bars import bars
from benchmarks.basins.replay import Replay
from benchmarks.basins.report import below_ceiling
from benchmarks.basins.score import CEILING, answer_row, ceiling_row, scored
from benchmarks.basins.tasks import Cell
from benchmarks.basins.text import Attends, Remembers, next_characters
from benchmarks.basins.truth import SHORT_SEEDS, TRUE, Truth
from benchmarks.shares import by_task, clopper_pearson, holm_below, over_tasks

from etastar.core.estimate import Estimate
from etastar.core.lane import Criterion, Lane, LaneStatus
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.best_rate import BestRate, Share

CELL = Cell("digits", "rmsprop", "constant", 200)
BEST = -2.5


def loss(x: float, steps: int) -> float:
    """A parabola in log10 of the rate whose loss halves with four times the steps."""
    return 2 * math.exp(-1.5 - 0.5 * math.log(steps / 200) + (x - BEST) ** 2)


def curves() -> dict:
    """Curves of that loss; the highest rate fails."""
    xs = [math.log10(lr) for lr in CELL.rates]
    keys = [(n, s) for n in (20, 50, 100) for s in SHORT_SEEDS] + [(200, s) for s in (*range(5), *TRUE)]
    row = lambda n: {"start": 2.0, "first": 2.1, "losses": [loss(x, n) for x in xs[:-1]] + [None], "train": [1.0] * len(xs)}
    return {(n, s): row(n) | {"spent": [n] * (len(xs) - 1) + [3]} for n, s in keys}


def test_shares_by_hand():
    assert by_task(["a1", "a0", "b1"], lambda c: c[0], lambda c: int(c[1])) == {"a": 0.5, "b": 1.0}
    mean, low, high = over_tasks([0.0, 1.0])
    assert (mean, low, high) == (0.5, 0.0, 1.0), "a quarter of the draws of two tasks are one task twice"
    assert clopper_pearson(0, 10)[1] == pytest.approx(1 - 0.025**0.1) and clopper_pearson(10, 10)[0] == pytest.approx(
        0.025**0.1
    )
    assert holm_below([(0, 5), (5, 5)], 0.85) == 1 and holm_below([(4, 5), (5, 5)], 0.85) == 0


def test_a_lane_is_read_off_the_curve_between_rates_and_lengths():
    replay = Replay(CELL, curves(), seed=0)
    lane = lambda x, steps: Lane(10**x, 7, steps, Criterion())
    at, between, longer, failed = replay.get_or_train(
        None, None, [lane(-2.5, 100), lane(-2.375, 100), lane(-2.5, 141), lane(-0.5, 100)]
    )
    assert at.valid_loss == pytest.approx(loss(-2.5, 100))
    assert between.valid_loss == pytest.approx(math.sqrt(loss(-2.5, 100) * loss(-2.25, 100)))
    assert longer.valid_loss == pytest.approx(loss(-2.5, 141)), "a power of the steps is a straight line"
    assert failed.status is LaneStatus.DIVERGED and failed.scored_loss is None and failed.spent == 3


def test_a_replayed_search_finds_the_best_of_its_curves():
    best = Replay(CELL, curves(), seed=0).run(BestLR(Criterion(), 200, start=0.1))
    row = scored(answer_row(CELL, "quick", 0, best), Truth.of(CELL, curves()))
    assert abs(math.log10(best.lr.require()) - BEST) < 0.2 and row["holds"] and row["cost"] <= 3.2


def test_an_answer_is_scored_by_hand():
    truth = Truth.of(CELL, curves())
    least = loss(BEST, 200)
    assert truth.best == pytest.approx(BEST) and truth.centre == pytest.approx(BEST, abs=0.01)
    off = 10 ** (BEST + 0.25)
    assert truth.regret(off) == pytest.approx(loss(BEST + 0.25, 200) - least)
    assert truth.ratio(off) == pytest.approx(math.exp(0.25**2))
    none = BestRate(Estimate(10.0**-1, 10.0**-1.2, 10.0**-0.9), None, Share(0, 0), (), "", 1.0)
    row = scored(answer_row(CELL, "quick", 0, none), truth)
    assert not row["good"] and not row["holds"] and row["width"] == pytest.approx(0.3)
    assert row["harmed"] is (truth.at(0.1) - truth.at(0.01) > 0.05) is True


def test_the_noise_ceiling_chooses_by_one_seed_and_is_scored_by_others():
    known = curves()
    row = ceiling_row(CELL, known, 0)
    assert row["lr"] == pytest.approx(10**BEST) and row["cost"] == pytest.approx((8 * 200 + 3) / 200)
    lucky = CELL.rates.index(pytest.approx(1e-3))
    known[200, 1] |= {"losses": [0.1 if i in (lucky, lucky + 1) else v for i, v in enumerate(known[200, 1]["losses"])]}
    fooled = scored(ceiling_row(CELL, known, 1), Truth.of(CELL, known))
    assert fooled["lr"] == pytest.approx(1e-3), "its neighbour a quarter of a decade away is not among the nine"
    assert fooled["regret"] == pytest.approx(loss(-3, 200) - loss(BEST, 200)) and not fooled["good"]


def test_quick_is_set_against_the_ceiling_task_by_task():
    row = lambda task, effort, good: {"task": task, "steps": 200, "effort": effort, "good": good, "close": True}
    rows = [row("a", "quick", True), row("b", "quick", False), row("b", "quick", True)]
    rows += [row("a", CEILING, True), row("b", CEILING, True)]
    assert below_ceiling(rows) == ["200 steps, < .05 nats -25 (-50 .. +0)", "200 steps, within 5 % +0 (+0 .. +0)"]


def test_harm_is_counted_against_the_default_of_the_same_case():
    rows = [
        {"case": "a/adam/constant/160", "method": "default 0.001", "regret": [0.02]},
        {"case": "b/adam/constant/160", "method": "default 0.001", "regret": [0.5]},
        {"case": "a/adam/constant/160", "method": "ours", "regret": [0.01, 0.04, 0.1, 0.025]},
        {"case": "b/adam/constant/160", "method": "ours", "regret": [0.4, 0.4, 0.4, 0.4]},
    ]
    (_, *_, default), (name, cases, near, close, harm) = bars(rows, 160)
    assert (name, cases, close, harm) == ("ours", "2", "", "25% / 12%") and default == "0% / 0%"
    assert near.startswith("38%"), "three of four in one task, none in the other"


@pytest.mark.parametrize("network", [Remembers, Attends])
def test_a_network_that_reads_knows_nothing_of_what_comes_and_learns_what_comes_next(network):
    (x, y), (held_out, after) = next_characters()
    assert torch.equal(x[:5, 1:], y[:5, :-1])
    torch.manual_seed(0)
    model = network()
    later = x[:4].clone()
    later[:, 9] = (later[:, 9] + 1) % 39
    before, changed = model(x[:4]), model(later)
    assert torch.equal(before[:, :, :9], changed[:, :, :9]) and not torch.equal(before[:, :, 9], changed[:, :, 9])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for start in range(0, 640, 8):
        optimizer.zero_grad()
        F.cross_entropy(model(x[start : start + 8]), y[start : start + 8]).backward()
        optimizer.step()
    counts = torch.bincount(y.flatten(), minlength=39) / y.numel()
    knows_how_often = F.cross_entropy(counts.log().expand(after.numel(), 39), after.flatten())
    assert F.cross_entropy(model(held_out), after) < knows_how_often - 0.1
