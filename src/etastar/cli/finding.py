"""`etastar find`: parse, one call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, ProblemOptions, RunOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

EffortOption = Annotated[
    str, typer.Option(help="glance (0.6 full runs), quick (3.2) or thorough (eta* too, then to the interval).")
]
WithinOption = Annotated[
    float,
    number("--within", arguments.WITHIN, "Decades: half-width of the interval of the best rate that thorough works for."),
]
MonitorOption = Annotated[
    str | None,
    typer.Option(
        help="Read one more lane, at the recommended rate, while it trains: sharpness,move,norms; --report draws it."
    ),
]


@spread
def find(
    *,
    problem: ProblemOptions,
    effort: EffortOption = "thorough",
    within: WithinOption = 0.25,
    monitor: MonitorOption = None,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Find the best rate, judge the one in use, measure eta*. For the optimizer, schedule and horizon it has."""
    from etastar.verbs.find.find import find as find_lr

    with out.console() as console:
        options = run.options(console)
        monitors = () if monitor is None else monitor
        answer = find_lr(problem.load(), effort=effort, within=within, monitors=monitors, seed=run.seed, options=options)
    out.deliver_answer(console, answer, ok=answer.lr.ok)
