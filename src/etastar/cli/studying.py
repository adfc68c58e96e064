"""`etastar study`: list the studies, or run one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from etastar import arguments
from etastar.cli.options import (
    DEFAULT_STORE,
    EXIT_ANSWERED,
    EXIT_NO_ANSWER,
    DeviceOption,
    JsonOption,
    MaxSecondsOption,
    QuietOption,
    StoreOption,
    WorkersOption,
    number,
    place,
)
from etastar.cli.outputs import check_folder, check_outputs, deliver

NameArgument = Annotated[str | None, typer.Argument(help="Which study; without a name: list them.")]
OutOption = Annotated[
    Path | None, place("--out", "study", "Folder for the page and the record; a stopped study goes on there.")
]
DataOption = Annotated[
    Path | None, place("--data", "fashion", "Folder with the IDX files of an MNIST-like set (default: digits).")
]
StudyEffortOption = Annotated[str, typer.Option("--effort", help="quick (does it work?) or full (what conclusions need).")]
StudySeedOption = Annotated[int, number("--seed", arguments.SEED, "Seed of all measurements.")]


def study(
    name: NameArgument = None,
    out: OutOption = None,
    data: DataOption = None,
    effort: StudyEffortOption = "full",
    seed: StudySeedOption = 0,
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    max_seconds: MaxSecondsOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Test published claims about learning rates: measure, conclude by rules stated beforehand, write page and record."""
    from etastar.cli.output import Console
    from etastar.errors import ProblemError
    from etastar.studies import STUDIES
    from etastar.version import __version__

    check_outputs(json)
    console = Console(quiet=quiet, json_on_stdout=json == "-")
    if name is None:
        if out is not None or data is not None:
            raise ProblemError(f"--out and --data need a study; name one of {', '.join(STUDIES)}")
        rows = [{"name": key, "what": what} for key, what in STUDIES.items()]
        content = {"etastar": __version__, "command": "study", "studies": rows}
        deliver(console, lambda: console.show_list(("study", "what it asks"), rows), lambda: content, json)
        return
    if name in STUDIES and out is None:
        raise ProblemError(f"--out is missing; expected a folder for page and record, e.g. --out {name}")
    if out is not None:
        check_folder(out, "--out")
    from etastar.store.database import check
    from etastar.studies.run import run_study
    from etastar.verbs.options import Options

    check(store)
    options = Options(store=store, workers=workers, device=device, max_seconds=max_seconds)
    answer = run_study(name, out or ".", data=data, effort=effort, seed=seed, options=options, say=console.progress_line)
    deliver(console, lambda: _show(console, answer), answer.to_json, json)
    raise typer.Exit(EXIT_ANSWERED if answer.complete else EXIT_NO_ANSWER)


def _show(console: Any, answer: Any) -> None:
    from etastar.cli.plain import new_table

    console.say(f"{answer.study.name}: {answer.summary}")
    table = new_table(None, ("claim", "verdict", "measured, 90 %", "whose"))
    for c in answer.conclusions:
        table.add_row(c.claim.name, c.verdict.value, c.measured, c.claim.source)
    console.show(table)
    cost = answer.cost
    console.say(
        f"  cost: {cost['cpu_seconds']:,.0f} CPU seconds for {len(answer.rows)} of {answer.planned} measurements, "
        f"{cost['measured_now']:g} of them now, in {cost['seconds']:.1f} s"
    )
    console.say(f"  page: {answer.folder / 'index.html'}")
