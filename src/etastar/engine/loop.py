"""The reference engine: one ordinary PyTorch training loop per lane, obviously right. Faster engines must equal it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import closing

import torch

from etastar.core.data import Batch, is_finite, stream
from etastar.core.finite_loss import check_batch
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import Setup, check_fresh_storage, set_up, to
from etastar.engine.recorder import Recorder
from etastar.engine.user_loop import follow
from etastar.errors import ProblemError, UserCodeRaised, call
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
        with isolated_randomness(), steady_numerics():
            if problem.loop is not None:
                return follow(problem, lane)[0]
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
            try:
                loss, accuracy, norm, clipped, alive = _step(problem, setup, micro, lane.seed, step, looks)
            except UserCodeRaised as error:
                recorder.raised(error)
                break
            recorder.report(loss, accuracy, norm, lr, clipped, alive)
            seen = torch.tensor(loss, dtype=torch.float64)
            if recorder.non_finite:
                for batch in micro:
                    check_batch(problem, batch, f"a training batch (step {step})", self.device, self.dtype)
        valid = (None, None)
        if lane.until is Until.END and not recorder.history.status.broken:
            valid = _validate(problem, setup, self.device, self.dtype)
        return recorder.outcome(valid_loss=valid[0], valid_accuracy=valid[1])


def next_batch(batches: Iterator[Batch], seed: int, step: int, part: int = 0) -> Batch:
    """The next batch; random transforms in it draw from (seed, step, part) alone."""
    seed_everything(derive_seed(seed, "batch", step, part))
    return call("reading a training batch", next, batches)


def _step(
    problem: Problem, setup: Setup, micro: list[Batch], seed: int, step: int, looks: bool
) -> tuple[float, float | None, float | None, bool | None, int | None]:
    """One optimizer step over the micro-batches; the loss and accuracy are those before the update.

    Where it `looks`, the gradient's norm is measured, and the gradients that are not exactly zero are counted.
    """
    losses: list[float] = []
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
            losses.append(float(loss.detach()))
            call("backward()", (loss.reshape(()) / problem.accumulate).backward)
            total += loss.detach().double().cpu().reshape(()) / problem.accumulate
            if accuracy is not None:
                right.append(float(accuracy))
        first.append((float(total), sum(right) / len(right) if len(right) == len(micro) else None))
        grads = [p.grad for p in _parameters(setup) if p.grad is not None and not p.grad.is_sparse]
        if looks:
            alive.append(sum(int(g.count_nonzero()) for g in grads))
        if problem.clip_grad_norm is not None:
            norms.append(float(torch.nn.utils.clip_grad_norm_(_parameters(setup), problem.clip_grad_norm)))
        elif looks:
            norms.append(float(torch.nn.utils.get_total_norm(grads)))
        return total

    try:
        if _needs_closure(setup.optimizer):
            call("optimizer.step(closure)", setup.optimizer.step, closure)
        else:
            closure()
            call("optimizer.step()", setup.optimizer.step)
    except UserCodeRaised:
        finite = all(map(math.isfinite, losses)) and all(map(is_finite, _parameters(setup)))
        if finite:
            raise
        return math.nan, None, None, None, None  # what is raised after NaN belongs to the divergence
    loss, accuracy = first[0]
    clipped = None if problem.clip_grad_norm is None else norms[0] > problem.clip_grad_norm
    return loss, accuracy, norms[0] if norms else None, clipped, alive[0] if alive else None


def _parameters(setup: Setup) -> list[torch.nn.Parameter]:
    return [p for group in setup.optimizer.param_groups for p in group["params"]]


def _needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` cannot be called without a closure (LBFGS, SAM and the like)."""
    step = inspect.unwrap(type(optimizer).step)
    closure = inspect.signature(step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _validate(problem: Problem, setup: Setup, device: str, dtype: torch.dtype | None) -> tuple[float | None, float | None]:
    """Mean loss and accuracy over at most `VALID_BATCHES` validation batches, in eval mode."""
    if problem.valid_batches is None:
        return None, None
    setup.model.eval()
    losses: list[float] = []
    accuracies: list[float] = []
    with torch.no_grad():
        for batch, _ in zip(problem.valid_batches.epoch(0, 0, shuffle=False), range(VALID_BATCHES), strict=False):
            loss, accuracy = call("the loss on valid", loss_and_accuracy, problem, setup.model, to(batch, device, dtype))
            losses.append(float(loss))
            if accuracy is not None:
                accuracies.append(float(accuracy))
    mean = lambda values: sum(values) / len(values) if values else None
    return mean(losses), mean(accuracies)
