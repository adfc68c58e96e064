"""`etastar scale`: parse, one call, print."""

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
    OptimizerOption,
    QuietOption,
    ReportOption,
    ScheduleOption,
    SeedOption,
    SetOption,
    StepsOption,
    StoreOption,
    ThresholdOption,
    WorkersOption,
    apart,
    number,
    options_of,
)
from etastar.cli.outputs import check_outputs, deliver

if TYPE_CHECKING:
    from collections.abc import Callable

FamilyArgument = Annotated[
    str,
    typer.Argument(
        callback=apart, help="path/to/file.py:name (a function of its sizes that returns a Problem) or a built-in name."
    ),
]
DepthOption = Annotated[str, typer.Option(help="Hidden layers of the members, e.g. 4,8.")]
WidthOption = Annotated[str, typer.Option(help="Widths of the members, e.g. 128,256.")]
VaryOption = Annotated[
    list[str] | None, typer.Option(help="Another size, e.g. --vary batch_size=32,64; may be given several times.")
]
ToOption = Annotated[str, typer.Option(help="The target, e.g. depth=8,width=512.")]
MeasureOption = Annotated[str, typer.Option(help="eta-star (largest rate that trains) or best (best rate, by find).")]
EffortOption = Annotated[str, typer.Option(help="Of find, for --measure best: glance, quick or thorough.")]
PrecisionOption = Annotated[float, number("--precision", arguments.HALF_WIDTH, "Relative half-width of each member's eta*.")]
BudgetOption = Annotated[
    float | None, number("--budget", arguments.BUDGET, "Seconds the next member may take (default: what was spent).")
]
TransferOption = Annotated[bool, typer.Option("--transfer", help="Also compare the standard parametrisation with muP.")]
AnyShapeOption = Annotated[
    bool, typer.Option("--any-shape", help="No plain chain of layers (residual, normalised): allow narrow and shallow ones.")
]


def scale(
    family: FamilyArgument,
    to: ToOption,
    depth: DepthOption = "",
    width: WidthOption = "",
    vary: VaryOption = None,
    measure: MeasureOption = "eta-star",
    precision: PrecisionOption = 0.12,
    effort: EffortOption = "quick",
    budget: BudgetOption = None,
    transfer: TransferOption = False,
    any_shape: AnyShapeOption = False,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    max_seconds: MaxSecondsOption = None,
    store: StoreOption = DEFAULT_STORE,
    report: ReportOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure small members of a family and predict the rate of a larger one, or say why not."""
    from dataclasses import replace

    from etastar.cli.load import load_family
    from etastar.cli.output import Console
    from etastar.cli.tables import tables_of
    from etastar.problems.optimizers import parse_settings
    from etastar.verbs.scale.member_rate import PRECISION
    from etastar.verbs.scale.scale import scale as measure_and_predict

    check_outputs(json, report)
    axes = _axes(depth, width, vary or [])
    target = parse_settings(to, "to")
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    options = options_of(store, workers, device, engine, max_seconds, console)
    name, make = load_family(
        family, settings=settings, steps=steps, schedule=schedule, optimizer=optimizer, threshold=threshold
    )
    with console:
        answer = measure_and_predict(
            make,
            axes=axes,
            to=target,
            measure=measure,
            precision=replace(PRECISION, half_width=precision),
            effort=effort,
            chain=not any_shape,
            budget=budget,
            transfer=transfer,
            name=name,
            seed=seed,
            options=options,
        )
    deliver(console, lambda: console.show_answer(answer, tables_of(answer)), answer.to_json, json, answer, report)
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)


def _axes(depth: str, width: str, vary: list[str]) -> dict[str, list[Any]]:
    """Every size with its values."""
    from etastar.errors import ProblemError

    axes: dict[str, list[Any]] = {}
    named = [("depth", depth, "--depth 4,8"), ("width", width, "--width 128,256")]
    for text in vary:
        name, equals, values = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ProblemError(f"--vary got {arguments.shown(text)}; expected name=values, e.g. --vary batch_size=32,64")
        named.append((name.strip(), values, f"--vary {name.strip()}=32,64"))
    for name, values, example in named:
        if not values.strip():
            continue
        if name in axes:
            raise ProblemError(f"{name} is given twice; give all of its values at once, e.g. {example}")
        axes[name] = [_number(part, name, example) for part in values.split(",") if part.strip()]
    return axes


def _number(text: str, name: str, example: str) -> int | float:
    from etastar.errors import ProblemError

    readers: list[Callable[[str], int | float]] = [int, float]
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    raise ProblemError(f"{name} got {arguments.shown(text.strip())}; expected numbers, e.g. {example}") from None
