"""`etastar VERB PROBLEM ...`: one command per verb. Heavy imports wait until a verb runs, so that --help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import typer

from etastar.cli import scaling, searching, studying, surfaces
from etastar.cli.options import (
    DEFAULT_STORE,
    EXIT_ANSWERED,
    EXIT_BAD_INPUT,
    EXIT_FAULT,
    EXIT_INTERRUPTED,
    EXIT_NO_ANSWER,
    DeviceOption,
    EffortOption,
    EngineOption,
    Float64Option,
    JsonOption,
    MaxSecondsOption,
    OnOption,
    OptimizerOption,
    ProblemArgument,
    QuietOption,
    RayAddressOption,
    ReportOption,
    SamplesOption,
    ScheduleOption,
    SeedOption,
    SetOption,
    StepsOption,
    StoreOption,
    ThresholdOption,
    WithinOption,
    WorkersOption,
    check_outputs,
    load,
    options_of,
)
from etastar.version import __version__

TRACEBACK = "--traceback"

app = typer.Typer(
    name="etastar",
    help="Learning rates you can measure, predict, schedule and trust, for PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"etastar {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
    traceback: Annotated[bool, typer.Option(TRACEBACK, help="Show all of an exception that your code raised.")] = False,
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

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        chosen = load(problem, settings, steps, schedule, optimizer, threshold)
        answer = find_lr(chosen, effort=effort, within=within, seed=seed, options=options)
    write_json(json, answer.to_json())
    console.show_find(answer)
    if report:
        from etastar.reports.page import report as write_report

        console.say(f"report: {write_report(answer, report)}")
    raise typer.Exit(EXIT_ANSWERED if answer.lr.ok else EXIT_NO_ANSWER)


app.command()(searching.search)
app.command()(surfaces.surface)
app.command()(surfaces.sensitivity)
app.command()(surfaces.momentum)
app.command()(scaling.scale)
app.command()(studying.study)


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

    check_outputs(json, None)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    diagnosis = examine(load(problem, settings, steps, schedule, optimizer, threshold), device=device)
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

    check_outputs(json, None)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    chosen = load(problem, settings, None, None, optimizer, None)
    import torch

    answer = read(chosen, seed=seed, samples=samples, device=device, dtype=torch.float64 if float64 else None)
    write_json(json, answer.to_json())
    console.show_probe(answer)
    raise typer.Exit(EXIT_ANSWERED if answer.ok else EXIT_NO_ANSWER)


@app.command()
def predict(
    problem: ProblemArgument,
    settings: SetOption = "",
    optimizer: OptimizerOption = None,
    samples: SamplesOption = 512,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    report: ReportOption = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Predict where to start and where eta* lies, from widths to forward passes; nothing is trained."""
    from etastar.cli.output import Console, write_json
    from etastar.cli.predicted import show_predict
    from etastar.verbs.predict import predict as climb

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    answer = climb(load(problem, settings, None, None, optimizer, None), seed=seed, samples=samples, device=device)
    write_json(json, answer.to_json())
    show_predict(console, answer)
    if report:
        from etastar.reports.page import report as write_report

        console.say(f"report: {write_report(answer, report)}")
    raise typer.Exit(EXIT_ANSWERED if answer.ok else EXIT_NO_ANSWER)


@app.command()
def problems(json: JsonOption = None) -> None:
    """List the ready-made problems."""
    from etastar.cli.output import Console, write_json
    from etastar.problems import BUILTINS

    check_outputs(json, None)
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    write_json(json, {"etastar": __version__, "command": "problems", "problems": rows})
    Console(quiet=False, json_on_stdout=json == "-").show_problems(rows)


@app.command()
def runs(store: StoreOption = DEFAULT_STORE, json: JsonOption = None) -> None:
    """Show what the store holds."""
    from etastar.cli.output import Console, write_json
    from etastar.records.store import RunStore

    check_outputs(json, None)
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    write_json(json, {"etastar": __version__, "command": "runs", "store": opened.url, "problems": rows})
    Console(quiet=False, json_on_stdout=json == "-").show_runs(opened.url, rows)


def main() -> None:
    """The entry point: a user's mistake is one sentence on stderr and exit code 2; a traceback only where asked for."""
    asked = TRACEBACK in sys.argv[1:]  # wherever it stands: it is added to a command that has just failed
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != TRACEBACK]
    sys.exit(_run(app, traceback=asked or bool(os.environ.get("ETASTAR_TRACEBACK"))))


def _run(command: Callable[..., Any], *, traceback: bool = False) -> int:
    from etastar.errors import EtastarError, NoAnswer, UserCodeRaised, as_problem

    try:
        code = command(standalone_mode=False) or EXIT_ANSWERED
        if code == EXIT_INTERRUPTED:  # how typer reports Ctrl-C
            print("\ninterrupted; what was trained is in the store: run the same command again to go on", file=sys.stderr)
        return code
    except NoAnswer as error:
        print(f"etastar: {error}", file=sys.stderr)
        return EXIT_NO_ANSWER
    except EtastarError as error:
        if traceback:
            _print_traceback(error.__cause__ or error)
        more = f"; {TRACEBACK} shows all of it" if isinstance(error, UserCodeRaised) and not traceback else ""
        print(f"etastar: {error}{more}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BAD_INPUT
    except BaseException as error:
        if (problem := as_problem(error)) is not None:  # outside the verbs: a user's callback, a report of their objects
            if traceback:
                _print_traceback(error)
            print(f"etastar: {problem}", file=sys.stderr)
            return EXIT_BAD_INPUT
        if not isinstance(error, Exception):
            raise
        usage = getattr(error, "format_message", None)  # click's usage errors, in click or in typer's own copy of it
        if usage is None:
            _print_traceback(error)
            print("etastar: this is a fault in etastar, not in your input; please report it", file=sys.stderr)
            return EXIT_FAULT
        if type(error).__name__ == "NoArgsIsHelpError":
            print(usage(), file=sys.stderr)
        else:
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "etastar"
            print(f"etastar: {usage().rstrip('.?')}; see {path} --help", file=sys.stderr)
        return EXIT_BAD_INPUT


def _print_traceback(error: BaseException) -> None:
    from traceback import print_exception

    print_exception(error)
