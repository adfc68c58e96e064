"""The reference engine: one ordinary PyTorch training loop per lane, obviously right. Faster engines must equal it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext

import torch

from etastar import arguments
from etastar.core.batch import Batch, is_finite
from etastar.core.closures import needs_closure
from etastar.core.data import stream
from etastar.core.finite_loss import check_batch
from etastar.core.gradients import clip, gradient_values
from etastar.core.kept import undisturbed
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.modes import evaluating
from etastar.core.named_groups import split
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import Setup, check_fresh_storage, set_up, to
from etastar.engine.reading import next_batch
from etastar.engine.recorder import Recorder
from etastar.engine.steering import Steering
from etastar.engine.user_loop import follow
from etastar.engine.validation import FirstLosses, mean_scores, validation_scores
from etastar.errors import ProblemError, UserCodeRaised, call
from etastar.policies.compose import groups_named


class LoopEngine:
    """Trains lanes one after the other, in this process, on one thread.

    Args:
        device: where to train, e.g. "cpu" or "cuda".
        dtype: train in this floating-point type instead of the model's own (float64 for comparisons).
    """

    chunk = 1
    """Lanes trained together."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        self.device, self.dtype = arguments.name("device", device, "cpu"), dtype
        if device.startswith("cuda"):
            torch.cuda.init()  # before random state is saved, so that CUDA's is, too
        self._checked: Problem | None = None
        self.first_losses = FirstLosses(device, dtype)

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"loop/{self.device}" + (f"/{str(self.dtype).removeprefix('torch.')}" if self.dtype else "")

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) in the order of `lanes`, each with its seed's loss before training."""
        for index, lane in enumerate(lanes):
            first = self.first_losses.of(problem, lane)
            yield index, first.beside(self.train_lane(problem, lane))

    def train_lane(self, problem: Problem, lane: Lane) -> Outcome:
        """Train one lane; nothing of the caller's is changed by it."""
        with undisturbed(problem), steady_numerics():
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
        closures = needs_closure(setup.optimizer, lambda: nullcontext(self._set_up(problem, lane.seed, first).optimizer))
        setup = split(setup, groups_named(lane.policy))
        setup.change(lane.settings)
        per_epoch = problem.batches.per_epoch
        recorder = Recorder(lane, per_epoch // problem.accumulate or None if per_epoch else None)
        steering = Steering(lane, setup, closures=closures)
        while not recorder.done:
            step = recorder.step
            micro = []
            for part in range(problem.accumulate):
                batch = first if step == part == 0 else next_batch(batches, lane.seed, step, part)
                micro.append(to(batch, self.device, self.dtype))
            looks = recorder.wants_grad_norm()
            try:
                taken = _step(problem, setup, micro, lane.seed, step, looks, steering, closures=closures)
            except UserCodeRaised as error:
                recorder.raised(error)
                break
            loss, accuracy, norm, clipped, alive = taken
            recorder.report(loss, accuracy, norm, steering.lr, clipped, alive)
            if recorder.non_finite:
                for batch in micro:
                    check_batch(problem, batch, f"a training batch (step {step})", self.device, self.dtype)
        valid = (None, None)
        if lane.until is Until.END and not recorder.history.status.broken:
            valid = self._validate(problem, lane, setup)
        return recorder.outcome(valid_loss=valid[0], valid_accuracy=valid[1])

    def _validate(self, problem: Problem, lane: Lane, setup: Setup) -> tuple[float | None, float | None]:
        """Loss and accuracy on the validation data, in eval mode."""
        if problem.valid_batches is None:
            return None, None
        summed = self.first_losses.summed(problem)
        evaluate = lambda batch: validation_scores(problem, setup.model, to(batch, self.device, self.dtype))
        with torch.no_grad(), evaluating(setup.model, setup.optimizer):
            scores = mean_scores(problem, lane, evaluate, summed=summed)
        loss, share = (None if score is None else float(score) for score in scores)
        return loss, share


def _step(
    problem: Problem,
    setup: Setup,
    micro: list[Batch],
    seed: int,
    step: int,
    looks: bool,
    steering: Steering,
    *,
    closures: bool,
) -> tuple[float, float | None, float | None, bool | None, int | None]:
    """One optimizer step over the micro-batches; the loss and accuracy are those before the update.

    Where it `looks`, the gradient's norm is measured, and the gradients that are not exactly zero are counted. The policy is
    asked for the step's rate once there is a gradient, before it is clipped. With `closures` the optimizer computes the loss
    itself, once or more often; the first is reported, and the policy is asked before.
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
        if not closures:
            steering.ask(step, *first[-1])
        values = gradient_values(_parameters(setup)) if looks else []
        if looks:
            alive.append(sum(int(g.count_nonzero()) for g in values))
        if problem.clip_grad_norm is not None:
            norms.append(float(clip(_parameters(setup), problem.clip_grad_norm)))
        elif looks:
            norms.append(float(torch.nn.utils.get_total_norm(values)))
        return total

    try:
        if closures:
            steering.ask_before(step)
            call("optimizer.step(closure)", setup.optimizer.step, closure)
        else:
            closure()
            call("optimizer.step()", setup.optimizer.step)
    except UserCodeRaised:
        finite = all(map(math.isfinite, losses)) and all(map(is_finite, _parameters(setup)))
        if finite:
            raise
        return math.nan, None, None, None, None  # what is raised after NaN belongs to the divergence
    loss, accuracy = steering.seen = first[0]
    clipped = None if problem.clip_grad_norm is None else norms[0] > problem.clip_grad_norm
    return loss, accuracy, norms[0] if norms else None, clipped, alive[0] if alive else None


def _parameters(setup: Setup) -> list[torch.Tensor]:
    return [p for group in setup.optimizer.param_groups for p in group["params"]]
