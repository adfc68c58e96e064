"""`etastar surface`, `sensitivity` and `momentum`: parse, one call, print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from etastar import arguments
from etastar.cli.groups import PageOptions, ProblemOptions, RunOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

SchedulesOption = Annotated[
    str | None, typer.Option(help="Schedules to compare, e.g. constant,warmup-cosine,wsd:decay=0.5.")
]
HorizonsOption = Annotated[str | None, typer.Option(help="Numbers of steps to compare, e.g. 100,200,400.")]
RatesOption = Annotated[str | None, typer.Option(help="LOW:HIGH:STEP, the step in decades, e.g. 1e-3:1:0.5.")]
SeedsOption = Annotated[int, number("--seeds", arguments.SEEDS, "Trainings per rate, the same seeds at every rate.")]
TargetOption = Annotated[float | None, number("--target", arguments.FINITE, "Training loss whose time is measured.")]
HalfDecadesOption = Annotated[bool, typer.Option("--half-decades", help="Also the rates between the powers of ten.")]
ValuesOption = Annotated[str | None, typer.Option(help="Momenta (beta1 for Adam and its kin), e.g. 0,0.5,0.9,0.99.")]


@spread
def surface(
    *,
    problem: ProblemOptions,
    schedules: SchedulesOption = None,
    horizons: HorizonsOption = None,
    rates: RatesOption = None,
    seeds: SeedsOption = 3,
    target: TargetOption = None,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Time, accuracy, reliability by rate, schedule, horizon."""
    from etastar.verbs.surface.surface import surface as measure

    with out.console() as console:
        options = run.options(console)
        answer = measure(
            problem.load(),
            schedules=None if schedules is None else split_schedules(schedules),
            horizons=None if horizons is None else numbers_of(horizons, "horizons", int, "100,200,400"),
            rates=None if rates is None else _rates(rates),
            seeds=seeds,
            target=target,
            seed=run.seed,
            options=options,
        )
    out.deliver_answer(console, answer, ok=answer.lr.ok)


@spread
def sensitivity(
    *,
    problem: ProblemOptions,
    half_decades: HalfDecadesOption = False,
    seeds: SeedsOption = 3,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Train on the classic grid of rates from 1e-6 to 1. All else is as the problem has it."""
    from etastar.verbs.surface.sensitivity import sensitivity as measure

    with out.console() as console:
        options = run.options(console)
        answer = measure(problem.load(), half_decades=half_decades, seeds=seeds, seed=run.seed, options=options)
    out.deliver_answer(console, answer, ok=answer.lr.ok)


@spread
def momentum(
    *,
    problem: ProblemOptions,
    values: ValuesOption = None,
    seeds: SeedsOption = 3,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """The best rate and the loss at several momenta. Or values of beta1 for Adam and its kin."""
    from etastar.verbs.surface.momentum import momentum as measure

    with out.console() as console:
        options, chosen = run.options(console), problem.load()
        wanted = None if values is None else numbers_of(values, "values", float, "0,0.9")
        answer = measure(chosen, values=wanted, seeds=seeds, seed=run.seed, options=options)
    out.deliver_answer(console, answer, ok=answer.lr.ok)


def split_schedules(text: str) -> list[str]:
    """Names with their settings, which hold commas, too.

    >>> split_schedules("wsd:decay=0.5,curve=sqrt,linear")
    ['wsd:decay=0.5,curve=sqrt', 'linear']
    """
    found: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if found and "=" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def numbers_of(text: str, option: str, kind: Callable[[str], Any], example: str) -> list[Any]:
    """Those that an option lists."""
    from etastar.errors import ProblemError

    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ProblemError(f"--{option} got {arguments.shown(text)}; expected {what}, e.g. --{option} {example}") from None


def _rates(text: str) -> tuple[float, float, float]:
    from etastar.errors import ProblemError

    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise ProblemError(f"--rates got {arguments.shown(text)}; expected LOW:HIGH:STEP, e.g. --rates 1e-3:1:0.5") from None
    return low, high, step
