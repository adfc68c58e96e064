"""What an arm's network says and is told, before and after the next step: A and B of its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from etastar.probes.stability import Stability, StabilityLook, StabilityProbe
from etastar.studies.network_stability.arms import FACTORS, StabilityArm
from etastar.studies.network_stability.networks import Halves, cross_entropy
from etastar.studies.network_stability.walk import Walk
from etastar.studies.record import Row

SAMPLES = 128
"""Training samples that a look is on, as they are; it costs two to four steps."""
FAR = 10
"""Steps of the longer comparison."""


class ArmLooks:
    """Takes the looks of an arm.

    Args:
        halves: what is trained.
        seed: of its samples.
        arm: says when.
    """

    def __init__(self, halves: Halves, seed: int, arm: StabilityArm) -> None:
        self.rows: list[Row] = []
        self._halves, self._seed, self._arm = halves, seed, arm
        self._probe: StabilityProbe | None = None
        self._before: dict[int, StabilityLook] = {}

    @property
    def at(self) -> dict[int, Callable[[Walk], None]]:
        """step -> what looks before it."""
        after = (1, FAR) if self._arm.far else (1,)
        steps = {step for first in self._arm.looks for step in (first, *(first + k for k in after))}
        return {step: partial(self._look, after=after) for step in sorted(steps)}

    def _look(self, walk: Walk, after: tuple[int, ...]) -> None:
        if self._probe is None:
            batch = tuple(part[:SAMPLES] for part in self._halves.part(self._seed))
            self._probe = StabilityProbe(walk.net, batch, loss=partial(cross_entropy, noise=self._halves.noise))
        look = self._probe.look(step=walk.step)
        for k in after:
            if walk.step - k in self._arm.looks:
                self.rows.append(self._row(self._before[walk.step - k], look))
        if walk.step in self._arm.looks:
            self._before[walk.step] = look

    def _row(self, before: StabilityLook, after: StabilityLook) -> Row:
        assert self._probe is not None
        return {"step": before.step, **said_of(self._probe.change(before, after))}


def one_step(halves: Halves, seed: int, steps: int) -> list[Row]:
    """A and B over one step at several rates, all from the same weights, which have trained for so many steps."""
    walk, rows = Walk(halves, seed), []
    for _ in range(steps):
        walk.advance(halves.rate, halves.noise)
    state, batch = walk.state(), tuple(part[:SAMPLES] for part in halves.part(seed))
    probe = StabilityProbe(walk.net, batch, loss=partial(cross_entropy, noise=halves.noise))
    before = probe.look(step=steps)
    for factor in FACTORS:
        walk.restore(state)
        walk.advance(halves.rate * factor, halves.noise)
        rows.append({"factor": factor, **said_of(probe.change(before, probe.look(step=walk.step)))})
    return rows


def said_of(change: Stability) -> Row:
    """A, B and F of a change."""
    a = {block.name: _known(block.forward) for block in change.blocks}
    b = {block.name: _known(block.backward) for block in change.blocks}
    return {"k": change.k, "A": a, "B": b, "F": _known(change.kl)}


def _known(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
