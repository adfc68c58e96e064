"""What every design must do; see `etastar.core.design.Design`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from etastar.core.design import Design, Engine, Plan
from etastar.core.lane import Lane, Runs
from etastar.testing.expect import expect
from etastar.testing.synthetic import SyntheticEngine

MOST_BATCHES = 1000
CUTS = 6
"""Batches after which it is stopped early, spread over all of them."""
Batch = tuple[list[Lane], Runs]


def check_design(
    make: Callable[[], Design[Any]], engine: Engine | None = None, problem: Any = None, *, widened_by: int = 0
) -> None:
    """Hold that a design keeps the contract of `Design`.

    Told the same outcomes in the same order it asks the same lanes and answers the same; it ends, asks for no more than it
    planned, and for nothing after its end; stopped after any batch, or in one, it asks for nothing more and still answers.

    Args:
        make: makes the design anew, always the same.
        engine: trains its lanes; default: a `SyntheticEngine`.
        problem: what the engine trains.
        widened_by: lanes beyond its plan that it may ask for where its first range of rates does not hold the answer.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> from etastar import Criterion
    >>> from etastar.designs import EtaStar
    >>> check_design(lambda: EtaStar(Criterion(), steps=40, around=0.1))
    """
    engine = engine or SyntheticEngine()
    design = make()
    name, planned = type(design).__name__, design.planned()
    expect(isinstance(planned, Plan), f"planned() of {name} is a {type(planned).__name__}; expected an etastar Plan")
    told = list(_run(design, name, engine, problem))
    first, lanes = repr(design.answer()), [lane for batch, _ in told for lane in batch]
    longest = max((lane.steps for lane in lanes), default=0)
    most = planned + Plan(widened_by, widened_by * longest)
    spent = sum(outcomes.gradient_steps for _, outcomes in told)
    trained = len({(lane.lr, lane.seed, lane.settings) for lane in lanes})  # one that goes on over more steps is one
    took = f"{name} took {trained} lanes and {spent} steps"
    expect(
        trained <= most.lanes and spent <= most.steps,
        f"{took}; expected at most {most.lanes} and {most.steps}, as it had planned",
    )
    expect(not design.ask(), f"{name} asked for lanes after its end; expected nothing")
    expect(repr(design.answer()) == first, f"the second answer of {name} is not its first; expected the same")
    _retold(make(), name, told, first)
    for cut in sorted({round(i * len(told) / CUTS) for i in range(CUTS + 1)}):
        _stopped(make(), name, told[:cut])
        _stopped(make(), name, told[:cut], asked=True)


def _run(design: Design[Any], name: str, engine: Engine, problem: Any) -> Iterator[Batch]:
    for _ in range(MOST_BATCHES):
        lanes = list(design.ask())
        if not lanes:
            return
        for lane in lanes:
            expect(isinstance(lane, Lane), f"{name} asked for a {type(lane).__name__}; expected an etastar.Lane")
        done = dict(engine.train(problem, lanes))
        outcomes = Runs(done[i] for i in range(len(lanes)))
        design.tell(outcomes)
        yield lanes, outcomes
    raise AssertionError(f"{name} asked for {MOST_BATCHES} batches and no end is in sight; expected ask() to return nothing")


def _tell(design: Design[Any], name: str, told: Sequence[Batch]) -> None:
    """Copies of the same outcomes, as a store gives them back."""
    for number, (lanes, outcomes) in enumerate(told):
        asked = list(design.ask())
        expect(
            asked == lanes,
            f"{name}, told the same outcomes as before, asked for other lanes in batch {number + 1}; expected the same: "
            "draw what is random from its seed",
        )
        design.tell(Runs(replace(outcome) for outcome in outcomes))


def _retold(design: Design[Any], name: str, told: Sequence[Batch], first: str) -> None:
    _tell(design, name, told)
    expect(not design.ask(), f"{name}, told the same outcomes as before, goes on; expected it to end where it ended")
    expect(repr(design.answer()) == first, f"{name}, told the same outcomes as before, answers otherwise; expected the same")


def _stopped(design: Design[Any], name: str, told: Sequence[Batch], *, asked: bool = False) -> None:
    """Between two batches; or in the middle of one, which it is never told of."""
    _tell(design, name, told)
    if asked:
        design.ask()
    design.stop("time-limit")
    expect(not design.ask(), f"{name} was stopped after {len(told)} batches and asked for lanes; expected nothing")
    try:
        design.answer()
    except Exception as error:
        raise AssertionError(
            f"{name} was stopped after {len(told)} batches and could not answer ({type(error).__name__}: {error}); expected "
            "an answer, perhaps without a value"
        ) from error
