"""Pictures that are drawn anew with every build: an answer's page, and the shapes of the schedules."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

STEPS = 200


def write(folder: Path) -> None:
    """`find.svg`, the loss against the rate, and `schedules.svg`, what reads nothing by name."""
    folder.mkdir(parents=True, exist_ok=True)
    _answer(folder)
    (folder / "schedules.svg").write_text(schedules())


def _answer(folder: Path) -> None:
    import etastar
    from etastar.problems import builder

    with tempfile.TemporaryDirectory() as place:
        answer = etastar.find(builder("digits-mlp")(), options=etastar.Options(store=":memory:"))
        etastar.report(answer, place)
        shutil.copy(Path(place) / "best.svg", folder / "find.svg")


def schedules() -> str:
    """Every policy that reads nothing, as a small chart: rate over its peak against the step."""
    import altair as alt
    import pandas as pd
    import vl_convert

    from etastar.policies.named import SCHEDULES, policy_over
    from etastar.policies.policy import rates_over
    from etastar.reports.page import VEGA_LITE

    shapes = {name: policy_over(name, STEPS) for name, policy in SCHEDULES.items() if not policy.reads}
    table = [
        {"policy": name, "step": step, "rate": float(rate)}
        for name, policy in shapes.items()
        for step, rate in enumerate(rates_over(policy, 1.0, STEPS))
    ]
    line = alt.Chart(pd.DataFrame(table)).mark_line(color="#1f5fa8")
    axes = {"x": alt.X("step:Q", title=None), "y": alt.Y("rate:Q", title=None)}
    chart = line.encode(**axes).properties(width=150, height=70).facet(alt.Facet("policy:N", title=None), columns=4)
    return vl_convert.vegalite_to_svg(chart.configure(background="white").to_dict(), vl_version=VEGA_LITE)
