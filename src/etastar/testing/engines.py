"""What every engine must do: train lanes as the reference loop does; see `etastar.core.design.Engine`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from etastar.core.design import Engine
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.loop import LoopEngine
from etastar.testing.expect import expect

NORMS = 100.0
"""Norms of gradients may differ so many times more than losses: they are sums of squares of what has rounded before."""


def check_engine(
    engine: Engine, problem: Problem, lanes: Sequence[Lane], *, truth: Engine | None = None, tolerance: float = 1e-12
) -> None:
    """Hold that `engine` trains `lanes` as the loop does, each once, whichever other lanes it is given beside them.

    Args:
        engine: in float64, where the default tolerance is to hold.
        problem: with lanes that are stable; rounding grows without bound in others.
        lanes: two or more.
        truth: what it must equal; default: the reference loop in float64.
        tolerance: relative, of losses and accuracies.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> import torch
    >>> from etastar import LaneEngine
    >>> from etastar.problems.quadratic import quadratic
    >>> lanes = [Lane(0.1, seed, 20) for seed in (0, 1)]
    >>> check_engine(LaneEngine("vmap", dtype=torch.float64), quadratic(), lanes)
    >>> check_engine(LaneEngine("vmap", dtype=torch.float32), quadratic(), lanes)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    AssertionError: vmap/cpu/float32 has ... at step 0 of the lane of rate 0.1 and seed 0; expected the loop's ...
    """
    truth = truth or LoopEngine(dtype=torch.float64)
    known = _trained(truth, problem, lanes)
    for lane, outcome in zip(lanes, known, strict=True):
        moved = len({row.loss for row in outcome.trace}) > 1 or outcome.steps < 2
        expect(moved, f"the loss of {_lane(lane)} does not change in {truth.name}; expected a problem that trains")
    for own, theirs in zip(_trained(engine, problem, lanes), known, strict=True):
        check_outcome(own, theirs, tolerance, engine.name)
    backwards = _trained(engine, problem, list(reversed(lanes))[:-1])
    for own, theirs in zip(backwards, list(reversed(known))[:-1], strict=True):
        check_outcome(own, theirs, tolerance, f"{engine.name}, with other lanes beside it,")


def check_outcome(own: Outcome, truth: Outcome, tolerance: float, name: str) -> None:
    """Hold that two outcomes of one lane are equal: how it ended, every recorded step, the validation.

    Raises:
        AssertionError: they are not; the sentence names the first difference.
    """
    of = f"of {_lane(truth.lane)}"
    for what in ("status", "reached", "steps", "error"):
        a, b = getattr(own, what), getattr(truth, what)
        expect(a == b, f"{name} has {what} {a} {of}; expected the loop's {b}")
    steps = [[row.step for row in outcome.trace] for outcome in (own, truth)]
    expect(steps[0] == steps[1], f"{name} recorded the steps {steps[0]} {of}; expected the loop's {steps[1]}")
    for ours, theirs in zip(own.trace, truth.trace, strict=True):
        for what, allowed in (("lr", 0.0), ("loss", tolerance), ("accuracy", tolerance), ("grad_norm", NORMS * tolerance)):
            _close(getattr(ours, what), getattr(theirs, what), allowed, f"{name} has {what}", f"at step {ours.step} {of}")
    for what in ("valid_loss", "valid_accuracy", "end_loss", "end_accuracy"):
        _close(getattr(own, what), getattr(truth, what), tolerance, f"{name} has {what}", of)


def _trained(engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> list[Outcome]:
    done: dict[int, Outcome] = {}
    for index, outcome in engine.train(problem, lanes):
        expect(index not in done, f"{engine.name} gave lane {index} twice; expected each once")
        done[index] = outcome
    for index, lane in enumerate(lanes):
        expect(index in done, f"{engine.name} gave no outcome of lane {index}; expected one a lane")
        expect(done[index].lane == lane, f"{engine.name} gave the outcome of another lane for lane {index}")
    return [done[index] for index in range(len(lanes))]


def _close(a: float | None, b: float | None, tolerance: float, what: str, where: str) -> None:
    sentence = f"{what} {a!r} {where}; expected the loop's {b!r}"
    if a is None or b is None:
        expect(a is b, sentence)
    else:
        expect(math.isclose(a, b, rel_tol=tolerance) or (math.isnan(a) and math.isnan(b)), sentence)


def _lane(lane: Lane) -> str:
    return f"the lane of rate {lane.lr:g} and seed {lane.seed}"
