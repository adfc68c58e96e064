"""One lane, trained by an ordinary PyTorch loop, obviously right: the truth that faster engines must equal."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from etastar.core.batch import Batch, is_finite
from etastar.core.closures import needs_closure
from etastar.core.deadline import check_time
from etastar.core.finite_loss import check_batch
from etastar.core.gradients import clip, gradient_values
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.modes import evaluating, unswitched
from etastar.core.named_groups import split
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import Setup, to
from etastar.core.snapshot import Snapshot, check_begins
from etastar.core.traceless import traceless
from etastar.engine.looks import Looks
from etastar.engine.reading import batches_from, next_batch, opened
from etastar.engine.recorder import Recorder
from etastar.engine.steering import Steering
from etastar.engine.step_hessian import hessian_of_step
from etastar.engine.validation import mean_scores, validation_scores, watched_loss
from etastar.errors import ProblemError, UserCodeRaised, call
from etastar.policies.compose import groups_named
from etastar.theory.curvature import Curvature

if TYPE_CHECKING:
    from etastar.engine.loop import LoopEngine


class LoopLane:
    """A lane under way.

    Args:
        engine: says how a setup is made, on which device and in which type.
        at: where it goes on; None: from its start.
        looks: what its monitors have read until there.
    """

    def __init__(
        self, engine: LoopEngine, problem: Problem, lane: Lane, at: Snapshot | None = None, looks: Looks | None = None
    ) -> None:
        self._engine, self._problem, self.lane = engine, problem, lane
        self._batches, self._first = opened(problem, lane.seed)
        fresh = lambda: engine.set_up(problem, lane.seed, self._first)
        setup = fresh()
        self._closures = needs_closure(setup.optimizer, lambda: nullcontext(fresh().optimizer))
        self.setup = split(setup, groups_named(lane.policy))
        self.setup.change(lane.settings)
        per_epoch = problem.parts.batches.per_epoch
        self._recorder = Recorder(lane, per_epoch // problem.accumulate or None if per_epoch else None)
        watched = None if problem.watch_batches is None else self._watched
        self._micro: list[Batch] = []
        """The micro-batches of the step under way."""
        self._steering = Steering(lane, self.setup, closures=self._closures, watched=watched, hessian=self._hessian)
        if at is not None:
            self._resume(at)
        self.looks = looks or Looks(lane, lambda: self.setup, to(self._first, engine.device, engine.dtype))

    def _resume(self, at: Snapshot) -> None:
        check_begins(self.lane, at.lane, at.step)
        at.restore(self.setup)
        self._recorder.resume(at.history)
        self._steering.resume(at.steering, at.lane.policy, at.step)
        self._batches.close()
        problem, step = self._problem, self._problem.before + at.step
        self._batches = batches_from(problem.parts.batches, self.lane.seed, step, problem.accumulate)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._recorder.step

    @property
    def last_loss(self) -> float:
        """Of the step taken last, before it."""
        return self._recorder.history.losses[-1]

    @property
    def decided(self) -> bool:
        """Whether it is over."""
        return self._recorder.done

    def snapshot(self) -> Snapshot:
        """It as it is now."""
        return Snapshot.of(self.lane, self.step, self.setup, self._steering.state(), self._recorder.state())

    def outcome_as(self, lane: Lane) -> Outcome:
        """What it did, under the name of a lane that begins alike."""
        return self.looks.beside(self._recorder.outcome_as(lane, *self._scores(lane)))

    def advance(self, steps: int) -> Outcome | None:
        """So many steps, at most; its outcome if that was its end."""
        stop = self.step + steps
        while not self._recorder.done and self.step < stop:
            check_time()
            self._advance()
        if not self._recorder.done:
            return None
        if not self._recorder.history.status.broken:
            self._look(last=True)
        return self.outcome_as(self.lane)

    def _look(self, *, last: bool = False) -> None:
        """What monitors read between the gradient and the update of this step, or at the lane's end."""
        self.looks.look(self.step, lambda: self.setup, last=last)

    def _advance(self) -> None:
        """One optimizer step."""
        problem, engine, recorder, step = self._problem, self._engine, self._recorder, self._recorder.step
        self._micro = micro = []
        number = problem.before + step
        for part in range(problem.accumulate):
            batch = self._first if step == part == 0 else next_batch(self._batches, self.lane.seed, number, part)
            micro.append(to(batch, engine.device, engine.dtype))
        try:
            loss, accuracy, norm, clipped, alive = _step(
                problem, self.setup, micro, self.lane.seed, step, recorder.wants_grad_norm(), self._steering, self._look,
                closures=self._closures,
            )  # fmt: skip
        except UserCodeRaised as error:
            recorder.raised(error)
            return
        recorder.report(loss, accuracy, norm, self._steering.lr, clipped, alive)
        if recorder.non_finite:
            for batch in micro:
                check_batch(problem, batch, f"a training batch (step {step})", engine.device, engine.dtype)

    def _scores(self, lane: Lane) -> tuple[float | None, float | None]:
        """Loss and accuracy on the validation data that `lane` is scored on, in eval mode."""
        problem, engine, setup = self._problem, self._engine, self.setup
        if problem.valid_batches is None or lane.until is not Until.END or self._recorder.history.status.broken:
            return None, None
        summed = engine.first_losses.summed(problem)
        evaluate = lambda batch: validation_scores(problem, setup.model, to(batch, engine.device, engine.dtype))
        with torch.no_grad(), evaluating(setup.model, setup.optimizer):
            scores = mean_scores(problem, lane, evaluate, summed=summed)
        loss, share = (None if score is None else float(score) for score in scores)
        return loss, share

    def _watched(self) -> torch.Tensor:
        """The loss on data that only policies see, in eval mode; nothing is disturbed."""
        problem, engine, setup = self._problem, self._engine, self.setup
        evaluate = lambda batch: validation_scores(problem, setup.model, to(batch, engine.device, engine.dtype), "watch")
        with traceless(setup.model, *problem.judges), unswitched(setup.optimizer), evaluating(setup.model, setup.optimizer):
            return watched_loss(problem, evaluate, summed=engine.first_losses.summed(problem))

    def _hessian(self) -> AbstractContextManager[Curvature]:
        """That of the step under way."""
        return hessian_of_step(self._problem, self.setup, self._micro, self.lane.seed, self.step)

    def close(self) -> None:
        """End its stream of data."""
        self._batches.close()


def _step(
    problem: Problem,
    setup: Setup,
    micro: list[Batch],
    seed: int,
    step: int,
    looks: bool,
    steering: Steering,
    look: Callable[[], None],
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
            seed_everything(derive_seed(seed, "mask", problem.before + step, part))
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
        values = gradient_values(setup.parameters()) if looks else []
        if looks:
            alive.append(sum(int(g.count_nonzero()) for g in values))
        if problem.clip_grad_norm is not None:
            norms.append(float(clip(setup.parameters(), problem.clip_grad_norm)))
        elif looks:
            norms.append(float(torch.nn.utils.get_total_norm(values)))
        return total

    try:
        if closures:
            steering.ask_before(step)
            look()
            call("optimizer.step(closure)", setup.optimizer.step, closure)
        else:
            closure()
            look()
            call("optimizer.step()", setup.optimizer.step)
    except UserCodeRaised:
        finite = all(map(math.isfinite, losses)) and all(map(is_finite, setup.parameters()))
        if finite:
            raise
        return math.nan, None, None, None, None  # what is raised after NaN belongs to the divergence
    loss, accuracy = steering.seen = first[0]
    clipped = None if problem.clip_grad_norm is None else norms[0] > problem.clip_grad_norm
    return loss, accuracy, norms[0] if norms else None, clipped, alive[0] if alive else None
