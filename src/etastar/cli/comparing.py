"""`etastar compare`: parse, one call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, RunOptions, StartOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

PoliciesOption = Annotated[
    str,
    typer.Option(
        "--policies",
        help="Names as for --schedule, with settings, e.g. linear,wsd:decay=0.3,curve=sqrt,plateau; also optimizers that "
        "find their rate: prodigy, d-adaptation, schedule-free, momo, dog.",
    ),
]
CompareStepsOption = Annotated[int | None, number("--steps", arguments.STEPS, "Optimizer steps of every training.")]
RunsOption = Annotated[
    int, number("--budget", arguments.TRAININGS, "Trainings of EVERY policy, the search of its peak included.")
]


@spread
def compare(
    *,
    start: StartOptions,
    steps: CompareStepsOption = None,
    policies: PoliciesOption = "linear,cosine,wsd,constant,psi",
    budget: RunsOption = 30,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Compare policies, each at its own best rate.

    All have the same budget, the search of the rate included; the reference is tuned linear decay.
    """
    from etastar.cli.load import load_problem
    from etastar.verbs.compare.compare import compare as compare_policies

    console = out.console()
    options = run.options(console)
    problem = load_problem(start.problem, settings=",".join(start.settings or ()), optimizer=start.optimizer, steps=steps)
    answer = compare_policies(problem, policies, budget=budget, seed=run.seed, options=options)
    out.deliver_answer(console, answer, ok=answer.best is not None)
