"""Methods whose lanes end by luck: what one seed says of the best rate is a span, and no verdict on the rate in use.

A quasi-Newton method on batches goes where a difference of two noisy gradients points. Over six rates from .003 to 1 its
final losses on five seeds of one small network (digits, 40 steps) lay between .36 and 4.3 and in four lanes out of thirty
diverged; the best rate of a seed was anywhere in two decades. For SGD and Adam, of as few as 8 steps, it moved by a quarter
of a decade.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from etastar.core.data import stream
from etastar.core.kept import undisturbed
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import set_up, to
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.climb import MOVED
from etastar.errors import ProblemError, call

ONE_SEED = "one-seed"
SEARCHES = 3
"""Gradients in one step from which it is a search of its own; SAM takes two."""


def searches_in_a_step(problem: Problem, device: str) -> bool:
    """Whether a step of the optimizer is a search: LBFGS, a line search, and what else evaluates the loss many times."""
    if problem.is_loop:
        return False
    with undisturbed(problem), steady_numerics():
        seed = derive_seed(problem.seed, "evaluations")
        batch = call("reading a training batch", next, stream(problem.parts.batches, seed))
        setup = set_up(problem, seed, device=device, example=batch)
        if isinstance(setup.optimizer, torch.optim.LBFGS):
            return True
        if type(setup.optimizer).__module__.startswith("torch.optim"):
            return False  # the others take one
        count, batch = 0, to(batch, device)

        def closure() -> torch.Tensor:
            nonlocal count
            count += 1
            setup.optimizer.zero_grad()
            loss, _ = loss_and_accuracy(problem, setup.model, batch)
            loss.backward()
            return loss

        try:
            closure()
            count = 0
            call("optimizer.step(closure)", setup.optimizer.step, closure)
        except ProblemError:
            return False  # it takes none
        return count >= SEARCHES


def of_one_seed(best: BestRate, steps: int) -> BestRate:
    """The answer of short lanes of such a method: its interval spans all rates that trained, and those next to them.

    A lane that failed says that one seed failed. There is no plateau: the loss is not a curve over the rate.
    """
    if best.lr.low is None or best.lr.high is None or not best.lr.ok:
        return best
    low, high = best.lr.low, best.lr.high
    for rung in best.rungs:
        rates = [lr for lr, _, _ in rung.points]
        trained = [i for i, (_, score, _) in enumerate(rung.points) if score <= MOVED]
        if trained:
            low = min(low, rung.steps / steps * rates[max(trained[0] - 1, 0)])  # gamma between 0 and 1, as `BestLR` has it
            high = max(high, rates[min(trained[-1] + 1, len(rates) - 1)])
    lr = replace(best.lr, low=low, high=high, flags=(*(f for f in best.lr.flags if f != "flat"), ONE_SEED))
    return replace(best, lr=lr, plateau=None)
