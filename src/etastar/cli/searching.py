"""`etastar search`: parse, one call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, ProblemOptions, RunOptions
from etastar.cli.options import number, place
from etastar.cli.spread import spread

SamplerOption = Annotated[str, typer.Option(help="grid, random, genetic, tpe, cmaes or gp.")]
TrialsOption = Annotated[int, number("--trials", arguments.TRIALS, "Settings to try.")]
SpaceOption = Annotated[
    Path | None,
    place("--space", "space.toml", "TOML file: a table per hyper-parameter (default: the rate, around what is measured)."),
]
PrunerOption = Annotated[str, typer.Option(help="none, median or hyperband.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings per trial, from the same seeds for every trial.")]
BatchOption = Annotated[int | None, number("--batch", arguments.BATCH, "Trials asked and trained together.")]
MeasureOption = Annotated[bool, typer.Option(help="Measure the rate first, at a glance, where the space has none.")]
StudyOption = Annotated[str | None, typer.Option(help="Name of the Optuna study.")]
StudyStorageOption = Annotated[
    str | None, typer.Option(help="Where the Optuna study is kept: a file or URL (default: optuna.db beside the store).")
]


@spread
def search(
    *,
    problem: ProblemOptions,
    sampler: SamplerOption = "tpe",
    trials: TrialsOption = 64,
    space: SpaceOption = None,
    pruner: PrunerOption = "none",
    seeds: SeedsOption = 1,
    batch: BatchOption = None,
    measure: MeasureOption = True,
    study: StudyOption = None,
    study_storage: StudyStorageOption = None,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Search hyper-parameters from the rate's measured interval. With any sampler of Optuna."""
    from etastar.store.optuna_study import check_storage
    from etastar.verbs.search.search import search as search_space
    from etastar.verbs.search.search import storage_of

    with out.console() as console:
        options = run.options(console)
        check_storage(storage_of(study_storage, run.store))
        chosen, make = problem.load_maker()
        answer = search_space(
            chosen, sampler=sampler, trials=trials, space=space, pruner=pruner, seeds=seeds, batch=batch, measure=measure,
            make=make, seed=run.seed, study=study, study_storage=study_storage, options=options,
        )  # fmt: skip
    out.deliver_answer(console, answer, ok=answer.lr.ok)
