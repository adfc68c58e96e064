"""`etastar search`: parse, one call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.options import (
    DEFAULT_STORE,
    EXIT_ANSWERED,
    EXIT_NO_ANSWER,
    DeviceOption,
    EngineOption,
    JsonOption,
    MaxSecondsOption,
    OnOption,
    OptimizerOption,
    ProblemArgument,
    QuietOption,
    RayAddressOption,
    ReportOption,
    ScheduleOption,
    SeedOption,
    SetOption,
    StepsOption,
    StoreOption,
    WorkersOption,
    number,
    options_of,
    place,
)
from etastar.cli.outputs import check_outputs, deliver

SamplerOption = Annotated[str, typer.Option(help="grid, random, genetic, tpe, cmaes or gp.")]
TrialsOption = Annotated[int, number("--trials", arguments.TRIALS, "Settings to try.")]
SpaceOption = Annotated[
    Path | None,
    place("--space", "space.toml", "TOML file: a table per hyper-parameter (default: the rate, around what is measured)."),
]
PrunerOption = Annotated[str, typer.Option(help="none, median or hyperband.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings per trial, from the same seeds for every trial.")]
BatchOption = Annotated[int | None, number("--batch", arguments.BATCH, "Trials asked and trained together.")]
MeasureOption = Annotated[bool, typer.Option(help="Measure eta* first where the space has no rate.")]
StudyOption = Annotated[str | None, typer.Option(help="Name of the Optuna study.")]
StudyStorageOption = Annotated[
    str | None, typer.Option(help="Where the Optuna study is kept: a file or URL (default: optuna.db beside the store).")
]


def search(
    problem: ProblemArgument,
    settings: SetOption = "",
    sampler: SamplerOption = "tpe",
    trials: TrialsOption = 64,
    space: SpaceOption = None,
    pruner: PrunerOption = "none",
    seeds: SeedsOption = 1,
    batch: BatchOption = None,
    measure: MeasureOption = True,
    study: StudyOption = None,
    study_storage: StudyStorageOption = None,
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    on: OnOption = "here",
    ray_address: RayAddressOption = None,
    max_seconds: MaxSecondsOption = None,
    store: StoreOption = DEFAULT_STORE,
    report: ReportOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search hyper-parameters with an Optuna sampler, seeded by the measured interval of the rate."""
    from etastar.cli.load import load_maker
    from etastar.cli.output import Console
    from etastar.cli.search_output import show_search
    from etastar.store.optuna_study import check_storage
    from etastar.verbs.search.search import search as search_space
    from etastar.verbs.search.search import storage_of

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        check_storage(storage_of(study_storage, store))
        chosen, make = load_maker(problem, settings=settings, steps=steps, schedule=schedule, optimizer=optimizer)
        answer = search_space(
            chosen, sampler=sampler, trials=trials, space=space, pruner=pruner, seeds=seeds, batch=batch, measure=measure,
            make=make, seed=seed, study=study, study_storage=study_storage, options=options,
        )  # fmt: skip
    deliver(console, lambda: show_search(console, answer), answer.to_json, json, answer, report)
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)
