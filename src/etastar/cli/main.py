"""`etastar VERB PROBLEM ...`: one command per verb. Heavy imports wait until a verb runs, so that --help is quick."""

from __future__ import annotations

import io
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
    MonitorOption,
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
    load,
    options_of,
)
from etastar.cli.outputs import check_outputs, deliver
from etastar.cli.signals import Ended, ending_as_interrupted
from etastar.cli.standard_output import drop_answers
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
    monitor: MonitorOption = None,
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
    from etastar.cli.output import Console
    from etastar.verbs.find.find import find as find_lr

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    with console:
        options = options_of(store, workers, device, engine, max_seconds, console, on=on, ray_address=ray_address)
        chosen = load(problem, settings, steps, schedule, optimizer, threshold)
        answer = find_lr(
            chosen, effort=effort, within=within, monitors=() if monitor is None else monitor, seed=seed, options=options
        )
    deliver(console, lambda: console.show_find(answer), answer.to_json, json, answer, report)
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
    from etastar.cli.output import Console
    from etastar.verbs.doctor import doctor as examine

    check_outputs(json)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    diagnosis = examine(load(problem, settings, steps, schedule, optimizer, threshold), device=device)
    deliver(console, lambda: console.show_diagnosis(diagnosis), diagnosis.to_json, json)


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
    from etastar.cli.output import Console
    from etastar.verbs.probe import probe as read

    check_outputs(json)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    chosen = load(problem, settings, None, None, optimizer, None)
    import torch

    answer = read(chosen, seed=seed, samples=samples, device=device, dtype=torch.float64 if float64 else None)
    deliver(console, lambda: console.show_probe(answer), answer.to_json, json)
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
    from etastar.cli.output import Console
    from etastar.cli.predicted import show_predict
    from etastar.verbs.predict.predict import predict as climb

    check_outputs(json, report)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    answer = climb(load(problem, settings, None, None, optimizer, None), seed=seed, samples=samples, device=device)
    deliver(console, lambda: show_predict(console, answer), answer.to_json, json, answer, report)
    raise typer.Exit(EXIT_ANSWERED if answer.ok else EXIT_NO_ANSWER)


@app.command()
def problems(json: JsonOption = None) -> None:
    """List the ready-made problems."""
    from etastar.cli.output import Console
    from etastar.problems import BUILTINS

    check_outputs(json)
    rows = [{"name": name, "what": what} for name, (_, _, what) in BUILTINS.items()]
    content = {"etastar": __version__, "command": "problems", "problems": rows}
    console = Console(quiet=False, json_on_stdout=json == "-")
    deliver(console, lambda: console.show_problems(rows), lambda: content, json)


@app.command()
def runs(store: StoreOption = DEFAULT_STORE, json: JsonOption = None) -> None:
    """Show what the store holds."""
    from etastar.cli.output import Console
    from etastar.store.run_store import RunStore

    check_outputs(json)
    with closing(RunStore(store, create=False)) as opened:
        rows = opened.summary()
    content = {"etastar": __version__, "command": "runs", "store": opened.url, "problems": rows}
    console = Console(quiet=False, json_on_stdout=json == "-")
    deliver(console, lambda: console.show_runs(opened.url, rows), lambda: content, json)


def main() -> None:
    """The entry point: a user's mistake is one sentence on stderr and exit code 2; a traceback only where asked for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to lose an answer
            stream.reconfigure(errors="backslashreplace")
    asked = TRACEBACK in sys.argv[1:]  # wherever it stands: it is added to a command that has just failed
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != TRACEBACK]
    with ending_as_interrupted() as ended:
        code = _run(app, ended, traceback=asked or bool(os.environ.get("ETASTAR_TRACEBACK")))
    sys.exit(code)


def _complain(sentence: str) -> None:
    """One line on standard error."""
    from etastar.cli.plain import plain
    from etastar.errors import redacted_text

    print(f"etastar: {plain(redacted_text(sentence))}", file=sys.stderr)


def _interrupted(ended: Ended) -> int:
    """Say so; the exit code is the shell's convention, 128 + the signal."""
    how = f"ended by {ended.by.name}" if ended.by else "interrupted"
    print(f"\n{how}; what was trained is kept: run the same command again to go on", file=sys.stderr)
    return 128 + ended.by if ended.by else EXIT_INTERRUPTED


def _run(command: Callable[..., Any], ended: Ended, *, traceback: bool = False) -> int:
    from etastar.errors import EtastarError, NoAnswer, UserCodeRaised, as_problem, shortened

    try:
        code = command(prog_name="etastar", standalone_mode=False) or EXIT_ANSWERED
        return _interrupted(ended) if code == EXIT_INTERRUPTED else code  # how typer reports Ctrl-C
    except KeyboardInterrupt:
        return _interrupted(ended)
    except NoAnswer as error:
        _complain(str(error))
        return EXIT_NO_ANSWER
    except EtastarError as error:
        if traceback:
            _print_traceback(error.__cause__ or error)
        more = f"; {TRACEBACK} shows all of it" if isinstance(error, UserCodeRaised) and not traceback else ""
        _complain(f"{error}{more}")
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        drop_answers()
        return EXIT_BAD_INPUT
    except BaseException as error:
        if (problem := as_problem(error)) is not None:  # outside the verbs: a user's callback, a report of their objects
            if traceback:
                _print_traceback(error)
            _complain(str(problem))
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
            _complain(f"{shortened(usage().rstrip('.?'))}; see {path} --help")
        return EXIT_BAD_INPUT


def _print_traceback(error: BaseException) -> None:
    from traceback import print_exception

    print_exception(error)
