"""The page in a real browser: every chart is drawn, without a network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import etastar
from etastar.problems import builder
from etastar.reports.page import report

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium browser on PATH")]


def drawn(index: Path, profile: Path) -> tuple[str, list[tuple[str, str]]]:
    """The page's body as Chromium shows it, its own scripts left out; (name, content) of each chart in it."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]  # any fetch would fail
    command += [f"--user-data-dir={profile}", "--dump-dom", index.absolute().as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    body = dom[: dom.index("<script>", dom.index("<body>"))]
    return body, re.findall(r'id="chart-([\w-]+)"(.*?)<figcaption', body, flags=re.DOTALL)


def test_chromium_draws_every_chart(tmp_path):
    options = etastar.Options(store=":memory:")
    answer = etastar.find(builder("noisy-quadratic")().but(label="<b>bold</b>"), effort="thorough", options=options)
    index = report(answer, tmp_path / "report")
    body, charts = drawn(index, tmp_path / "profile")
    bands = [f"{name}{suffix}" for suffix in ("", "-end") for name in ("success-band", "edge", "endings", "losses")]
    assert [name for name, _ in charts] == ["best", *bands]
    for name, chart in charts:
        assert "could not be drawn" not in chart, name
        assert "<svg" in chart and chart.count("<path") > 10, name
    assert "&lt;b&gt;bold&lt;/b&gt;" in body and "<b>bold" not in body
    assert answer.summary in body
    addresses = re.findall(r'(?:src|href)="([^"]*)"', body)
    assert addresses and not [a for a in addresses if a.startswith(("http", "//"))]


def test_chromium_draws_what_monitors_read(tmp_path):
    options = etastar.Options(store=":memory:")
    names = ("sharpness", "move", "norms")
    answer = etastar.find(builder("digits-mlp")(steps=60), effort="glance", monitors=names, options=options)
    body, charts = drawn(report(answer, tmp_path / "report"), tmp_path / "profile")
    assert [name for name, _ in charts] == ["best", *(f"monitor-{name}" for name in names)]
    assert "could not be drawn" not in body and all(chart.count("<path") > 10 for _, chart in charts)
    assert "edge of stability" in charts[1][1] and "module" in charts[2][1]


def test_chromium_draws_a_study(tmp_path):
    answer = etastar.studies.run_study(
        "jelassi2023depth", tmp_path / "out", effort="quick", options=etastar.Options(store=":memory:")
    )
    body, charts = drawn(answer.folder / "index.html", tmp_path / "profile")
    assert [name for name, _ in charts] == ["change"]
    assert "could not be drawn" not in body and charts[0][1].count("<path") > 10
    for conclusion in answer.conclusions:
        assert conclusion.claim.statement in body and conclusion.verdict.value in body
    addresses = re.findall(r'(?:src|href)="([^"]*)"', body)
    assert addresses and not [a for a in addresses if a.startswith(("http", "//"))]


def test_chromium_draws_a_surface(tmp_path):
    options = etastar.Options(store=":memory:")
    answer = etastar.surface(builder("noisy-quadratic")(steps=40), schedules=["constant", "linear"], options=options)
    index = report(answer, tmp_path / "report")
    _, charts = drawn(index, tmp_path / "profile")
    assert [name for name, _ in charts] == ["loss", "reliability", "time", "front"]
    for name, chart in charts:
        assert "could not be drawn" not in chart and chart.count("<path") > 10, name


def test_chromium_draws_a_search(tmp_path):
    space = {
        "lr": {"low": 1e-2, "high": 10.0},
        "momentum": {"low": 0.0, "high": 0.9},
        "schedule": {"choices": ["constant", "linear"]},
        "batch_size": {"choices": [16, 32]},
    }
    problem = builder("digits-mlp")(width=8, depth=1).but(steps=20)
    options = etastar.Options(store=":memory:")
    answer = etastar.search(problem, trials=32, space=space, sampler="random", options=options)
    index = report(answer, tmp_path / "report")
    _, charts = drawn(index, tmp_path / "profile")
    assert [name for name, _ in charts] == ["rates", "progress", "parameters", "importance"]
    for name, chart in charts:
        assert "could not be drawn" not in chart, name
        assert chart.count("<path") > (32 if name != "importance" else 4), name  # a mark a trial
