"""`etastar VERB PROBLEM ...`: one command per verb. Heavy imports wait until a verb runs, so that --help is quick."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar.version import __version__

if TYPE_CHECKING:
    from etastar.core.problem import Problem
    from etastar.verbs.session import Options

EXIT_ANSWERED, EXIT_NO_ANSWER, EXIT_BAD_INPUT, EXIT_FAULT, EXIT_INTERRUPTED = 0, 1, 2, 70, 130
DEFAULT_STORE = ".etastar/runs.db"

app = typer.Typer(
    name="etastar",
    help="Learning rates you can measure, predict, schedule and trust, for PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ProblemArgument = Annotated[
    str, typer.Argument(help="path/to/file.py:name (a Problem or a function returning one) or a built-in name.")
]
SetOption = Annotated[str, typer.Option("--set", help="Arguments of the problem's function, e.g. depth=8,width=256.")]
StepsOption = Annotated[int | None, typer.Option(help="Optimizer steps you plan to train.")]
ScheduleOption = Annotated[
    str | None, typer.Option(help="constant, linear, cosine, warmup-cosine, wsd; with settings: wsd:decay=0.5.")
]
OptimizerOption = Annotated[
    str | None, typer.Option(help="Replace the optimizer, e.g. momentum, adamw:lr=3e-4,weight_decay=0.1.")
]
ThresholdOption = Annotated[float | None, typer.Option(help="Accuracy at which a network has started to train, in (0, 1].")]
EffortOption = Annotated[
    str, typer.Option(help="glance (0.6 full runs), quick (3.2) or thorough (eta* too, then to the interval).")
]
WithinOption = Annotated[
    float, typer.Option(help="Decades: half-width of the interval of the best rate that thorough works for.")
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the measurement.")]
WorkersOption = Annotated[int | None, typer.Option(help="Worker processes (default: one per core if the work is worth it).")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EngineOption = Annotated[str, typer.Option(help="auto, loop, sequential, mlp, convnet or vmap.")]
OnOption = Annotated[str, typer.Option("--on", help="Where lanes train: here, or ray for a Ray cluster.")]
RayAddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: host:port or auto (default: RAY_ADDRESS, else one started for this run).")
]
MaxSecondsOption = Annotated[float | None, typer.Option(help="Answer with what is known after this time.")]
StoreOption = Annotated[
    str,
    typer.Option(help="Where lanes are kept: a file, sqlite:///path, postgresql+psycopg://user@host/database or :memory:."),
]
ReportOption = Annotated[Path | None, typer.Option(help="Write an HTML page and its plots into this folder.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", help="Write the answer as JSON to this file; - for standard output.")
]
SamplesOption = Annotated[int, typer.Option(help="Training samples to probe with (or all in one epoch).")]
Float64Option = Annotated[bool, typer.Option("--float64", help="Compute in double precision.")]
SamplerOption = Annotated[str, typer.Option(help="grid, random, genetic, tpe, cmaes or gp.")]
TrialsOption = Annotated[int, typer.Option(help="Settings to try.")]
SpaceOption = Annotated[
    Path | None, typer.Option(help="TOML file: a table per hyper-parameter (default: the rate, around what is measured).")
]
PrunerOption = Annotated[str, typer.Option(help="none, median or hyperband.")]
SeedsOption = Annotated[int, typer.Option(help="Trainings per trial, from the same seeds for every trial.")]
BatchOption = Annotated[int | None, typer.Option(help="Trials asked and trained together.")]
MeasureOption = Annotated[bool, typer.Option(help="Measure eta* first where the space has no rate.")]
StudyOption = Annotated[str | None, typer.Option(help="Name of the Optuna study.")]
StudyStorageOption = Annotated[
    str | None, typer.Option(help="Where the Optuna study is kept: a file or URL (default: optuna.db beside the store).")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors (and JSON).")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"etastar {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


@app.command()
def find(
    problem: ProblemArgument,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
    effort: EffortOption = "thorough",
    within: WithinOption = 0.25,
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
    """Find the best rate for the optimizer, schedule and horizon; judge the one in use; measure eta*."""
    from etastar.cli.output import Console, write_json
    from etastar.verbs.find import find as find_lr

    _check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        options = _options(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        chosen = _load(problem, settings, steps, schedule, optimizer, threshold)
        answer = find_lr(chosen, effort=effort, within=within, seed=seed, options=options)
    write_json(json, answer.to_json())
    console.show_find(answer)
    if report:
        from etastar.reports.page import report as write_report

        console.say(f"report: {write_report(answer, report)}")
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)


@app.command()
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
    max_seconds: MaxSecondsOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Search hyper-parameters with an Optuna sampler, seeded by the measured interval of the rate."""
    from etastar.cli.load import load_maker
    from etastar.cli.output import Console, write_json
    from etastar.cli.search_output import show_search
    from etastar.verbs.search import search as search_space

    _check_outputs(json, None)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        options = _options(store, workers, device, engine, max_seconds, console)
        chosen, make = load_maker(problem, settings=settings, steps=steps, schedule=schedule, optimizer=optimizer)
        answer = search_space(
            chosen, sampler=sampler, trials=trials, space=space, pruner=pruner, seeds=seeds, batch=batch, measure=measure,
            make=make, seed=seed, study=study, study_storage=study_storage, options=options,
        )  # fmt: skip
    write_json(json, answer.to_json())
    show_search(console, answer)
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)


@app.command()
def doctor(
    problem: ProblemArgument,
    settings: SetOption = "",
    steps: StepsOption = None,
    schedule: ScheduleOption = None,
    optimizer: OptimizerOption = None,
    threshold: ThresholdOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check a problem without measuring it: what is slow, badly scaled, frozen or not reproducible."""
    from etastar.cli.output import Console, write_json
    from etastar.verbs.doctor import doctor as examine

    _check_outputs(json, None)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    diagnosis = examine(_load(problem, settings, steps, schedule, optimizer, threshold), device=device)
    write_json(json, diagnosis.to_json())
    console.show_diagnosis(diagnosis)


@app.command()
def probe(
    problem: ProblemArgument,
    settings: SetOption = "",
    optimizer: OptimizerOption = None,
    samples: SamplesOption = 512,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    float64: Float64Option = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Read curvature, critical rate and gradient noise at initialisation; nothing is trained."""
    from etastar.cli.output import Console, write_json
    from etastar.verbs.probe import probe as read

    _check_outputs(json, None)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    chosen = _load(problem, settings, None, None, optimizer, None)
    import torch

    answer = read(chosen, seed=seed, samples=samples, device=device, dtype=torch.float64 if float64 else None)
    write_json(json, answer.to_json())
    console.show_probe(answer)
    raise typer.Exit(EXIT_ANSWERED if answer.ok else EXIT_NO_ANSWER)


@app.command()
def problems(json: JsonOption = None) -> None:
    """List the ready-made problems."""
    from etastar.cli.output import Console, write_json
    from etastar.problems import BUILTINS

    _check_outputs(json, None)
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    write_json(json, {"etastar": __version__, "command": "problems", "problems": rows})
    Console(quiet=False, json_on_stdout=json == "-").show_problems(rows)


@app.command()
def runs(store: StoreOption = DEFAULT_STORE, json: JsonOption = None) -> None:
    """Show what the store holds."""
    from etastar.cli.output import Console, write_json
    from etastar.records.store import RunStore

    _check_outputs(json, None)
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    write_json(json, {"etastar": __version__, "command": "runs", "store": opened.url, "problems": rows})
    Console(quiet=False, json_on_stdout=json == "-").show_runs(opened.url, rows)


def _options(
    store: str,
    workers: int | None,
    device: str,
    engine: str,
    max_seconds: float | None,
    console: Any,
    *,
    on: str = "here",
    ray_address: str | None = None,
) -> Options:
    from etastar.verbs.session import Options

    return Options(
        store=store,
        workers=workers,
        device=device,
        engine=engine,
        on=on,
        ray_address=ray_address,
        max_seconds=max_seconds,
        on_plan=console.plan,
        on_outcome=console.outcome,
    )


def _load(
    problem: str, settings: str, steps: int | None, schedule: str | None, optimizer: str | None, threshold: float | None
) -> Problem:
    from etastar.cli.load import load_problem

    return load_problem(problem, settings=settings, steps=steps, schedule=schedule, optimizer=optimizer, threshold=threshold)


def _check_outputs(json: str | None, report: Path | None) -> None:
    """Refuse an output that cannot be written before hours are spent on what goes into it."""
    from etastar.errors import ProblemError

    if report is not None:
        try:
            report.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(
                f"--report {report} cannot be written ({error.strerror}); pass a folder you can write to"
            ) from error
        _check_writable(report / "index.html", f"--report {report}")
    if json not in (None, "-"):
        _check_writable(Path(json), f"--json {json}")


def _check_writable(path: Path, option: str) -> None:
    from etastar.errors import ProblemError

    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise ProblemError(f"{option} cannot be written ({error.strerror}); pass a path you can write to") from error


def main() -> None:
    """The entry point: a user's mistake is one sentence on stderr and exit code 2, never a traceback."""
    sys.exit(_run(app))


def _run(command: Callable[..., Any]) -> int:
    from etastar.errors import EtastarError, NoAnswer

    try:
        code = command(standalone_mode=False) or EXIT_ANSWERED
        if code == EXIT_INTERRUPTED:  # how typer reports Ctrl-C
            print("\ninterrupted; what was trained is in the store: run the same command again to go on", file=sys.stderr)
        return code
    except NoAnswer as error:
        print(f"etastar: {error}", file=sys.stderr)
        return EXIT_NO_ANSWER
    except EtastarError as error:
        print(f"etastar: {error}", file=sys.stderr)
        if error.__cause__ is not None and os.environ.get("ETASTAR_TRACEBACK"):
            raise
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BAD_INPUT
    except Exception as error:
        usage = getattr(error, "format_message", None)  # click's usage errors, in click or in typer's own copy of it
        if usage is None:
            traceback.print_exc()
            print("etastar: this is a fault in etastar, not in your input; please report it", file=sys.stderr)
            return EXIT_FAULT
        if type(error).__name__ == "NoArgsIsHelpError":
            print(usage(), file=sys.stderr)
        else:
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "etastar"
            print(f"etastar: {usage().rstrip('.?')}; see {path} --help", file=sys.stderr)
        return EXIT_BAD_INPUT
