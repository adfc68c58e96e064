"""The tour: its trainings against a plain loop, its comparisons against numbers known, and all of it once, slowly."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cli_harness import run_here
from etastar.core.estimate import Estimate, Status
from etastar.problems.digits import digits_mlp, digits_stream, load, shaken
from etastar.reports.page import write_page
from etastar.tour.pages import index_page, watch_page
from etastar.tour.runs import APART, LOOK, WatchedRun, logged, watched
from etastar.tour.tour import STOPS, Stop, forecast_held, predicted

SMALL = digits_mlp(depth=1, width=8, batch_size=64, steps=2 * LOOK)


def test_a_logged_run_is_a_plain_loop(tmp_path: Path) -> None:
    end = logged(SMALL, "linear", 0.1, tmp_path / "run.jsonl")
    torch.manual_seed(0)
    model = SMALL.parts.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    (x, y), valid = SMALL.train, SMALL.valid
    for step in range(SMALL.steps):
        index = slice(64 * (step % 23), min(64 * (step % 23) + 64, len(x)))
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / SMALL.steps)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
        optimizer.step()
    assert end == pytest.approx(torch.nn.functional.cross_entropy(model(valid[0]), valid[1]).item(), rel=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, SMALL.steps + 1))
    assert [row["step"] for row in rows if "valid_loss" in row] == [LOOK, 2 * LOOK]
    assert rows[10]["lr"] == pytest.approx(0.1 * 0.75)


def test_to_heed_a_warning_is_to_go_back_and_on_at_a_share_of_the_rate() -> None:
    problem = digits_mlp(depth=1, width=16, batch_size=64)
    alone, heeded = (watched(problem, "wsd:warmup=0.9,decay=0.1", 3.0, 60, 0.125, heeded=heeded) for heeded in (False, True))
    assert alone.warned == heeded.warned and alone.warned is not None
    at = alone.warned[0]
    back = at - at % APART
    assert APART <= at < 60 and "this rate will diverge" in alone.warned[1]
    before = [pair for pair in heeded.rates[: at + 1] if pair[0] < at]
    assert before == alone.rates[:at] and heeded.losses[:at] == alone.losses[:at]
    after = dict(heeded.rates[at:])
    expected = {step: 0.125 * rate for step, rate in alone.rates if step >= back}
    assert after == pytest.approx(expected)


def test_the_stream_is_the_digits_shifted_and_noisy() -> None:
    (x, y), _ = load()
    moved, labels = shaken(x[:8], y[:8], copies=4, seed=3)
    assert sorted(labels.tolist()) == sorted(4 * y[:8].tolist())
    wide = torch.nn.functional.pad(x[:8].view(8, 8, 8), (1, 1, 1, 1), value=float(x[:8].min()))
    shifts = torch.stack([wide[:, i : i + 8, j : j + 8].flatten(1) for i in range(3) for j in range(3)]).flatten(0, 1)
    residual = (moved[:, None] - shifts[None]).square().mean(2).min(1).values.sqrt()
    assert residual.min() > 0.35 and residual.max() < 0.65, "each is one of the nine shifts and noise of 0.5"
    problem = digits_stream()
    assert len(problem.train[0]) >= problem.steps * 32, "every batch is fresh"


def test_what_was_said_is_held_to_what_came_after() -> None:
    said = SimpleNamespace(lr=Estimate(0.2, 0.1, 0.3), eta_star=Estimate(1.0, 0.5, 2.0))
    found: Any = SimpleNamespace(lr=Estimate(0.1, 0.1, 0.1), eta_star=Estimate(0.4, 0.3, 0.5))
    sentence = "predict's start, 0.2, is 2 x the rate found; eta*, 0.4, lies outside of the 0.5 .. 2 it expected"
    assert predicted(said, found) == sentence  # pyright: ignore[reportArgumentType]
    found.eta_star = Estimate.none(Status.NEVER_SUCCEEDS, "none")
    assert predicted(said, found) == sentence.partition(";")[0]  # pyright: ignore[reportArgumentType]
    answer: Any = SimpleNamespace(asked=SimpleNamespace(end=Estimate(1.0, 0.9, 1.1)))
    assert forecast_held(answer, 1.05).endswith("in the interval")
    assert forecast_held(answer, 1.2).endswith("outside of the interval")


def test_the_page_links_every_stop(tmp_path: Path) -> None:
    run = WatchedRun(False, [(i, 2.0) for i in range(40)], [(i, 0.1) for i in range(40)], (20, "step 20: too high"), 0.1)
    answer = (run, replace(run, heeded=True, accuracy=0.9))
    stops = [Stop(verb, f"{verb} x", "Why?", "found it", "held", answer, 1.0) for verb in STOPS]
    page = write_page(index_page(stops), tmp_path).read_text()
    assert [f'<a href="{verb}/index.html">{verb}</a>' in page for verb in STOPS] == [True] * 5
    drawn = watch_page(*answer)
    assert set(drawn.charts) == {"losses", "rates"} and drawn.summary == "Step 20: too high."


@pytest.mark.slow
def test_the_tour_shows_five_verbs_and_links_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_here("demo", "--report", "tour", "--json", "tour.json")
    assert ran.code == 0, ran.err
    index = Path("tour/index.html").read_text()
    links = re.findall(r'<h2><a href="([^"]+)"', index)
    assert links == [f"{verb}/index.html" for verb in STOPS]
    assert all(Path("tour", link).exists() for link in links)
    stops = json.loads(Path("tour.json").read_text())["stops"]
    assert [stop["verb"] for stop in stops] == list(STOPS)
    assert all(stop["answer"]["summary"] == stop["found"] for stop in stops if stop["answer"])
    assert "held to it: accuracy 0.1" in ran.out
    alone, heeded = map(float, re.findall(r"accuracy ([\d.]+) left alone, ([\d.]+) where", ran.out)[0])
    assert alone < 0.3 and heeded > 0.6
