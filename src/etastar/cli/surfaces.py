"""`etastar surface`, `sensitivity` and `momentum`: parse, one call, print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
    ThresholdOption,
    WorkersOption,
    load,
    number,
    options_of,
)
from etastar.cli.outputs import check_outputs, deliver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etastar.cli.output import Console

SchedulesOption = Annotated[
    str | None, typer.Option(help="Schedules to compare, e.g. constant,warmup-cosine,wsd:decay=0.5.")
]
HorizonsOption = Annotated[str | None, typer.Option(help="Numbers of steps to compare, e.g. 100,200,400.")]
RatesOption = Annotated[str | None, typer.Option(help="LOW:HIGH:STEP, the step in decades, e.g. 1e-3:1:0.5.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings per rate, the same seeds at every rate.")]
TargetOption = Annotated[float | None, number("--target", arguments.FINITE, "Training loss whose time is measured.")]
HalfDecadesOption = Annotated[bool, typer.Option("--half-decades", help="Also the rates between the powers of ten.")]
ValuesOption = Annotated[str | None, typer.Option(help="Momenta (beta1 for Adam and its kin), e.g. 0,0.5,0.9,0.99.")]


def surface(
    problem: ProblemArgument,
    schedules: SchedulesOption = None,
    horizons: HorizonsOption = None,
    rates: RatesOption = None,
    seeds: SeedsOption = 3,
    target: TargetOption = None,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
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
    """Time, accuracy and reliability over learning rate x schedule x horizon."""

    def ask(console: Console) -> Any:
        from etastar.verbs.surface.surface import surface as measure

        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        return measure(
            load(problem, settings, steps, schedule, optimizer, threshold),
            schedules=None if schedules is None else split_schedules(schedules),
            horizons=None if horizons is None else _numbers(horizons, "horizons", int, "100,200,400"),
            rates=None if rates is None else _rates(rates),
            seeds=seeds,
            target=target,
            seed=seed,
            options=options,
        )

    _run(ask, json, report, quiet)


def sensitivity(
    problem: ProblemArgument,
    half_decades: HalfDecadesOption = False,
    seeds: SeedsOption = 3,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
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
    """What does the learning rate do? The classic grid 1e-6, 1e-5 ... 1, all else as the problem has it."""

    def ask(console: Console) -> Any:
        from etastar.verbs.surface.sensitivity import sensitivity as measure

        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        chosen = load(problem, settings, steps, schedule, optimizer, threshold)
        return measure(chosen, half_decades=half_decades, seeds=seeds, seed=seed, options=options)

    _run(ask, json, report, quiet)


def momentum(
    problem: ProblemArgument,
    values: ValuesOption = None,
    seeds: SeedsOption = 3,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
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
    """The best rate and the loss at several momenta (beta1 for Adam and its kin)."""

    def ask(console: Console) -> Any:
        from etastar.verbs.surface.momentum import momentum as measure

        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        chosen = load(problem, settings, steps, schedule, optimizer, threshold)
        wanted = None if values is None else _numbers(values, "values", float, "0,0.9")
        return measure(chosen, values=wanted, seeds=seeds, seed=seed, options=options)

    _run(ask, json, report, quiet)


def _run(ask: Callable[[Console], Any], json: str | None, report: Path | None, quiet: bool) -> None:
    """Check the outputs, measure, write and print the answer, and leave with its exit code."""
    from etastar.cli.output import Console
    from etastar.cli.tables import tables_of

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        answer = ask(console)
    deliver(console, lambda: console.show_answer(answer, tables_of(answer)), answer.to_json, json, answer, report)
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)


def split_schedules(text: str) -> list[str]:
    """Names with their settings, which hold commas, too.

    >>> split_schedules("wsd:decay=0.5,curve=sqrt,linear")
    ['wsd:decay=0.5,curve=sqrt', 'linear']
    """
    found: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if found and "=" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _numbers(text: str, option: str, kind: Callable[[str], Any], example: str) -> list[Any]:
    from etastar.errors import ProblemError

    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ProblemError(f"--{option} got {arguments.shown(text)}; expected {what}, e.g. --{option} {example}") from None


def _rates(text: str) -> tuple[float, float, float]:
    from etastar.errors import ProblemError

    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise ProblemError(f"--rates got {arguments.shown(text)}; expected LOW:HIGH:STEP, e.g. --rates 1e-3:1:0.5") from None
    return low, high, step
