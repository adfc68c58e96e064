"""`etastar psi fit` and `etastar psi train`: parse, one call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, RunOptions
from etastar.cli.options import number, place
from etastar.cli.spread import spread
from etastar.cli.surfaces import numbers_of

FamiliesOption = Annotated[
    str | None,
    typer.Option("--families", help="Small tasks of two groups or more, e.g. digits-mlp,cancer. Default: all."),
]
PsiStepsOption = Annotated[int, number("--steps", arguments.STEPS, "Optimizer steps of every training.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings of every peak and every fork.")]
FreshOption = Annotated[int, number("--fresh", arguments.SEEDS, "Fresh trainings of every form on every task.")]

GenerationsOption = Annotated[int, number("--generations", arguments.GENERATIONS, "Generations of every evolution.")]
WeightsOption = Annotated[
    Path,
    place("--weights", "psi-weights.json", "File for the numbers and for how far each evolution went; goes on from it."),
]
HorizonsOption = Annotated[str, typer.Option("--horizons", help="Steps of the trainings, learnt from and driven over.")]

psi = typer.Typer(help="Learn the ideal rate over a training.", no_args_is_help=True)


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

    with out.console() as console:
        options = run.options(console)
        answer = fit_psi(_names(families), steps=steps, seeds=seeds, fresh=fresh, seed=run.seed or 0, options=options)
    out.deliver_answer(console, answer, ok=answer.ratio.ok)


@psi.command(epilog="Example: etastar psi train --horizons 50,200 --generations 10")
@spread
def train(
    *,
    families: FamiliesOption = None,
    horizons: HorizonsOption = "50,200,800",
    generations: GenerationsOption = 15,
    fresh: FreshOption = 4,
    weights: WeightsOption = Path("psi-weights.json"),
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Evolve the network of the ideal rate on small tasks, and drive it on groups of them that it has not seen."""
    from etastar.verbs.psi.folds import EvolutionLook
    from etastar.verbs.psi.train_psi import train_psi

    steps = numbers_of(horizons, "horizons", int, "50,200,800")
    with out.console() as console:

        def told(look: EvolutionLook) -> None:
            console.note(f"{look.learnt}, generation {look.generation + 1}: {look.held_out:.3f} on {look.stopped_by}")

        answer = train_psi(
            _names(families), horizons=steps, generations=generations, fresh=fresh, seed=run.seed or 0, weights=weights,
            on_look=told, options=run.options(console),
        )  # fmt: skip
    out.deliver_answer(console, answer, ok=answer.ratio.ok)


def _names(families: str | None) -> list[str] | None:
    return None if families is None else [name.strip() for name in families.split(",")]
