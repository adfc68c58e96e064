"""Lanes that begin alike are trained once until they part: their trunk, and the arms that are forked from it.

A fork is a lane whose policy changes at a step (`Then`); that lanes of one rate and seed share their training until then is
only a saving, and gives what training each from its start would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from etastar.core.deadline import TimeOver
from etastar.core.lane import Lane, Outcome
from etastar.core.snapshot import Snapshot
from etastar.core.training import Training
from etastar.engine.lanes.watch import LOOK_EVERY
from etastar.policies.compose import Seeing, joined
from etastar.policies.policy import Policy
from etastar.policies.trunk import chain_of, trunk_of

Found = Iterator[tuple[int, Outcome]]


class Look(Protocol):
    """Called now and then with what is under way, and a `last` time when time is over."""

    def __call__(self, training: Training, *, last: bool = False) -> None:
        """Look."""
        ...


@dataclass(frozen=True)
class Stem:
    """A stretch of training: of one lane, to its end; or of several that part at its `stop`.

    Args:
        lane: what is trained.
        members: numbers of the lanes that it belongs to.
        start: step at which it begins.
        stop: step at which its members part; None for one lane.
        branches: how they go on.
    """

    lane: Lane
    members: tuple[int, ...]
    start: int = 0
    stop: int | None = None
    branches: tuple[Stem, ...] = ()

    def outcomes(
        self, training: Training, decided: tuple[int, Outcome], lanes: Mapping[int, Lane], paid: Mapping[int, int]
    ) -> Found:
        """Those of its members where its row was decided; the first of them has paid for its steps."""
        row, own_outcome = decided
        for number in self.members:
            lane = lanes[number]
            outcome = own_outcome if own_outcome.lane is lane else training.outcome_as(row, lane)
            own = outcome.steps - self.start if number == self.members[0] else 0
            yield number, replace(outcome, shared=outcome.steps - own - paid.get(number, 0))


def stems_of(lanes: Mapping[int, Lane]) -> list[Stem]:
    """The lanes as stems that do not share anything with each other.

    >>> from etastar.policies.compose import Then, Times
    >>> from etastar.policies.policy import Constant
    >>> arm = lambda at, factor: Lane(0.1, 0, 40, policy=Then(Constant(), at, Times(Constant(), factor)))
    >>> trunk, alone = stems_of({0: arm(20, 0.1), 1: arm(20, 0.5), 2: arm(30, 0.1), 3: Lane(0.2, 0, 40)})
    >>> trunk.members, trunk.stop, [(branch.members, branch.start) for branch in trunk.branches], alone.stop
    ((0, 1, 2), 20, [((0,), 20), ((1,), 20), ((2,), 20)], None)
    """
    alike: dict[object, list[int]] = {}
    for number, lane in lanes.items():
        past = (lane.lr, lane.seed, lane.settings, lane.criterion, lane.until, min(lane.criterion.window, lane.steps))
        shares = trunk_of(lane.policy) and not lane.monitors  # what is read of a lane is read from its start
        alike.setdefault(past if shares else number, []).append(number)
    chains = {
        number: chain_of(lanes[number].policy, lanes[number].steps)
        for numbers in alike.values()
        if len(numbers) > 1
        for number in numbers
    }
    return [stem for numbers in alike.values() for stem in _parted(numbers, 0, lanes, chains)]


def _parted(
    numbers: Sequence[int], start: int, lanes: Mapping[int, Lane], chains: Mapping[int, list[tuple[Policy, int]]]
) -> list[Stem]:
    """How lanes that are one until `start` go on."""
    together: dict[object, list[tuple[int, int]]] = {}
    for number in numbers:
        left = [(policy, end) for policy, end in chains.get(number, ()) if end > start]
        key, end = left[0] if len(left) > 1 else (number, 0)
        together.setdefault(key, []).append((number, end))
    found = []
    for policy, members in together.items():
        own = tuple(number for number, _ in members)
        if len(own) == 1:
            found.append(Stem(lanes[own[0]], own, start))
            continue
        stop = min(end for _, end in members)
        lane = _trunk([lanes[number] for number in own], policy)  # type: ignore[arg-type]
        found.append(Stem(lane, own, start, stop, tuple(_parted(own, stop, lanes, chains))))
    return found


def _trunk(lanes: Sequence[Lane], policy: Policy) -> Lane:
    """What is trained for all of `lanes`, which `policy` steers for now; it watches what any of them will read."""
    reads = joined(*(lane.policy for lane in lanes))
    extra = tuple(read for read in reads if read not in policy.reads)
    return replace(lanes[0], policy=Seeing(policy, extra) if extra else policy, steps=max(lane.steps for lane in lanes))


def grow_together(training: Training, stems: Sequence[Stem], lanes: Mapping[int, Lane], look: Look) -> Found:
    """Train stems as rows, side by side; forks are rows named twice. Yields outcomes as lanes are decided."""
    rows, paid = list(stems), dict.fromkeys(lanes, 0)
    while training.undecided:
        stop = min((rows[row].stop or rows[row].lane.steps) for row in training.undecided)
        for decided in _advanced(training, stop, look):
            yield from rows[decided[0]].outcomes(training, decided, lanes, paid)
        if any(rows[row].stop == training.step for row in training.undecided):
            rows = _forked(training, rows, paid)


def _advanced(training: Training, stop: int, look: Look) -> Found:
    """Train until `stop`, in strides; (row, outcome) of what was decided."""
    while training.undecided and training.step < stop:
        try:
            found = training.advance(min(LOOK_EVERY - training.step % LOOK_EVERY, stop - training.step))
        except TimeOver:
            look(training, last=True)
            raise
        yield from found
        look(training)


def _forked(training: Training, rows: Sequence[Stem], paid: dict[int, int]) -> list[Stem]:
    """Take every stem that ends here as its branches, and the others as they are."""
    places: list[int] = []
    found: list[Stem] = []
    for row in training.undecided:
        stem = rows[row]
        ends = stem.stop == training.step
        if ends:
            paid[stem.members[0]] += training.step - stem.start
        branches = stem.branches if ends else (stem,)
        places += [row] * len(branches)
        found += branches
    training.take(places, [stem.lane for stem in found])
    return found


def grow_in_turn(
    start: Callable[[Lane, Snapshot | None], Training],
    stem: Stem,
    lanes: Mapping[int, Lane],
    look: Look,
    at: Snapshot | None = None,
    paid: dict[int, int] | None = None,
) -> Found:
    """Train one stem after the other: a fork is a snapshot from which arm after arm is started."""
    paid = dict.fromkeys(lanes, 0) if paid is None else paid
    with start(stem.lane, at) as training:
        for decided in _advanced(training, stem.stop or stem.lane.steps, look):
            yield from stem.outcomes(training, decided, lanes, paid)
        here = training.snapshot(0) if training.undecided else None
    if here is not None:
        paid[stem.members[0]] += here.step - stem.start
        for branch in stem.branches:
            yield from grow_in_turn(start, branch, lanes, look, here, paid)
