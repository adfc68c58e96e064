"""Pictures that are drawn anew with every build: an answer's page, and the shapes of the schedules."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import altair as alt
import pandas as pd
import vl_convert

import etastar
from etastar.policies.named import SCHEDULES, policy_over
from etastar.policies.policy import rates_over
from etastar.problems import builder
from etastar.reports.page import VEGA_LITE

STEPS = 200


def write(folder: Path) -> None:
    """`find.png`, the loss against the rate; `schedules.svg`, all that read nothing; `schedule.png`, one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    _answer(folder)
    (folder / "schedules.svg").write_text(drawn(steady()))
    (folder / "schedule.png").write_bytes(vl_convert.svg_to_png(drawn(["one-cycle"]), scale=2))


def _answer(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        answer = etastar.find(builder("digits-mlp")(), options=etastar.Options(store=":memory:"))
        etastar.report(answer, place)
        shutil.copy(Path(place) / "best.png", folder / "find.png")


def steady() -> list[str]:
    """The policies that are functions of the step."""
    return [name for name, policy in SCHEDULES.items() if not policy.reads]


def drawn(names: list[str]) -> str:
    """A small chart for each policy, as SVG: rate over its peak against the step."""
    table = [
        {"policy": name, "step": step, "rate": float(rate)}
        for name in names
        for step, rate in enumerate(rates_over(policy_over(name, STEPS), 1.0, STEPS))
    ]
    line = alt.Chart(pd.DataFrame(table)).mark_line(color="#1f5fa8")
    axes = {"x": alt.X("step:Q", title=None), "y": alt.Y("rate:Q", title=None)}
    chart = line.encode(**axes).properties(width=150, height=70).facet(alt.Facet("policy:N", title=None), columns=4)
    return vl_convert.vegalite_to_svg(chart.configure(background="white").to_dict(), vl_version=VEGA_LITE)
