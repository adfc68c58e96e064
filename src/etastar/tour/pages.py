"""The pages of the tour: one a stop, and the one that links them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etastar.reports.page import write_page
from etastar.reports.parts import Card, Page, SectionText, Table

if TYPE_CHECKING:
    from etastar.tour.runs import WatchedRun
    from etastar.tour.tour import Stop

COLOUR, WARNED, LEFT_ALONE, HEEDED = "#0b62b0", "#b3261e", "left alone", "heeded"
HUES = {LEFT_ALONE: "#b4430a", HEEDED: "#1b7a3d"}
SMOOTHED = 20
"""Steps over which losses are averaged before they are drawn."""


def write_tour(stops: Sequence[Stop], folder: Path) -> Path:
    """Write a page a stop into a folder of its name, and the page that links them; returns the path of that."""
    for stop in stops:
        write_page(stop.page, folder / stop.verb)
    return write_page(index_page(stops), folder)


def index_page(stops: Sequence[Stop]) -> Page:
    """The verdict of every stop, with its page behind it, and what became of it."""
    cards = [Card(stop.verb, "", stop.question, f"{stop.found}.", COLOUR, link=f"{stop.verb}/index.html") for stop in stops]
    held = tuple((stop.verb, stop.held) for stop in stops if stop.held)
    asked = tuple((stop.verb, f"{stop.seconds:.1f} s", stop.command) for stop in stops)
    return Page(
        kind="Tour",
        title="Five verbs on one small network",
        summary=(
            "A 3 x 64 ReLU network on scikit-learn's digits, shifted and noisy so that every batch is fresh; 1,200 steps "
            "of SGD with momentum. Everything on these pages was measured as you started the tour."
        ),
        numbers=cards,
        tables=[Table("Held to what came after", (), held), Table("To ask again", ("verb", "took", "command"), asked)],
    )


def watch_page(alone: WatchedRun, heeded: WatchedRun) -> Page:
    """The two runs, and where the warning was given."""
    said = "No warning was given." if alone.warned is None else f"{alone.warned[1].capitalize()}."
    ends = [
        Card("Left alone", f"{alone.accuracy:.2f}", "validation accuracy", "The rate went on rising.", HUES[LEFT_ALONE]),
        Card(
            "Heeded", f"{heeded.accuracy:.2f}", "validation accuracy", "Gone back, and on at the rate found.", HUES[HEEDED]
        ),
    ]
    captions = {
        "losses": f"Training loss, means of {SMOOTHED} steps; dashed: where the warning was given.",
        "rates": "The rate of every step; those that were undone are left out.",
    }
    return Page(
        kind="Watch",
        title="A rate that rises too far",
        summary=said,
        numbers=ends,
        sections=[SectionText("What became of it?", "The same network and data, by the same schedule.", captions)],
        charts=_charts(alone, heeded),
    )


def _charts(alone: WatchedRun, heeded: WatchedRun) -> dict[str, Any]:
    import altair as alt

    from etastar.reports.chart_parts import framed, rows_of

    runs = {LEFT_ALONE: alone, HEEDED: heeded}
    x = alt.X("step:Q", title="step", axis=alt.Axis(grid=False))
    colour = alt.Color("run:N", title=None, scale=alt.Scale(domain=list(HUES), range=list(HUES.values())))
    charts = {}
    for name, title, width in (("losses", "training loss", SMOOTHED), ("rates", "learning rate", 1)):
        rows = [
            {"run": run, "step": step, "value": value}
            for run, own in runs.items()
            for step, value in _averaged(_kept(getattr(own, name)), width)
        ]
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=name == "rates"), axis=alt.Axis(format="~g"))
        layers = [rows_of(rows).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)]
        if alone.warned is not None:
            mark = rows_of([{"step": alone.warned[0]}]).mark_rule(color=WARNED, strokeDash=[4, 3])
            layers.append(mark.encode(x=x))
        charts[name] = framed(layers, f"A rate that rises too far: {title}", height=240)
    return charts


def _kept(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Without steps that were undone and trained again.

    >>> _kept([(1, 0.1), (2, 0.2), (1, 0.05), (2, 0.06)])
    [(1, 0.05), (2, 0.06)]
    """
    return list(dict(pairs).items())


def _averaged(pairs: Sequence[tuple[int, float]], width: int) -> list[tuple[int, float]]:
    """Means over `width` neighbours, at the last of their steps; what is not finite is left out by Vega itself."""
    parts = [pairs[i : i + width] for i in range(0, len(pairs), width)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
