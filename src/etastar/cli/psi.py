"""`etastar psi fit`: parse, one call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, RunOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

FamiliesOption = Annotated[
    str | None,
    typer.Option("--families", help="Small tasks of two groups or more, e.g. digits-mlp,cancer. Default: all."),
]
PsiStepsOption = Annotated[int, number("--steps", arguments.STEPS, "Optimizer steps of every training.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings of every peak and every fork.")]
FreshOption = Annotated[int, number("--fresh", arguments.SEEDS, "Fresh trainings of every form on every task.")]

psi = typer.Typer(help="Learn the ideal rate over a training.", no_args_is_help=True)


@psi.callback()
def _psi() -> None:
    pass  # one command alone would not need its name


@psi.command(epilog="Example: etastar psi fit --families digits-mlp,cancer --steps 100")
@spread
def fit(
    *,
    families: FamiliesOption = None,
    steps: PsiStepsOption = 200,
    seeds: SeedsOption = 4,
    fresh: FreshOption = 8,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Fork small tasks, fit closed forms of the ideal rate, and drive them on tasks they have not seen: four minutes."""
    from etastar.verbs.psi.fit_psi import fit_psi

    console = out.console()
    names = None if families is None else [name.strip() for name in families.split(",")]
    options = run.options(console)
    answer = fit_psi(names, steps=steps, seeds=seeds, fresh=fresh, seed=run.seed or 0, options=options)
    out.deliver_answer(console, answer, ok=answer.ratio.ok)
