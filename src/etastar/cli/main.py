"""`etastar VERB PROBLEM ...`: one command per verb. Heavy imports wait until a verb runs, so that --help is quick."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer

from etastar.cli import (
    comparing,
    finding,
    forecasting,
    listing,
    psi,
    scaling,
    scheduling,
    searching,
    starting,
    studying,
    surfaces,
    touring,
)
from etastar.cli.options import EXIT_ANSWERED, EXIT_BAD_INPUT, EXIT_FAULT, EXIT_INTERRUPTED, EXIT_NO_ANSWER
from etastar.cli.signals import Ended, ending_as_interrupted
from etastar.cli.standard_output import drop_answers
from etastar.version import __version__

TRACEBACK = "--traceback"

app = typer.Typer(
    name="etastar",
    help="Learning rates you can measure, predict, schedule and trust, for PyTorch.",
    no_args_is_help=True,
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


EXAMPLES: dict[Callable[..., None], str] = {
    touring.demo: "demo --report out/tour",
    finding.find: "find digits-mlp --effort quick --report out/find",
    searching.search: "search digits-mlp --sampler tpe --trials 32",
    surfaces.surface: "surface digits-mlp --schedules constant,wsd --horizons 100",
    surfaces.sensitivity: "sensitivity digits-mlp --steps 100",
    surfaces.momentum: "momentum digits-mlp --steps 100 --values 0,0.9",
    comparing.compare: "compare digits-mlp --steps 200 --policies wsd,plateau",
    scaling.scale: "scale digits-mlp --width 32,64,128 --to width=256",
    studying.study: "study jelassi2023depth --out out/study --effort quick",
    starting.doctor: "doctor mine.py:problem",
    starting.probe: "probe digits-cnn --samples 256",
    starting.predict: "predict digits-cnn --optimizer adam:lr=1e-3",
    forecasting.forecast: "forecast run.csv --schedule wsd:decay=0.2 --steps 48000",
    listing.explain: "explain not-bracketed",
    listing.problems: "problems",
    listing.runs: "runs --store .etastar/runs.db",
}
"""What each command is, in the order of the list, with one line of it that is right."""
for verb, line in EXAMPLES.items():
    app.command(epilog=f"Example: etastar {line}")(verb)
app.add_typer(scheduling.schedule, name="schedule")
app.add_typer(psi.psi, name="psi")


@cache
def commands() -> Callable[..., Any]:
    """Every command, made once a process: reading all their parameters takes Typer 25 ms."""
    from typer.main import get_command

    return get_command(app)


def main() -> None:
    """The entry point: a user's mistake is one sentence on stderr and exit code 2; a traceback only where asked for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no reason to lose an answer
            stream.reconfigure(errors="backslashreplace")
    asked = TRACEBACK in sys.argv[1:]  # wherever it stands: it is added to a command that has just failed
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != TRACEBACK]
    with ending_as_interrupted() as ended:
        code = _run(commands(), ended, traceback=asked or bool(os.environ.get("ETASTAR_TRACEBACK")))
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
        _complain(f"{error}; etastar explain {error.estimate.status.value} says what to do")
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
