"""Lanes under way as rows: see `Training`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import torch

from etastar.core.batch import Batch
from etastar.core.deadline import check_time
from etastar.core.finite_loss import check_batch
from etastar.core.kept import undisturbed
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.named_groups import split
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.setup import Setup, set_up, to
from etastar.core.snapshot import Snapshot, check_begins
from etastar.engine.lanes.feed import Feed
from etastar.engine.lanes.kernels.kernel import Kernel, Scores
from etastar.engine.lanes.lane_settings import vary
from etastar.engine.lanes.rates import Rates
from etastar.engine.lanes.rows import Rows, layout_of
from etastar.engine.lanes.watch import Watch
from etastar.engine.looks import Looks
from etastar.engine.reading import opened
from etastar.engine.recorder import History
from etastar.engine.signals import Signals, keys_of, refuse_hessian
from etastar.engine.taking import check_start, check_take
from etastar.engine.validation import mean_scores, samples_for, validation_scores, watched_loss
from etastar.errors import DoesNotApply
from etastar.policies.compose import OTHERS, groups_named

if TYPE_CHECKING:
    from etastar.engine.lanes.engine import LaneEngine

COMPACT_AT = 0.1
"""Share of decided lanes at which the rest is moved together: moving costs about a tenth of a step."""


class LaneTraining:
    """See `Training`; one criterion for all of them, and settings that go together."""

    def __init__(
        self, engine: LaneEngine, problem: Problem, lanes: Sequence[Lane], at: Sequence[Snapshot] | None = None
    ) -> None:
        if problem.is_loop:
            raise DoesNotApply("it is a training loop of the user's")
        check_start(lanes, at)
        if any(lane.monitors and lane.until is not Until.END for lane in lanes):
            raise DoesNotApply("its monitors look at the step at which it is decided, and rows notice that later")
        self._started = time.perf_counter()
        self._engine, self._problem, self.lanes, self._at = engine, problem, list(lanes), at
        self._device, self._dtype = engine.device, engine.dtype
        self._shared = len(lanes)
        self._updates = _updates(problem)
        self._number = list(range(len(lanes)))
        """Of every row, which of `lanes` it is."""
        self._ended: dict[int, tuple[History, Outcome, Setup | None]] = {}
        """Rows that were decided; those that died with the network they had, on which others that begin alike are scored."""
        self._looks: dict[int, Looks] = {}
        self._lr = torch.empty(0)
        """The rates of the last step."""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(undisturbed(self._problem))
            stack.enter_context(steady_numerics())
            self._engine.check_storage(self._problem)
            self._summed = self._engine.summed(self._problem)
            self._feed = stack.enter_context(closing(self._opened()))
            self._build()
            self._engine.check_memory(self._problem)
            self._looks = {n: self._looks_of(n) for n, lane in enumerate(self.lanes) if lane.monitors}
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def _looks_of(self, number: int) -> Looks:
        batch = to(self._example(self.lanes[number].seed), self._device, self._dtype)
        return Looks(self.lanes[number], lambda: self.setup(number), batch)

    def _opened(self) -> Feed:
        problem, seeds = self._problem, [lane.seed for lane in self.lanes]
        step = problem.before + (self._at[0].step if self._at else 0)
        return Feed(problem.parts.batches, seeds, self._device, self._dtype, step, problem.accumulate)

    def _build(self) -> None:
        """Everything of the lanes, at their start or where they were kept."""
        problem, lanes, at = self._problem, self.lanes, self._at
        step = at[0].step if at else 0
        seeds = [lane.seed for lane in lanes]
        labels = _labels(lanes)
        if at:
            setups, keys = {row: self._restored(lane, at[row], labels) for row, lane in enumerate(lanes)}, range(len(lanes))
        else:
            setups, keys = {seed: split(self._fresh(seed), labels) for seed in dict.fromkeys(seeds)}, seeds
        self._rates = Rates(lanes)
        refuse_hessian(self._rates.keys)
        self._lay_out(lanes, setups, keys, step)
        gradient, parameters = lambda: self._rows.grad[:, : self._used], lambda: self._rows.params[:, : self._used]
        watched = None if problem.watch_batches is None else self._watched
        self._signals = Signals(self._rates.keys, gradient, parameters, watched)
        per_epoch = problem.parts.batches.per_epoch
        self._watch = Watch(lanes, per_epoch // problem.accumulate or None if per_epoch else None)
        if at:
            self._rates.resume(lanes, [kept.steering for kept in at], [kept.lane.policy for kept in at], step)
            self._signals.resume([kept.steering["signals"] for kept in at], rows=True)
            self._signals.watch(self._rates.keys, step)
            self._watch.resume([kept.history for kept in at])

    def _fresh(self, seed: int) -> Setup:
        return set_up(self._problem, seed, device=self._device, dtype=self._dtype, example=self._example(seed))

    def _example(self, seed: int) -> Batch:
        """The first batch of a seed."""
        batches, first = opened(self._problem, seed)
        batches.close()
        return first

    def _restored(self, lane: Lane, kept: Snapshot, labels: Sequence[str]) -> Setup:
        check_begins(lane, kept.lane, kept.step)
        Signals.check_watched(keys_of(lane.policy), kept.steering["signals"], kept.step)
        setup = split(self._fresh(lane.seed), labels)
        kept.restore(setup, settings=False)  # a row has those of its lane
        return setup

    def _lay_out(self, lanes: Sequence[Lane], setups: Mapping[int, Setup], keys: Sequence[int], step: int) -> None:
        """Rows of these setups, after `step` steps, and the kernel that computes on them."""
        first = next(iter(setups.values()))
        layout = layout_of(first)
        vary(layout, first, lanes)
        self._kernel: Kernel = self._engine.kernel_factory(self._problem, first.model, layout)
        self._rows = Rows.of(setups, keys, layout, self._updates + step)
        self._used = layout.used
        self._rates.labels = tuple(group.label for group in first.groups)
        self._cut = _labels(lanes)

    @property
    def step(self) -> int:
        """See `Training`."""
        return self._watch.step

    @property
    def undecided(self) -> list[int]:
        """See `Training`."""
        return sorted(self._number[row] for row in self._watch.undecided)

    def advance(self, steps: int) -> list[tuple[int, Outcome]]:
        """See `Training`."""
        found: list[tuple[int, Outcome]] = []
        for _ in range(steps):
            if not len(self._watch.undecided):
                break
            found += self.step_once()
        return found if self._watch.looked else found + self._look()

    def step_once(self) -> list[tuple[int, Outcome]]:
        """One optimizer step of all rows; returns those that were seen to be decided, which is looked for now and then."""
        check_time()
        step = self.step
        (loss, share), norms, clipped, self._lr = self._gradient(step)
        rates = self._lr
        for number, looks in self._looks.items():
            if number in self._number:
                looks.look(step, lambda number=number: self._shown(number))
        alive = self._rows.alive() if self._watch.wants_grad_norm() else None
        self._watch.add(loss, share, norms, rates if rates.dim() == 1 else rates[:, 0], clipped, alive)
        with torch.no_grad():
            self._rows.step(rates)
        return self._look() if self._watch.due() else []

    def _gradient(self, step: int) -> tuple[Scores, torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
        """Loss and accuracy, gradient norms where they are wanted, which lanes were clipped, and every lane's rate."""
        problem, rows = self._problem, self._rows
        scores = self._kernel.gradient(rows, self._feed.next(problem.before + step))
        if problem.accumulate > 1:
            scores = self._accumulate(step, scores)
        norms = clipped = None
        noted = problem.clip_grad_norm is not None or self._watch.wants_grad_norm()  # as the loop does
        if noted or self._signals.reads("grad_norm"):
            norms = rows.grad_norms()
        rates = self._rates.step(step, self._signals.look(step, *scores, norms), self._signals.missing)
        if problem.clip_grad_norm is not None and norms is not None:
            rows.clip(norms, problem.clip_grad_norm)
            clipped = norms > problem.clip_grad_norm
        return scores, norms if noted else None, clipped, rates

    def _accumulate(self, step: int, first: Scores) -> Scores:
        """Means over the batches of one optimizer step."""
        rows, parts = self._rows, self._problem.accumulate
        total = rows.grad / parts
        losses, shares = [first[0].double()], [first[1]]
        for part in range(1, parts):
            loss, share = self._kernel.gradient(rows, self._feed.next(self._problem.before + step, part))
            total.add_(rows.grad / parts)
            losses.append(loss.double())
            shares.append(share)
        rows.grad.copy_(total)
        known = [share.double() for share in shares if share is not None]
        return torch.stack(losses).mean(0), torch.stack(known).mean(0) if len(known) == parts else None

    def _look(self) -> list[tuple[int, Outcome]]:
        """Outcomes of the lanes that are decided; the others are moved together where it pays."""
        found = self._watch.look()
        odd = self._feed.take_odd()
        if any(history.non_finite for _, history in found):
            for step, batch in odd:
                check_batch(self._problem, batch, f"a training batch (step {step})", self._device, self._dtype)
        seconds = (time.perf_counter() - self._started) / self._shared
        valid = self._validate({row: history.lane for row, history in found if _wants_validation(history)})
        outcomes = []
        for row, history in found:
            loss, share = valid.get(row, (None, None))
            number = self._number[row]
            outcome = history.outcome(valid_loss=loss, valid_accuracy=share, seconds=seconds)
            if looks := self._looks.pop(number, None):
                if not outcome.broken:
                    looks.look(outcome.steps, lambda number=number: self._shown(number), last=True)
                outcome = looks.beside(outcome)
            died = history.dead and loss is not None
            self._ended[number] = history, outcome, self.setup(number) if died else None
            outcomes.append((number, outcome))
        undecided = self._watch.undecided
        if 0 < len(undecided) <= (1 - COMPACT_AT) * len(self._rows):
            self._move(undecided.tolist())
        return outcomes

    def outcome_as(self, row: int, lane: Lane) -> Outcome:
        """See `Training`."""
        history, own, setup = self._ended[row]
        loss = share = None
        if setup is not None:
            model = setup.model.eval()
            evaluate = lambda batch: validation_scores(self._problem, model, to(batch, self._device, self._dtype))
            with torch.no_grad():
                scores = mean_scores(self._problem, lane, evaluate, summed=self._summed)
            loss, share = (None if score is None else float(score) for score in scores)
        outcome = replace(history, lane=lane).outcome(valid_loss=loss, valid_accuracy=share, seconds=own.seconds)
        return replace(outcome, readings=own.readings)

    def take(self, rows: Sequence[int], lanes: Sequence[Lane] | None = None) -> None:
        """See `Training`."""
        named = check_take(self, rows, lanes)
        place = {number: row for row, number in enumerate(self._number)}
        own = [place[row] for row in rows]
        again = set(_labels(named)) - set(self._cut)
        setups = {key: self._copy_of(row, named[key].seed, _labels(named)) for key, row in enumerate(own)} if again else {}
        keys = [key for lane in named for key in keys_of(lane.policy)]
        refuse_hessian(keys)
        self._signals.watch(keys, self.step)
        self._looks = {new: self._looks[row].fork() for new, row in enumerate(rows) if row in self._looks}
        self._move(own, named)
        if again:  # a policy has named a group: the rows are laid out anew
            self._lay_out(named, setups, range(len(named)), self.step)
        self.lanes, self._number, self._ended, self._shared = named, list(range(len(named))), {}, len(named)

    def _move(self, rows: Sequence[int], lanes: Sequence[Lane] | None = None) -> None:
        """Only these rows, in this order."""
        index = torch.tensor(rows)
        self._rates.take(index, lanes, self.step)
        self._rows.take(index)
        self._signals.take(index)
        self._feed.take(rows)
        self._watch.take(index.numpy(), lanes)
        self._number = [self._number[row] for row in rows]

    def snapshot(self, row: int) -> Snapshot:
        """See `Training`."""
        own = self._number.index(row)
        steering = self._rates.state(own) | {"signals": self._signals.state(own), "seen": [None, None]}
        return Snapshot.of(self.lanes[row], self.step, self.setup(row), steering, self._watch.state(own))

    def setup(self, row: int) -> Setup:
        """See `Training`; a copy."""
        lane = self.lanes[row]
        setup = self._copy_of(self._number.index(row), lane.seed, self._cut)
        setup.change(lane.settings)
        return setup

    def _shown(self, number: int) -> Setup:
        """The same at the rate of the last step."""
        setup, lr = self.setup(number), self._lr[self._number.index(number)]
        labels = self._rates.labels
        setup.set_rates(float(lr) if lr.dim() == 0 else {OTHERS: float(lr[0])} | dict(zip(labels, lr.tolist(), strict=True)))
        return setup

    def _copy_of(self, row: int, seed: int, labels: Sequence[str]) -> Setup:
        """A row as an ordinary model and optimizer, whose settings are still the problem's."""
        setup = split(self._fresh(seed), labels)
        self._rows.put(row, setup)
        return setup

    def _validate(self, ended: Mapping[int, Lane]) -> dict[int, tuple[float | None, float | None]]:
        """Loss and accuracy on the validation data by row, in eval mode; lanes of one length see the same samples."""
        found: dict[int, tuple[float | None, float | None]] = {}
        together: dict[int, list[int]] = {}
        for row, lane in ended.items():
            together.setdefault(samples_for(self._problem, lane), []).append(row)
        for rows in together.values():
            scores = mean_scores(self._problem, ended[rows[0]], self._evaluate, summed=self._summed)
            loss, share = ([None] * len(self._rows) if score is None else score.tolist() for score in scores)
            found |= {row: (loss[row], share[row]) for row in rows}
        return found

    def _evaluate(self, batch: Batch) -> Scores:
        return self._kernel.evaluate(self._rows, to(batch, self._device, self._dtype))

    def _watched(self) -> torch.Tensor:
        """The loss on data that only policies see, [K]."""
        return watched_loss(self._problem, self._evaluate, summed=self._summed)


def _updates(problem: Problem) -> int:
    """What the optimizer has counted before the first step."""
    if problem.start_from is None:
        return 0
    if (updates := problem.start_from.updates) is None:
        raise DoesNotApply("its checkpoint has parameters that were updated more often than others")
    return updates


def _labels(lanes: Sequence[Lane]) -> tuple[str, ...]:
    """Groups that some policy names."""
    return tuple(dict.fromkeys(label for lane in lanes for label in groups_named(lane.policy)))


def _wants_validation(history: History) -> bool:
    return history.lane.until is Until.END and not history.status.broken
