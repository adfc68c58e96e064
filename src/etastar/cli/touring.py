"""`etastar demo`: the tour."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from etastar.cli import options as of
from etastar.cli.groups import PageOptions, RunOptions
from etastar.cli.outputs import deliver
from etastar.cli.spread import spread
from etastar.verbs.envelope import head_of


@spread
def demo(*, run: RunOptions, out: PageOptions) -> None:
    """Take a tour of five verbs on one small network. Under two minutes; each is held to what comes after it."""
    from etastar.tour.tour import STOPS, tour

    console = out.console()
    options = run.options(console)
    stops = []
    if out.report is not None:
        out.report.mkdir(parents=True, exist_ok=True)
    place: Any = TemporaryDirectory() if out.report is None else nullcontext(out.report)
    with place as folder:
        for stop in tour(Path(folder), seed=run.seed, options=options):
            stops.append(stop)
            console.say(f"{len(stops)} of {len(STOPS)}, {stop.verb}: {stop.question}")
            console.say(f"  {stop.found}")
            if stop.held:
                console.say(f"  held to it: {stop.held}")

    def pages() -> None:
        if out.report is not None:
            from etastar.tour.pages import write_tour

            console.say(f"report: {write_tour(stops, out.report)}")

    told = lambda answer: answer.to_json() if hasattr(answer, "to_json") else None
    rows = [
        {"verb": s.verb, "command": s.command, "found": s.found, "held": s.held, "answer": told(s.answer)} for s in stops
    ]
    deliver(console, pages, lambda: head_of("demo") | {"stops": rows}, out.json)
    raise typer.Exit(of.EXIT_ANSWERED if len(stops) == len(STOPS) else of.EXIT_NO_ANSWER)
