"""`etastar schedule show`: parse, one call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

SpecArgument = Annotated[
    str, typer.Argument(help="A name with its settings, or several, e.g. wsd:decay=0.5 or constant@0.75>linear.")
]
StepsOption = Annotated[int, number("--steps", arguments.STEPS, "Optimizer steps of the training.")]
LrOption = Annotated[float, number("--lr", arguments.RATE, "The lane's rate, of which the schedule takes its shares.")]

schedule = typer.Typer(help="Look at schedules before anyone trains with them.", no_args_is_help=True)


@schedule.callback()
def _schedule() -> None:
    pass  # one command alone would not need its name


@schedule.command(epilog="Example: etastar schedule show wsd:decay=0.5 --steps 400")
@spread
def show(*, spec: SpecArgument, steps: StepsOption = 100, lr: LrOption = 1.0, out: PageOptions) -> None:
    """The phases and rates of a schedule, and its picture. At chosen steps, with their sum; nothing is trained."""
    from etastar.verbs.schedule import show_schedule

    console = out.console()
    out.deliver_answer(console, show_schedule(spec, steps=steps, lr=lr), ok=True)
