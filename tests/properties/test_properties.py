"""Properties that hold for any input."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar import Criterion, Lane
from etastar.core import LaneStatus, Until
from etastar.core.batch import map_tensors
from etastar.core.data import stream
from etastar.core.data_forms import make_batches
from etastar.core.lane import quantise
from etastar.designs.best_rate.climb import Climb
from etastar.engine.recorder import Recorder
from etastar.problems.optimizers import parse_settings

rates = st.floats(1e-9, 1e9)
losses = st.lists(st.floats(0.01, 10.0) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=60)


@given(rates)
def test_quantised_rates_are_fixed_points_within_a_quarter_percent(lr):
    q = quantise(lr)
    assert quantise(q) == q and abs(math.log10(q / lr)) <= 0.00051


@given(losses, st.sampled_from(Until))
@settings(max_examples=200, deadline=None)
def test_a_recorder_never_succeeds_after_a_non_finite_loss_nor_without_its_window(values, until):
    lane = Lane(0.1, 0, len(values), Criterion(window=10), until)
    recorder = Recorder(lane)
    for value in values:
        if not recorder.report(value):
            break
    outcome = recorder.outcome()
    seen = values[: outcome.steps]
    assert outcome.steps == len(seen) and (recorder.done or outcome.steps == len(values))
    if not all(math.isfinite(v) for v in seen):
        assert outcome.status is LaneStatus.DIVERGED
    if outcome.trained:
        window = seen[-min(10, len(values)) :]
        assert sum(window) / len(window) <= 0.8 * seen[0] + 1e-12
        assert outcome.reached is not None and outcome.reached >= min(10, len(values))
    assert [e.step1 - e.step0 for e in outcome.epochs] == [outcome.steps]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_every_sample_at_most_once_and_only_the_last_batch_is_dropped(size, batch_size, seed):
    if batch_size > size:
        return
    batches = make_batches({"i": torch.arange(size)}, batch_size)
    seen = torch.cat([b["i"] for b in batches.epoch(seed, 0)])
    assert len(seen) == size - size % batch_size == len(set(seen.tolist()))
    endless = stream(batches, seed)
    first = [next(endless)["i"] for _ in range(3 * (size // batch_size))]
    again = stream(batches, seed)
    assert all(torch.equal(a, next(again)["i"]) for a in first)


KIDS = lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=2), kids, max_size=3)


@given(st.recursive(st.integers(0, 3), KIDS, max_leaves=8))
def test_map_tensors_keeps_the_shape_of_any_batch(tree):
    def build(node):
        if isinstance(node, int):
            return torch.full((node,), float(node))
        return {k: build(v) for k, v in node.items()} if isinstance(node, dict) else [build(v) for v in node]

    doubled = map_tensors(lambda t: 2 * t, build(tree))
    assert repr(map_tensors(lambda t: t / 2, doubled)) == repr(build(tree))


@given(st.floats(-4, 1), st.floats(0.2, 1.0), st.floats(0.1, 3.0), st.floats(-2, 2))
def test_a_climb_finds_the_minimum_of_a_parabola_wherever_it_begins(best, spacing, curvature, off):
    climb = Climb(best + off, spacing, 40)
    while wanted := climb.ask():
        for x in wanted:
            climb.tell(x, min(-1.0 + curvature * (x - best) ** 2, 0.0))
    moved = Climb(best + off + 1, spacing, 40)
    for x, score in climb.scores.items():
        moved.tell(x + 1, score)
    if climb.learned and climb.bracketed:
        assert abs(climb.vertex() - best) <= spacing / 2 + 1e-9
        assert math.isclose(moved.vertex(), climb.vertex() + 1, abs_tol=1e-9)
        low, high = climb.plateau(0.1)
        assert low <= climb.best <= high


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
        st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
        max_size=4,
    )
)
def test_settings_survive_being_written_and_read(values):
    assert parse_settings(",".join(f"{k}={v!r}" for k, v in values.items()), "set") == values
