"""`etastar study`: list the studies, or run one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, RunOptions
from etastar.cli.options import DeviceOption, number, place
from etastar.cli.outputs import check_folder
from etastar.cli.spread import spread
from etastar.verbs.envelope import head_of

NameArgument = Annotated[str | None, typer.Argument(help="Which study; without a name: list them.")]
OutOption = Annotated[
    Path | None, place("--out", "study", "Folder for the page and the record; a stopped study goes on there.")
]
DataOption = Annotated[
    Path | None,
    place("--data", "fashion", "Folder with the IDX files of an MNIST-like set (default: digits), or what --problem needs."),
]
StudyEffortOption = Annotated[
    str, typer.Option("--effort", help="quick (does it work?) or full (what conclusions need); faithful: see the study.")
]
StudyProblemOption = Annotated[
    str | None, typer.Option("--problem", help="What is trained, of a study that has several: network_stability.")
]
StudySeedOption = Annotated[int, number("--seed", arguments.SEED, "Seed of all measurements.")]


@dataclass(frozen=True, kw_only=True)
class StudyRunOptions(RunOptions):
    """As in every command that measures; studies are written for the CPU, with seed 0."""

    seed: StudySeedOption = 0
    device: DeviceOption = "cpu"


@spread
def study(
    *,
    name: NameArgument = None,
    folder: OutOption = None,
    data: DataOption = None,
    effort: StudyEffortOption = "full",
    problem: StudyProblemOption = None,
    run: StudyRunOptions,
    out: PageOptions,
) -> None:
    """Test published claims by rules stated beforehand. Measure, conclude, write page and record."""
    from etastar.errors import ProblemError
    from etastar.studies import STUDIES

    console = out.console()
    if name is None:
        if folder is not None or data is not None:
            raise ProblemError(f"--out and --data need a study; name one of {', '.join(STUDIES)}")
        _list(out, console)
        return
    if name in STUDIES and folder is None:
        raise ProblemError(f"--out is missing; expected a folder for page and record, e.g. --out {name}")
    if folder is not None:
        check_folder(folder, "--out")
    from etastar.studies.run import run_study

    options = run.options(console)
    answer = run_study(
        name,
        folder or ".",
        data=data,
        effort=effort,
        seed=run.seed,
        problem=problem,
        options=options,
        say=console.progress_line,
    )
    out.deliver_answer(console, answer, ok=answer.complete)


def _list(out: PageOptions, console: Any) -> None:
    from etastar.studies import STUDIES

    rows = [{"name": key, "what": what} for key, what in STUDIES.items()]
    content = head_of("study") | {"studies": rows}
    out.deliver(console, lambda: console.show_list(("study", "what it asks"), rows), lambda: content)
