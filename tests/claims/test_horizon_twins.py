"""What narrow twins say of long runs: prices and beliefs by hand, and a table that its rows give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from benchmarks.long_horizon.tasks import Cell
from benchmarks.long_horizon.twins import both, can_be_narrowed, flops_share, narrowed, trusted

from etastar.designs.best_rate.rate_prior import Belief

RECORD = Path(__file__).parents[2] / "benchmarks/records/2026-11-26_horizon_twins"


def test_a_twin_has_the_narrow_layers_and_its_price_is_counted_by_hand():
    with torch.random.fork_rng():
        model = narrowed(Cell("digits", "adamw", "constant"), 16).parts.model()
    weights = [p for p in model.parameters() if p.dim() == 2]
    assert [tuple(w.shape) for w in weights] == [(16, 64), (16, 16), (10, 16)]
    products = 64 * 64 + 64 * 64 + 64 * 10
    assert flops_share("digits", 16) == sum(w.numel() for w in weights) / products
    assert not can_be_narrowed("fine-tune")


def test_beliefs_by_hand():
    assert both(Belief(0.0, 1.0), Belief(3.0, 0.5)) == pytest.approx((2.4, 0.2**0.5))  # weights 1 and 4
    assert trusted(-1.0, [0.0, 1.0, 2.0]) == pytest.approx((-2.0, 1.0))


@pytest.mark.slow
def test_the_records_table_is_made_of_its_rows():
    from benchmarks.cases.horizon_twins import CASE

    rows = [json.loads(line) for line in (RECORD / "results.jsonl").read_text().splitlines()]
    assert CASE.summary(rows) in (RECORD / "README.md").read_text()


def test_the_decision_quotes_its_record():
    [path] = (RECORD.parents[2] / "docs/adr").glob("0049-*.md")
    table = (RECORD / "README.md").read_text()
    quoted = re.findall(r"[-+]?\.\d\d \[[-+]?\.\d\d, [-+]?\.\d\d\]", path.read_text())
    assert len(quoted) >= 4
    for words in quoted:
        numbers = [f"{float(x):+.2f}" for x in re.findall(r"[-+]?\.\d\d", words)]
        assert "{} [{}, {}]".format(*numbers) in table, words
