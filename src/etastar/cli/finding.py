"""`etastar find`: parse, one call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, ProblemOptions, RunOptions
from etastar.cli.options import number, place
from etastar.cli.spread import spread

EffortOption = Annotated[
    str | None,
    typer.Option(help="glance (0.6 full runs), quick (3.2) or thorough (eta* too, then to the interval)."),
]
BudgetOption = Annotated[
    float | None,
    number("--budget", arguments.PART, "Instead of an effort: the share of one training it may cost, e.g. 0.02."),
]
BudgetStepsOption = Annotated[int | None, number("--budget-steps", arguments.STEPS, "The same in gradient steps.")]
BudgetSecondsOption = Annotated[
    float | None, number("--budget-seconds", arguments.BUDGET, "The same in seconds, at the measured time of a step.")
]
WithinOption = Annotated[
    float,
    number("--within", arguments.WITHIN, "Decades: half-width of the interval of the best rate that thorough works for."),
]
MonitorOption = Annotated[
    str | None,
    typer.Option(
        help="Read one more lane, at the recommended rate, while it trains: sharpness,move,norms,stability; "
        "--report draws it."
    ),
]


StartFromOption = Annotated[
    Path | None,
    place(
        "--start-from",
        "run.pt",
        'A run under way (torch.save of {"model": ..., "optimizer": ...}): the rate for its rest, with --at.',
    ),
]
AtOption = Annotated[int | None, number("--at", arguments.FROM_STEP, "Optimizer steps of it that are over.")]


@spread
def find(
    *,
    problem: ProblemOptions,
    effort: EffortOption = None,
    budget: BudgetOption = None,
    budget_steps: BudgetStepsOption = None,
    budget_seconds: BudgetSecondsOption = None,
    within: WithinOption = 0.25,
    monitor: MonitorOption = None,
    start_from: StartFromOption = None,
    at: AtOption = None,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Find the best rate, judge the one in use, measure eta*. For the optimizer, schedule and horizon it has."""
    from etastar.verbs.find.find import find as find_lr

    with out.console() as console:
        options = run.options(console)
        monitors = () if monitor is None else monitor
        answer = find_lr(
            problem.load(), effort=effort, budget=budget, budget_steps=budget_steps, budget_seconds=budget_seconds,
            within=within, start_from=start_from, at=at, monitors=monitors, seed=run.seed, options=options,
        )  # fmt: skip
    out.deliver_answer(console, answer, ok=answer.lr.ok)
