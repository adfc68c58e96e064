"""One option each: its name, its help, its range; groups of them are dataclasses in `groups.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from etastar import arguments
from etastar.arguments import Number, Whole
from etastar.cli.spec import named
from etastar.cli.standard_output import ON_STDOUT, kept_for_answers
from etastar.errors import ProblemError

EXIT_ANSWERED, EXIT_NO_ANSWER, EXIT_BAD_INPUT, EXIT_FAULT, EXIT_INTERRUPTED = 0, 1, 2, 70, 130
DEFAULT_STORE = ".etastar/runs.db"


def number(name: str, kind: Whole | Number, what: str) -> Any:
    """An option that holds a number; any other is refused as it is in Python, not in the words of the parser."""

    def read(text: Any) -> Any:
        return kind.read(name, text)

    return typer.Option(name, help=what, parser=read, metavar="<int>" if isinstance(kind, Whole) else "<float>")


def place(name: str, example: str, what: str) -> Any:
    """An option that holds a path."""

    def read(text: Any) -> Path:
        return Path(arguments.path(name, text, example))

    return typer.Option(name, help=what, parser=read, metavar="<path>")


def apart(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Refuse --json into the store or into the problem's own file: what is there would be gone."""
    given = {**context.params, parameter.name: value}
    json = given.get("json")
    places = {
        "the store": str(given.get("store") or "").removeprefix("sqlite:///"),
        "the problem's own file": str(given.get("problem") or given.get("family") or "").rpartition(":")[0],
    }
    for what, place in places.items():
        if json and place and "\0" not in json + place and Path(json).absolute() == Path(place).absolute():
            raise ProblemError(f"--json {json} is {what}, which it would replace; pass another file")
    return value


def problem_place(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """As `apart`; a file that is not there is said at once, before anything heavy is imported."""
    named(value)
    return apart(context, parameter, value)


def answer_place(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """As `apart`; where the answer goes to standard output, what the user's code prints goes to standard error."""
    if apart(context, parameter, value) == ON_STDOUT:
        context.with_resource(kept_for_answers())
    return value


ProblemArgument = Annotated[
    str,
    typer.Argument(
        callback=problem_place, help="path/to/file.py:name (a Problem or a function returning one) or a built-in name."
    ),
]
FamilyArgument = Annotated[
    str,
    typer.Argument(
        callback=problem_place,
        help="path/to/file.py:name (a function of its sizes that returns a Problem) or a built-in name.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Arguments of the problem's function, e.g. depth=8,width=256; may be given several times."),
]
StepsOption = Annotated[int | None, number("--steps", arguments.STEPS, "Optimizer steps you plan to train.")]
ScheduleOption = Annotated[
    str | None,
    typer.Option(
        help="constant, linear, cosine, polynomial, warmup-cosine, warmup-linear, wsd, one-cycle, exponential, step-decay, "
        "inverse-sqrt, triangular, triangular2, cosine-restarts; reacting to what they see: plateau, greedy, bold-driver, "
        "hypergradient, polyak, cdat, edge, psi, psi-network, spike-guard; with settings: wsd:decay=0.5."
    ),
]
OptimizerOption = Annotated[
    str | None, typer.Option(help="Replace the optimizer, e.g. momentum, adamw:lr=3e-4,weight_decay=0.1.")
]
ThresholdOption = Annotated[
    float | None,
    number("--threshold", arguments.ACCURACY, "Accuracy at which a network has started to train, in (0, 1]."),
]
SeedOption = Annotated[int | None, number("--seed", arguments.SEED, "Seed of the measurement.")]
WorkersOption = Annotated[
    int | None,
    number("--workers", arguments.WORKERS_ON_RAY, "Worker processes (default: one per core if the work is worth it)."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EngineOption = Annotated[str, typer.Option(help="auto, loop, sequential, mlp, convnet or vmap.")]
OnOption = Annotated[str, typer.Option("--on", help="Where lanes train: here, or ray for a Ray cluster.")]
RayAddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: host:port or auto (default: RAY_ADDRESS, else one started for this run).")
]
MaxSecondsOption = Annotated[
    float | None, number("--max-seconds", arguments.MAX_SECONDS, "Answer with what is known after this time.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        callback=apart,
        help="Where lanes are kept: a file, sqlite:///path, postgresql+psycopg://user@host/database or :memory:.",
    ),
]
ReportOption = Annotated[Path | None, place("--report", "report", "Write an HTML page and its plots into this folder.")]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", callback=answer_place, help="Write the answer as JSON to this file; - for standard output."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors (and JSON).")]
