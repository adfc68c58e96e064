"""`python -m benchmarks.bakeoff`: curves, our searches, the peers, scores, record. What is there is not made again.

--small: one task, one optimizer, one schedule, as a check that all parts work; --score: only score what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bakeoff import bars, curves, ours
from benchmarks.bakeoff.score import Score, by_task, lr_free, paired, scores, summary
from benchmarks.bakeoff.tasks import HORIZONS, TASKS
from benchmarks.bakeoff.truth import finished

RECORDS = Path(__file__).parents[1] / "records"
OURS = "etastar quick (3.2)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    if options.small:
        combination = ("mlp3", "momentum", "constant")
        curves.train(*combination)
        ours.keep(ours.search(combination, ["mlp3/momentum/constant"], ours.known()))
    elif not options.score:
        curves.train_all(list(TASKS))
        ours.search_all(list(TASKS))
        if not options.no_peers:
            subprocess.run([sys.executable, "-m", "benchmarks.bakeoff.peers"], check=True)
    found = scores()
    text = tables(found)
    print(text)
    if not options.small:
        write(found, text)


def tables(found: list[Score]) -> str:
    """The results as Markdown."""
    parts = [f"{len(finished())} combinations of task, optimizer and schedule; {len({s.case for s in found})} cases.", ""]
    for steps in HORIZONS:
        rows = summary(found, steps)
        if rows:
            parts += [f"## {steps} steps", "", method_table(rows), ""]
            head = ["against", "tasks", "difference of the share < 0.05 nats", "95 %, tasks resampled"]
            lines = [[m, n, f"{d:+.2f}", f"{low:+.2f} .. {high:+.2f}"] for m, n, d, low, high in paired(found, OURS, steps)]
            parts += [f"{OURS} minus each other method, on the cases both have:", "", *_markdown(head, lines), ""]
            parts += ["Stricter bars:", "", *_markdown(bars.HEAD, bars.bars(bars.rows_of(found), steps)), ""]
    if held := bars.coverage(found, OURS):
        head = ["task", "interval holds the middle", "Clopper-Pearson, 95 %"]
        parts += [f"## Coverage by task: {OURS}", "", *_markdown(head, held), ""]
    if lost := by_task(found, OURS):
        parts += [f"## By task: {OURS}", "", *_markdown(["task", "% < 0.05 nats", "% < 1 point"], _shares(lost)), ""]
    if free := lr_free():
        head = ["optimizer", "steps", "runs", "% < 0.05 nats of the best tuned SGD or Adam", "% failed", "median nats lost"]
        lines = [
            [r["method"], r["steps"], r["runs"], f"{r['nats']:.0%}", f"{r['failed']:.0%}", f"{r['median']:.3f}"]
            for r in free
        ]
        parts += ["## LR-free optimizers", "", *_markdown(head, lines), ""]
    return "\n".join(parts)


def method_table(rows: list[dict[str, Any]]) -> str:
    """One line a method, cheapest first."""
    head = ["method", "cases x seeds", "full runs", "% < 0.05 nats", "% < 1 point", "% failed", "log10 off", "spread"]
    head += ["centre inside, 90 % Wilson", "width, decades"]
    lines = []
    for r in rows:
        inside = "" if r["held"] is None else f"{r['held']:.0%} ({r['held_interval'][0]:.0%} .. {r['held_interval'][1]:.0%})"
        lines.append(
            [
                r["method"],
                f"{r['cases']} x {r['seeds']}",
                f"{r['cost']:.2f}",
                f"{r['nats']:.0%}",
                f"{r['points']:.0%}",
                f"{r['failed']:.1%}",
                f"{r['off']:.2f}",
                "" if r["spread"] is None else f"{r['spread']:.1f}x",
                inside,
                "" if r["width"] is None else f"{r['width']:.2f}",
            ]
        )
    return "\n".join(_markdown(head, lines))


def write(found: list[Score], text: str) -> None:
    """The record: tables, one line a case and method, the settings and where it was made."""
    from benchmarks.run import environment

    folder = RECORDS / f"{datetime.now(UTC):%Y-%m-%d}_bakeoff"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"# The bake-off\n\n`make bakeoff`\n\n{text}\n")
    config = {"tasks": list(TASKS), "horizons": list(HORIZONS), "budgets": list(ours.BUDGETS), "seeds": str(ours.SEEDS)}
    (folder / "config.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
    own: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in found:
        own[one.case, one.method].append(one)
    with (folder / "results.jsonl").open("w") as file:
        for (case, method), some in sorted(own.items()):
            row = {"case": case, "method": method, "lr": [round(s.lr, 8) for s in some if s.lr == s.lr]}
            row |= {"regret": [round(s.regret, 4) for s in some if s.regret < 1e9]}
            row |= {"points": [round(s.points, 2) for s in some], "cost": round(sum(s.cost for s in some) / len(some), 3)}
            file.write(json.dumps(row) + "\n")
    plot(found, folder)


def plot(found: list[Score], folder: Path) -> None:
    """Share of good cases against cost, one panel a horizon."""
    import altair as alt
    import pandas as pd
    import vl_convert

    rows = [
        {"steps": f"{n} steps", **r, "ours": r["method"].startswith("etastar")} for n in HORIZONS for r in summary(found, n)
    ]
    frame = pd.DataFrame(rows)[["steps", "method", "cost", "nats", "ours"]].assign(cost=lambda f: f.cost.clip(lower=0.05))
    base = alt.Chart(frame).encode(
        x=alt.X("cost:Q", scale=alt.Scale(type="log"), title="gradient steps, in full runs (free: 0.05)"),
        y=alt.Y("nats:Q", axis=alt.Axis(format="%"), title="cases that lose less than 0.05 nats"),
        color=alt.Color("ours:N", legend=None, scale=alt.Scale(domain=[True, False], range=["#7b3fa0", "#52606d"])),
    )
    text = base.mark_text(align="left", dx=6, fontSize=9).encode(text="method:N")
    panel = alt.layer(base.mark_circle(size=50), text).properties(width=420, height=420)
    spec = panel.facet(column=alt.Column("steps:N", title=None)).to_dict()
    (folder / "cost.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2))


def _shares(lost: dict[str, tuple[float, float]]) -> list[list[Any]]:
    return [[task, f"{nats:.0%}", f"{points:.0%}"] for task, (nats, points) in lost.items()]


def _markdown(head: list[str], lines: list[list[Any]]) -> list[str]:
    cells = ["| " + " | ".join(map(str, line)) + " |" for line in (head, *lines)]
    return [cells[0], "|" + "---|" * len(head), *cells[1:]]


if __name__ == "__main__":
    main()
