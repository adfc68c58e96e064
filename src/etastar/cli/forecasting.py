"""`etastar forecast LOG [LOG ...]`: what losses to expect, from logs; nothing is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions
from etastar.cli.options import ScheduleOption, number
from etastar.cli.spread import spread
from etastar.errors import ProblemError

LogsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="LOG...", help="This run's log, then logs of others: CSV, JSON lines, trainer_state.json, text ..."
    ),
]
StepsOption = Annotated[
    int | None, number("--steps", arguments.STEPS, "Steps of --schedule, or until when this run goes on.")
]
CheckOption = Annotated[str | None, typer.Option(help="A log that laws are checked on, and that no law sees.")]
CutOption = Annotated[
    float | None, number("--cut", arguments.CUT, "Check on this log itself: the share of it that is fitted.")
]
RanOption = Annotated[
    str | None, typer.Option(help="The schedule of this run, if its log has no rates; with --lr, --horizon.")
]
LrOption = Annotated[float | None, number("--lr", arguments.RATE, "Peak rate of --ran.")]
HorizonOption = Annotated[int | None, number("--horizon", arguments.STEPS, "Steps of --ran.")]
WarmupOption = Annotated[int, number("--warmup", arguments.WARMUP, "Updates of a warm-up that ended before the logs begin.")]
FromOption = Annotated[int, number("--from", arguments.FROM_STEP, "Leave out losses before this step.")]
PassesOption = Annotated[
    float | None, number("--passes", arguments.PASSES, "Times the data were seen by the end of the log.")
]
StepOption = Annotated[str | None, typer.Option(help="Column of the steps.")]
RateOption = Annotated[str | None, typer.Option(help="Column of the learning rate.")]
LossOption = Annotated[str | None, typer.Option(help="Column of the loss.")]
PerStepOption = Annotated[
    float | None, number("--per-step", arguments.PER_STEP, "What an update takes, if steps are tokens, samples or epochs.")
]


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How logs are read, and what they do not say of their run."""

    ran: RanOption = None
    lr: LrOption = None
    horizon: HorizonOption = None
    warmup: WarmupOption = 0
    from_step: FromOption = 0
    passes: PassesOption = None
    step: StepOption = None
    rate: RateOption = None
    loss: LossOption = None
    per_step: PerStepOption = None


@spread
def forecast(
    *,
    logs: LogsArgument,
    schedule: ScheduleOption = None,
    steps: StepsOption = None,
    check: CheckOption = None,
    cut: CutOption = None,
    read: LogOptions,
    out: PageOptions,
) -> None:
    """Say from logs what loss a schedule nobody ran will give. Nothing is trained."""
    from etastar.verbs.forecast.forecast import forecast as ask

    for log in (*logs, check):
        if log and out.json and "\0" not in out.json + log and Path(out.json).absolute() == Path(log).absolute():
            raise ProblemError(f"--json {out.json} is a log, which it would replace; pass another file")
    console = out.console()
    answer = ask(*logs, schedule=schedule, steps=steps, check=check, cut=cut, **asdict(read))
    out.deliver_answer(console, answer, ok=answer.ok)
