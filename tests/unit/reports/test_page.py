"""The page says what the answer says, whatever is in it, and needs nothing but itself."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import etastar
from etastar.core.flags import FLAGS
from etastar.core.groups import Group
from etastar.core.lane import LaneStatus
from etastar.problems import builder
from etastar.reports import parts
from etastar.reports.loss_rows import MAX_ROWS, loss_rows
from etastar.reports.page import render, render_page, report
from etastar.reports.rate_text import rate_text

COARSE = etastar.Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1)
HOSTILE = '<script>alert(1)</script><!-- "&'


class Page(HTMLParser):
    """What a browser would find: text outside scripts, addresses, and the chart specs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.addresses, self.specs, self.scripts = "", [], {}, 0
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        self.scripts += tag == "script"
        self._inside = attributes.get("data-chart", tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside is None:
            self.text += data
        elif self._inside.startswith("chart-"):
            self.specs[self._inside.removeprefix("chart-")] = json.loads(data)


def with_runs(answer, runs):
    return replace(answer, band=replace(answer.band, runs=etastar.Runs(runs)))


def _page(answer) -> Page:
    return Page(render(answer))


def _rows(spec) -> list[dict]:
    return [row for rows in spec["datasets"].values() for row in rows] + [
        row for layer in spec["layer"] for row in layer.get("data", {}).get("values", [])
    ]


@pytest.fixture(scope="module")
def answer():
    options = etastar.Options(store=":memory:")
    return etastar.find(builder("noisy-quadratic")(), effort="glance", precision=COARSE, options=options)


@pytest.fixture(scope="module")
def no_answer():
    def train(lr, seed, report):
        while report(loss=1.0):  # nothing moves at any rate
            pass

    problem = etastar.Problem.from_loop(train, steps=12, lr=0.1)
    return etastar.find(problem, effort="glance", precision=COARSE, options=etastar.Options(store=":memory:"))


@pytest.fixture(scope="module")
def page(answer):
    return _page(answer)


def test_files_are_written_and_pictures_are_pictures(answer, tmp_path):
    index = report(answer, tmp_path / "made" / "here")
    assert index == tmp_path / "made" / "here" / "index.html"
    expected = {"best", "success-band", "edge", "endings", "losses"}
    assert {p.stem for p in index.parent.glob("*.png")} == {p.stem for p in index.parent.glob("*.svg")} == expected
    for name in expected:
        assert (index.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert (index.parent / f"{name}.svg").read_text().startswith("<svg")
    links = [a for a in Page(index.read_text(encoding="utf-8")).addresses if a]
    assert len(links) == 10
    assert all((index.parent / link).is_file() for link in links)


def test_nothing_is_fetched_and_the_library_is_there_once(page):
    assert not [a for a in page.addresses if ":" in a or a.startswith("//")]
    assert page.scripts == 1 + len(page.specs) + 1


def test_verdict_numbers_and_flags_are_said(answer, page):
    text = " ".join(page.text.split())
    assert answer.summary in text
    assert rate_text(answer.lr.value, 2) in text
    for value in (answer.eta_star.value, answer.eta_star.low, answer.eta_star.high, answer.yours.lr):
        assert rate_text(value) in text
    assert answer.flags
    for flag in answer.flags:
        assert FLAGS[flag] in text
    assert answer.band.criterion.sentence() in text
    assert f"{answer.cost['gradient_steps']:,} gradient steps" in text


def test_every_rate_and_its_ending_is_in_the_band_chart(answer, page):
    rows = [r for r in _rows(page.specs["success-band"]) if "ended" in r or "counts" in r]
    assert sorted(r["lr"] for r in rows) == sorted(r.lr for r in answer.band.rates)
    trained = {r.lr for r in answer.band.rates if r.trained == r.runs}
    assert {r["lr"] for r in rows if r["p"] >= 1} == trained


def test_counts_of_several_lanes_carry_their_wilson_interval(answer):
    first = answer.band.rates[0]
    rates = (replace(first, runs=10, trained=5, slow=5, diverged=0, dead=0), *answer.band.rates[1:])
    spec = _page(replace(answer, band=replace(answer.band, rates=rates))).specs["success-band"]
    (row,) = [r for r in _rows(spec) if "counts" in r]
    assert row["counts"] == "5 of 10 trained"
    assert (row["low"], row["high"]) == pytest.approx((0.2693, 0.7307), abs=1e-4)


def test_the_curve_is_the_answers_own(answer, page):
    rows = [r for r in _rows(page.specs["success-band"]) if set(r) == {"lr", "p", "low", "high"}]
    assert rows == [{"lr": c.lr, "p": c.p, "low": c.low, "high": c.high} for c in answer.band.curve]


def test_bars_count_the_lanes_of_the_scan(answer, page):
    rows = _rows(page.specs["endings"])
    scan = answer.band.runs[: answer.band.scan_runs]
    assert sum(r["lanes"] for r in rows) == answer.band.scan_runs
    for status in LaneStatus:
        assert sum(r["lanes"] for r in rows if r["ended"] == status) == sum(o.status is status for o in scan)


def test_loss_chart_has_every_lane_within_altairs_limit(answer, page):
    rows = [r for r in _rows(page.specs["losses"]) if "step" in r]
    assert {r["lane"] for r in rows} == set(range(len(answer.band.runs)))
    assert len(rows) <= MAX_ROWS + len(answer.band.runs)  # and one end mark a lane
    assert all(math.isfinite(r["loss"]) for r in rows)


def test_thinning_spares_short_lanes_and_keeps_both_ends(answer):
    long, short = (max(answer.band.runs, key=lambda o: len(o.trace)), min(answer.band.runs, key=lambda o: len(o.trace)))
    assert len(short.trace) < 30 < len(long.trace)
    most = len(long.trace) + len(short.trace) - 10
    rows = loss_rows([long, short], max_rows=most)
    by_lane = [[r for r in rows.points if r["lane"] == i] for i in (0, 1)]
    assert len(rows.points) == most
    assert len(by_lane[1]) == len(short.trace)
    assert (by_lane[0][0]["step"], by_lane[0][-1]["step"]) == (long.trace[0].step, long.trace[-1].step)


def test_non_finite_losses_are_drawn_at_the_top_and_never_written(answer):
    def broken(outcome, losses):
        trace = tuple(replace(row, loss=x) for row, x in zip(outcome.trace, losses, strict=False))
        return replace(outcome, trace=trace, end_loss=math.nan, status=LaneStatus.DIVERGED)

    runs = list(answer.band.runs)
    runs[0] = broken(runs[0], [1.0, math.inf, math.nan, 1.0])
    runs[1] = replace(broken(runs[1], [math.nan, math.nan]), first_loss=math.nan)
    runs[2] = broken(runs[2], [1.0, 1e300])
    rows = [r for r in _rows(_page(with_runs(answer, runs)).specs["losses"]) if "step" in r]
    top = max(r["loss"] for r in rows)
    assert top == pytest.approx(10 * answer.band.criterion.reference(max(o.first_loss for o in answer.band.runs)))
    assert [r["loss"] for r in rows if r["lane"] == 0] == [1.0, top, top]  # its end mark is the last
    assert not [r for r in rows if r["lane"] == 1]
    assert [r["loss"] for r in rows if r["lane"] == 2] == [1.0, top, top]


def test_all_losses_non_finite_leaves_out_the_loss_chart_only(answer):
    runs = [replace(o, trace=tuple(replace(row, loss=math.nan) for row in o.trace)) for o in answer.band.runs]
    assert list(_page(with_runs(answer, runs)).specs) == ["best", "success-band", "edge", "endings"]


@pytest.mark.parametrize("shift", [-5.0, -0.01])
def test_negative_losses_get_a_linear_axis(answer, shift):
    runs = [replace(o, trace=tuple(replace(row, loss=row.loss + shift) for row in o.trace)) for o in answer.band.runs]
    spec = _page(with_runs(answer, runs)).specs["losses"]
    lowest = min(r["loss"] for r in _rows(spec) if "step" in r)
    scale = spec["layer"][0]["encoding"]["y"]["scale"]
    assert (scale.get("type") == "log") == (lowest > 0)
    assert scale["domain"][0] < lowest


def test_a_hostile_label_stays_text(answer):
    hostile = replace(answer, problem=HOSTILE)
    html = render(hostile)
    assert "<script>alert" not in html
    found = Page(html)
    assert HOSTILE in found.text
    assert found.scripts == 1 + len(found.specs) + 1
    assert found.specs["success-band"]["title"]["text"].startswith(HOSTILE)


def test_no_answer_is_said_first_with_what_is_known(no_answer, tmp_path):
    assert not no_answer.lr.ok and not no_answer.eta_star.ok
    index = report(no_answer, tmp_path)
    found = Page(index.read_text(encoding="utf-8"))
    text = " ".join(found.text.split())
    assert f"No answer: {no_answer.lr.status.value} {no_answer.lr.reason}" in text
    assert text.index("No answer") < text.index("Which rates start to train?")
    assert set(found.specs) == {"success-band", "endings", "losses"}
    rows = [r for r in _rows(found.specs["success-band"]) if "ended" in r or "counts" in r]
    assert len(rows) == len(no_answer.band.rates)


def test_an_answer_without_lanes_still_has_a_page(no_answer):
    band = replace(no_answer.band, rates=(), scan_runs=0, refine_runs=0, runs=etastar.Runs())
    found = _page(replace(no_answer, band=band, made=replace(no_answer.made, runs=etastar.Runs()), yours=None))
    assert not found.specs
    assert no_answer.eta_star.reason in " ".join(found.text.split())


def test_end_measurement_has_its_own_charts(answer):
    both = replace(answer, end=replace(answer.band, until=etastar.core.Until.END))
    names = [f"{n}{s}" for s in ("", "-end") for n in ("success-band", "edge", "endings", "losses")]
    assert list(_page(both).specs) == ["best", *names]


def test_the_best_rate_has_its_chart_with_every_lane(answer, page):
    rows = [r for r in _rows(page.specs["best"]) if "failed" in r]
    points = [(lr, rung.steps) for rung in answer.best.rungs for lr, _, _ in rung.points]
    assert sorted({(r["lr"], r["order"]) for r in rows}) == sorted(points)
    plain = _page(replace(answer, band=None))
    assert list(plain.specs) == ["best"] and "Which rates start to train?" not in plain.text


def test_groups_are_listed_when_there_are_several(answer, page):
    groups = (Group("body", 1.0, 10), Group("head", 10.0, 10))
    grouped = replace(answer, facts=replace(answer.facts, groups=groups))
    text = _page(grouped).text
    assert "head" in text and rate_text(10 * answer.lr.value, 2) in text
    assert "per parameter group" not in page.text


def test_a_folder_that_cannot_be_made(answer, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(etastar.ProblemError, match=r"report folder is '.*file.*below' .*expected a folder.*choose another"):
        report(answer, tmp_path / "file" / "below")


def test_a_sentence_in_a_table_is_broken_and_a_number_is_not():
    """A sentence that was not left the column beside it the width of a letter, and its row the height of the page."""
    row = ("closed form", "0.0156 .. 0.306", "a safe start as far as this rung sees", "plain ReLU networks")
    html = render_page(parts.Page("kind", "title", "summary", tables=[parts.Table("every rung:", (), (row,))]), {})
    assert '<td class="value">0.0156 .. 0.306</td><td class="note">a safe start' in html
    assert '<td class="note">plain' in html and "<h2>Every rung</h2>" in html
