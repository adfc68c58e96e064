"""The reference engine: one ordinary PyTorch training loop per lane, obviously right. Faster engines must equal it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any

import torch

from etastar.core.closures import needs_closure
from etastar.core.data import Batch, check_finite, stream
from etastar.core.gradients import clip, gradient_values
from etastar.core.kept import unmoved
from etastar.core.lane import Lane, LaneStatus, Outcome, Until
from etastar.core.modes import evaluating
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import Setup, call, check_fresh_storage, set_up, to
from etastar.engine.recorder import Recorder
from etastar.errors import ProblemError
from etastar.policies.policy import Observation

VALID_BATCHES = 64


class LoopEngine:
    """Trains lanes one after the other, in this process, on one thread.

    Args:
        device: where to train, e.g. "cpu" or "cuda".
        dtype: train in this floating-point type instead of the model's own (float64 for comparisons).
    """

    chunk = 1
    """Lanes trained together."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        self.device, self.dtype = device, dtype
        if device.startswith("cuda"):
            torch.cuda.init()  # before random state is saved, so that CUDA's is, too
        self._checked: Problem | None = None

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"loop/{self.device}" + (f"/{str(self.dtype).removeprefix('torch.')}" if self.dtype else "")

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) in the order of `lanes`."""
        for index, lane in enumerate(lanes):
            yield index, self.train_lane(problem, lane)

    def train_lane(self, problem: Problem, lane: Lane) -> Outcome:
        """Train one lane; nothing of the caller's is changed by it."""
        with isolated_randomness(), steady_numerics(), unmoved(*problem.judges):
            if problem.loop is not None:
                return _follow_user_loop(problem, lane)
            if self._checked is not problem:
                check_fresh_storage(problem)
                self._checked = problem
            return self._train(problem, lane)

    def _set_up(self, problem: Problem, seed: int, example: Batch) -> Setup:
        return set_up(problem, seed, device=self.device, dtype=self.dtype, example=example)

    def _train(self, problem: Problem, lane: Lane) -> Outcome:
        assert problem.batches is not None
        with closing(stream(problem.batches, lane.seed)) as batches:
            return self._train_on(batches, problem, lane)

    def _train_on(self, batches: Iterator[Batch], problem: Problem, lane: Lane) -> Outcome:
        assert problem.batches is not None
        first = next_batch(batches, lane.seed, 0)
        setup = self._set_up(problem, lane.seed, first)
        closures = needs_closure(setup.optimizer, lambda: nullcontext(self._set_up(problem, lane.seed, first).optimizer))
        setup.change(lane.settings)
        per_epoch = problem.batches.per_epoch
        recorder = Recorder(lane, per_epoch // problem.accumulate or None if per_epoch else None)
        state, seen = lane.policy.init(torch.tensor(lane.lr, dtype=torch.float64)), None
        while not recorder.done:
            step = recorder.step
            rate, state = lane.policy.step(Observation(step, seen), state)
            lr = float(rate)
            setup.set_lr(lr)
            micro = []
            for part in range(problem.accumulate):
                batch = first if step == part == 0 else next_batch(batches, lane.seed, step, part)
                micro.append(to(batch, self.device, self.dtype))
            looks = recorder.wants_grad_norm()
            loss, accuracy, norm, clipped, alive = _step(problem, setup, micro, lane.seed, step, looks, closures=closures)
            recorder.report(loss, accuracy, norm, lr, clipped, alive)
            seen = torch.tensor(loss, dtype=torch.float64)
            if recorder.non_finite:
                for batch in micro:
                    check_finite(batch, f"a training batch (step {step})")
        valid = (None, None)
        if lane.until is Until.END and recorder.history.status is not LaneStatus.DIVERGED:
            valid = _validate(problem, setup, self.device, self.dtype)
        return recorder.outcome(valid_loss=valid[0], valid_accuracy=valid[1])


def next_batch(batches: Iterator[Batch], seed: int, step: int, part: int = 0) -> Batch:
    """The next batch; random transforms in it draw from (seed, step, part) alone."""
    seed_everything(derive_seed(seed, "batch", step, part))
    return call("reading a training batch", next, batches)


def _step(
    problem: Problem, setup: Setup, micro: list[Batch], seed: int, step: int, looks: bool, *, closures: bool
) -> tuple[float, float | None, float | None, bool | None, int | None]:
    """One optimizer step over the micro-batches; the loss and accuracy are those before the update.

    Where it `looks`, the gradient's norm is measured, and the gradients that are not exactly zero are counted. With
    `closures` the optimizer computes the loss itself, once or more often; the first is reported.
    """
    first: list[tuple[float, float | None]] = []
    norms: list[float] = []
    alive: list[int] = []

    def closure() -> torch.Tensor:
        setup.optimizer.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        right: list[float] = []
        for part, batch in enumerate(micro):
            seed_everything(derive_seed(seed, "mask", step, part))
            loss, accuracy = call("the loss", loss_and_accuracy, problem, setup.model, batch)
            if not loss.requires_grad:
                raise ProblemError("the loss does not depend on any trainable parameter; check for .detach() or no_grad()")
            (loss.reshape(()) / problem.accumulate).backward()
            total += loss.detach().double().cpu().reshape(()) / problem.accumulate
            if accuracy is not None:
                right.append(float(accuracy))
        first.append((float(total), sum(right) / len(right) if len(right) == len(micro) else None))
        values = gradient_values(_parameters(setup)) if looks else []
        if looks:
            alive.append(sum(int(g.count_nonzero()) for g in values))
        if problem.clip_grad_norm is not None:
            norms.append(float(clip(_parameters(setup), problem.clip_grad_norm)))
        elif looks:
            norms.append(float(torch.nn.utils.get_total_norm(values)))
        return total

    if closures:
        call("optimizer.step(closure)", setup.optimizer.step, closure)
    else:
        closure()
        call("optimizer.step()", setup.optimizer.step)
    loss, accuracy = first[0]
    clipped = None if problem.clip_grad_norm is None else norms[0] > problem.clip_grad_norm
    return loss, accuracy, norms[0] if norms else None, clipped, alive[0] if alive else None


def _parameters(setup: Setup) -> list[torch.Tensor]:
    return [p for group in setup.optimizer.param_groups for p in group["params"]]


def _validate(problem: Problem, setup: Setup, device: str, dtype: torch.dtype | None) -> tuple[float | None, float | None]:
    """Mean loss and accuracy over at most `VALID_BATCHES` validation batches, in eval mode."""
    if problem.valid_batches is None:
        return None, None
    losses: list[float] = []
    accuracies: list[float] = []
    with torch.no_grad(), evaluating(setup.model, setup.optimizer):
        for batch, _ in zip(problem.valid_batches.epoch(0, 0, shuffle=False), range(VALID_BATCHES), strict=False):
            loss, accuracy = call("the loss on valid", loss_and_accuracy, problem, setup.model, to(batch, device, dtype))
            losses.append(float(loss))
            if accuracy is not None:
                accuracies.append(float(accuracy))
    mean = lambda values: sum(values) / len(values) if values else None
    return mean(losses), mean(accuracies)


def _follow_user_loop(problem: Problem, lane: Lane) -> Outcome:
    """Let the user's own loop train; `report` watches it. An exception after divergence belongs to the divergence."""
    assert problem.loop is not None
    if lane.settings:
        raise ProblemError(f"a training loop of your own has no optimizer whose {lane.settings[0][0]} could be changed")
    recorder = Recorder(lane)

    def report(loss: Any, accuracy: Any = None, grad_norm: Any = None, lr: float | None = None) -> bool:
        optional = [None if x is None else _number(x) for x in (accuracy, grad_norm)]
        return recorder.report(_number(loss), optional[0], optional[1], lr)

    seed_everything(derive_seed(lane.seed, "loop"))
    try:
        call("your training loop", problem.loop, lane.lr, lane.seed, report)
    except ProblemError:
        if not recorder.non_finite:
            raise
    if recorder.step == 0:
        raise ProblemError("your training loop returned without a report(loss=...); call it once per optimizer step")
    return recorder.outcome()


def _number(value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise ProblemError(f"report() got a {type(value).__name__}; expected a number or a scalar tensor") from None
