"""The page of a search: every trial is drawn as it ended, whatever was searched and whether there is an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import etastar
from etastar.core.flags import FLAGS
from etastar.designs.search.confirmation import Finalist
from etastar.designs.search.search_space import Space
from etastar.designs.search.trials import Trial
from etastar.problems import builder
from etastar.reports.page import page_of, render_page
from etastar.reports.parts import Page
from etastar.reports.rate_text import rate_text
from etastar.reports.search_marks import Heights

OPTIONS = etastar.Options(store=":memory:", workers=1)
COARSE = etastar.Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1)
SEVERAL = {
    "lr": {"low": 1e-3, "high": 10.0},
    "momentum": {"low": 0.0, "high": 0.9},
    "weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    "schedule": {"choices": ["constant", "warmup-cosine"]},
    "batch_size": {"choices": [16, 32]},
    "nesterov": {"choices": [False]},
}


@pytest.fixture(scope="module")
def one():
    """The rate alone, over a range at whose upper end trials diverge."""
    problem = builder("quadratic")(steps=20, curvatures=[1.0, 0.5])
    return etastar.search(problem, trials=16, space={"lr": {"low": 0.01, "high": 20.0}}, options=OPTIONS)


@pytest.fixture(scope="module")
def several():
    problem = builder("digits-mlp")(width=8, depth=1).but(steps=24)
    return etastar.search(problem, trials=40, space=SEVERAL, seeds=2, pruner="median", options=OPTIONS)


@pytest.fixture(scope="module")
def diverged():
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    problem = etastar.Problem(
        model=lambda: nn.Linear(4, 1),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=nn.functional.mse_loss,
        train=(x, x[:, :1]),
        batch_size=16,
        steps=20,
    )
    return etastar.search(problem, trials=6, space={"lr": {"low": 1e5, "high": 1e9}}, options=OPTIONS)


MADE: dict[int, tuple[Any, Page, dict[str, dict]]] = {}


def _made(answer) -> tuple[Any, Page, dict[str, dict]]:
    """An answer's page and its charts, made once for all tests that look at them: Altair takes 0.3 s for four charts."""
    if id(answer) not in MADE:
        page = page_of(answer)
        MADE[id(answer)] = (answer, page, {name: chart.to_dict() for name, chart in page.charts.items()})
    return MADE[id(answer)]


def _specs(answer) -> dict[str, dict]:
    return _made(answer)[2]


def _trials(spec) -> list[dict]:
    return [row for rows in spec["datasets"].values() for row in rows if "ended" in row]


def _page(answer) -> str:
    return " ".join(render_page(*_made(answer)[1:]).split())


def test_every_trial_is_drawn_as_it_ended(one, several):
    for answer in (one, several):
        rows = {row["trial"]: row for row in _trials(_specs(answer)["rates"])}
        assert sorted(rows) == [t.number for t in answer.trials]
        top = max(row["height"] for row in rows.values())
        for t in answer.trials:
            row = rows[t.number]
            assert (row["lr"], row["loss"]) == (t.lr, t.loss)
            expected = "failed" if t.diverged else "pruned" if t.state == "pruned" else "ran to its end"
            assert row["ended"] == expected
            assert row["height"] == (top if t.diverged else t.loss)
        assert [row["trial"] for row in rows.values() if row["best"]] == [answer.best.number]
    assert any(t.diverged for t in one.trials) and any(t.state == "pruned" for t in several.trials)


def test_the_line_is_the_lowest_loss_so_far(one):
    rows = [row for row in _trials(_specs(one)["progress"]) if row["lowest"] is not None]
    for row in rows:
        assert row["lowest"] == min(t.loss for t in one.trials[: row["trial"] + 1] if t.trained)
    assert rows[-1]["lowest"] == min(t.loss for t in one.trials if t.trained)


def test_marks_of_the_rate_lie_where_the_answer_says(one):
    found = etastar.find(builder("noisy-quadratic")(), effort="glance", precision=COARSE, options=OPTIONS)
    assert found.eta_star.ok
    for answer, names in ((one, ["best", "yours"]), (replace(one, measured=found), ["best", "eta*", "yours"])):
        rows = [row for rows in _specs(answer)["rates"]["datasets"].values() for row in rows]
        rules = {row["text"].split()[0]: row["lr"] for row in rows if "text" in row}
        assert sorted(rules) == names
        assert rules["best"] == answer.lr.value and rules["yours"] == answer.yours.lr
        assert rules.get("eta*") == answer.eta_star.value
        spans = {(row["lr"], row["end"]) for row in rows if "rug" in row}
        assert (answer.lr.low, answer.lr.high) in spans
        if answer.eta_star.ok:
            assert (answer.eta_star.low, answer.eta_star.high) in spans


def test_a_panel_for_every_parameter_that_could_vary(several):
    spec = _specs(several)["parameters"]
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["momentum", "weight_decay", "schedule", "batch_size"]
    axes = [panel["layer"][0]["encoding"]["x"] for panel in spec["concat"]]
    assert [axis["scale"].get("type") for axis in axes] == [None, "log", None, None]
    assert spec["resolve"]["scale"]["xOffset"] == "independent", "else trials lie beside their choice"
    assert axes[2]["scale"]["domain"] == ["constant", "warmup-cosine"] and axes[3]["scale"]["domain"] == ["16", "32"]
    for axis, name in zip(axes, ("momentum", "weight_decay", "schedule", "batch_size"), strict=True):
        values = {row["trial"]: row[axis["field"]] for row in _trials(spec)}
        assert [str(values[t.number]) for t in several.trials] == [str(t.params[name]) for t in several.trials]


def test_importance_is_drawn_where_it_is_known(several):
    assert "importance" not in _specs(replace(several, importance=None))
    known = replace(several, importance={"lr": 0.2, "momentum": 0.8})
    (rows,) = _specs(known)["importance"]["datasets"].values()
    assert [(row["name"], row["share"]) for row in rows] == [("momentum", 0.8), ("lr", 0.2)]


def test_the_page_says_what_the_answer_says(one, several):
    for answer in (one, several):
        page = _page(answer)
        for words in (
            answer.summary,
            FLAGS["span-not-interval"],
            answer.objective,
            rate_text(answer.lr.value),
            f"{answer.best.loss:.4g}",
            f"{answer.cost['full_runs']:.3g} full trainings",
            answer.study,
            "The best trials",
            "The space searched",
        ):
            assert words in page
    page = _page(several)
    assert "one of constant, warmup-cosine" in page and "logarithmic" in page and "pruned" in page
    assert page.count("<td") > 10 * len(several.space), "ten trials with all of their settings"


def test_the_page_shows_what_fresh_seeds_made_of_the_best_trials(one, several):
    for answer in (one, several):
        page, best = _page(answer), answer.best
        assert best.confirmed and "The best trials, trained again" in page
        cells = page.replace("> ", ">").replace(" <", "<")
        for finalist in answer.finalists:
            assert f">{finalist.trial.loss:.4g}<" in cells and f">{', '.join(f'{x:.4g}' for x in finalist.losses)}<" in cells
        low, high = best.interval
        assert f"{low:.3g} .. {high:.3g} on 3 fresh seeds; {best.trial.loss:.4g} in its trial" in page
    unconfirmed = replace(one, finalists=(), best=Finalist(one.best.trial), made=replace(one.made, flags=("unconfirmed",)))
    page = _page(unconfirmed)
    assert (
        "not confirmed on fresh seeds" in page
        and FLAGS["unconfirmed"] in page
        and "The best trials, trained again" not in page
    )


def test_an_answer_without_a_value_says_why_and_shows_its_trials(diverged):
    assert diverged.lr.status is etastar.Status.DIVERGED_EVERYWHERE
    page = _page(diverged)
    assert "No answer: diverged-everywhere" in page and diverged.lr.reason in page
    specs = _specs(diverged)
    assert list(specs) == ["rates"]
    assert [row["ended"] for row in _trials(specs["rates"])] == ["failed"] * 6
    assert not any(row["best"] for row in _trials(specs["rates"]))


def test_a_search_stopped_before_its_first_trial_has_a_page(one):
    reason = "no trial was trained before the search stopped; give it more time"
    lr = etastar.Estimate.none(etastar.Status.NOT_MEASURED, reason)
    stopped = replace(one, trials=(), best=None, lr=lr, lr_per_group=(), made=replace(one.made, flags=("search-stopped",)))
    assert not _specs(stopped)
    page = _page(stopped)
    assert "No answer: not-measured" in page and FLAGS["search-stopped"] in page and "16 planned, 0 tried" in page


def test_names_that_mean_something_to_vega_or_html_stay_text(several, tmp_path):
    def renamed(values: dict) -> dict:
        return {name.replace("momentum", "a.b[0]<script>alert(1)</script>"): value for name, value in values.items()}

    space = Space(tuple(replace(p, name=next(iter(renamed({p.name: 0})))) for p in several.space))
    trials = tuple(replace(t, params=renamed(t.params)) for t in several.trials)
    best = Finalist(next(t for t in trials if t.number == several.best.number))
    hostile = replace(several, problem="<script>alert(1)", space=space, trials=trials, best=best)
    page = etastar.report(hostile, tmp_path).read_text(encoding="utf-8")
    assert (tmp_path / "parameters.svg").read_text(encoding="utf-8").count('aria-roledescription="point"') >= 4 * len(trials)
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page


def test_many_trials_are_thinned_and_the_best_is_kept(one):
    trials = tuple(Trial(i, {"lr": 0.1}, 0.1, 1.0 + (i != 3), (1.0,), state="complete") for i in range(9000))
    many = replace(one, trials=trials, best=Finalist(trials[3]), finalists=())
    spec = _specs(many)["progress"]
    rows = _trials(spec)
    assert {row["trial"] for row in rows if row["best"]} == {3}
    assert max(len(rows) for rows in spec["datasets"].values()) <= 5000
    assert "of 9,000 trials, evenly chosen" in spec["title"]["subtitle"]


@pytest.mark.parametrize(
    ("losses", "log"), [([0.1, 10.0], True), ([1.0, 2.0], False), ([-1.0, 10.0], False), ([0.0, 1.0], False), ([], False)]
)
def test_losses_are_on_a_logarithmic_axis_where_they_are_positive_and_far_apart(losses, log):
    heights = Heights.of(losses)
    assert heights.log is log
    assert heights.at(-0.06) < heights.at(0) < heights.at(1) < heights.at(1.2)


def test_losses_next_to_nothing_still_have_an_axis():
    heights = Heights.of([1e-299, 1.0, 1e300])
    assert heights.log and all(math.isfinite(heights.at(s)) and heights.at(s) > 0 for s in (-0.06, 0.5, 1.0))
