"""The pages of a surface and its kin: every cell is drawn, within the limit of rows, whatever the label."""

from __future__ import annotations

from dataclasses import replace

import pytest

import etastar
from etastar.problems import builder
from etastar.reports.page import page_of, render

OPTIONS = etastar.Options(store=":memory:", engine="loop")


@pytest.fixture(scope="module")
def answer():
    problem = builder("quadratic")(steps=20)
    return etastar.surface(problem, schedules=["constant", "linear"], horizons=[10, 20], seeds=1, options=OPTIONS)


@pytest.fixture(scope="module")
def drawn(answer) -> list[dict]:
    """Every row of the chart of losses."""
    spec = page_of(answer).charts["loss"].to_dict()
    return [row for rows in spec["datasets"].values() for row in rows]


def _page(answer) -> str:
    return render(answer)


def test_every_cell_with_a_loss_is_a_ring_and_every_lane_that_diverged_a_triangle(answer, drawn):
    rings = sorted(r["lr"] for r in drawn if "n" in r)
    assert rings == sorted(c.lr for c in answer.data.cells if c.loss is not None)
    triangles = {r["lr"] for r in drawn if "ended" in r}  # a set: charts with equal rows share them
    assert triangles == {c.lr for c in answer.data.cells if c.diverged}
    assert len(drawn) <= 5000


def test_the_law_is_drawn_as_it_predicts(answer, drawn):
    rows = [r for r in drawn if "high" in r]
    curve = [p for b in answer.rows for p in answer.law.curve(b.schedule, b.horizon)]
    assert {(r["lr"], r["loss"]) for r in rows} == {(p.lr, p.loss) for p in curve}


def test_the_page_says_what_the_answer_says_and_escapes_the_label(answer):
    page = _page(replace(answer, problem="<script>alert(1)</script>"))
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    for words in ("Accuracy", "Reliability", "Time", answer.choice, f"{answer.cost['gradient_steps']:,} gradient steps"):
        assert words in page


def test_no_answer_is_said_first_and_lanes_are_still_drawn(answer):
    none = etastar.Estimate.none(etastar.Status.EDGE_OF_RANGE, "measure further", low=1.0)
    page = _page(replace(answer, lr=none))
    assert "No answer: edge-of-range" in page and "measure further" in page and "chart-loss" in page


def test_an_answer_without_lanes_still_has_a_page():
    options = etastar.Options(store=":memory:", engine="loop", max_seconds=1e-6)
    stopped = etastar.surface(builder("quadratic")(steps=20), options=options)
    assert stopped.lr.status is etastar.Status.NOT_MEASURED and not page_of(stopped).charts
    assert "No answer: not-measured" in _page(stopped)


def test_another_object_has_no_page(tmp_path):
    with pytest.raises(etastar.ProblemError, match="got a int; expected one of FindAnswer"):
        etastar.report(3, tmp_path)  # type: ignore[arg-type]
