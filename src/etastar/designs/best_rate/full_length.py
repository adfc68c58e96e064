"""The best rate from lanes of the full length: no extrapolation, several seeds, until the interval is as narrow as asked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from scipy.special import stdtrit

from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_rate import BestRate, Scale, Share, no_progress, plateau_bar, rung_result, trained_near
from etastar.designs.best_rate.climb import FAILED, Climb
from etastar.policies.policy import Constant, Policy

SPACING = 0.25
DECADE = 4
"""Steps of the lattice."""
LOOKS = 5
"""Lanes of the look, at most."""
SEEDS, MOST_SEEDS = 3, 5
MOST_RATES = 8
WORSE = 0.1
"""Share of the best loss at most that a rate on the plateau costs which is answered: where losses are small, 0.05 nats are
half of one, and called good what cost 10 to 52 % in 5 of 16 runs from a checkpoint (2026-11-26_checkpoint)."""
MODEL_PAD = 0.06
"""Decades added on both sides: a parabola through three rates is not the curve."""


@dataclass
class FullLength:
    """Climb with lanes of the full length, quarter-decade steps, all rates on the same seeds. A `Design`.

    Each seed has a vertex of its own; the value is the vertex of the mean scores, the interval mean -+ t s / sqrt(seeds). It
    reaches to where the middle of the plateau may lie, too: where the loss hardly bends, that is as good a rate.

    Args:
        criterion: when a lane counts as having started to train.
        steps: the horizon T.
        policy: the schedule over T.
        start: where to begin, e.g. what short lanes recommend.
        within: half-width of the 90 % interval asked for, in decades.
        seed: of the lanes.
        ends: the lowest and the highest rate that short lanes leave open. These and the rates a decade beyond are trained
            first, on one seed, and the climb begins at the best of them: it ends in the basin that it begins in.
    """

    criterion: Criterion
    steps: int
    policy: Policy = field(default_factory=Constant)
    start: float = 1e-2
    within: float = 0.25
    seed: int = 0
    ends: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self._centre = math.log10(self.start)
        self._outcomes: dict[tuple[int, int], Outcome] = {}
        self._look = self._to_look_at()
        self._wanted = [(k, 0) for k in self._look] if self._look else self._around(0)
        self._seeds = SEEDS
        self._flags: list[str] = []
        self._stopped = False

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """The look, and all rates on all seeds: a seed that is added trains at every rate that was tried."""
        lanes = MOST_SEEDS * MOST_RATES + (0 if self.ends is None else LOOKS)
        return Plan(lanes, lanes * self.steps)

    def ask(self) -> Sequence[Lane]:
        """The look; three rates on three seeds; neighbours of the best; more seeds while the interval is too wide."""
        if self._stopped:
            return []
        seeds = [derive_seed(self.seed, "full", index) for index in range(MOST_SEEDS)]
        lane = lambda k, seed: Lane(
            quantise(10 ** self._x(k)), seeds[seed], self.steps, self.criterion, Until.END, self.policy
        )
        return [lane(k, seed) for k, seed in self._wanted]

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        self._outcomes.update(zip(self._wanted, outcomes, strict=True))
        self._wanted = self._next()

    def stop(self, flag: str) -> None:
        """End now, with what is known."""
        if self._wanted and not self._stopped:
            self._flags.append(flag)
        self._stopped = True

    def answer(self) -> BestRate:
        """The best rate, as far as the outcomes carry it."""
        outcomes = list(self._outcomes.values())
        spent = sum(o.spent for o in outcomes)
        held_out = any(o.valid_loss is not None for o in outcomes)
        climb = self._climb(range(self._seeds))
        scored_on = "validation loss" if held_out else "training loss"
        if not climb.progressed:
            untrained = Status.TOO_FEW_POINTS, "no lane of the full length was trained"
            none = Estimate.none(*(no_progress(outcomes) if outcomes else untrained), cost=spent, n=len(outcomes))
            rungs = (rung_result(self.steps, climb, outcomes),) if climb.scores else ()
            return BestRate(none, None, Share(0, len(outcomes)), rungs, scored_on, spent / self.steps)
        plateau = self._plateau(climb, math.log1p(WORSE))
        return BestRate(
            lr=self._estimate(climb, spent, held_out),
            plateau=(10 ** plateau[0], 10 ** plateau[1]) if plateau else None,
            reliability=trained_near(outcomes, climb.vertex(), SPACING),
            rungs=(rung_result(self.steps, self._whole(climb), outcomes),),
            scored_on=scored_on,
            full_runs=spent / self.steps,
        )

    # -- what next ---------------------------------------------------------------------------------------------------

    def _to_look_at(self) -> list[int]:
        """The start, the ends, and a decade beyond them."""
        if self.ends is None:
            return []
        low, high = (self._k(math.log10(lr)) for lr in self.ends)
        return sorted({low - DECADE, low, 0, high, high + DECADE})

    def _around(self, k: int) -> list[tuple[int, int]]:
        """Three rates on all seeds, what has run apart."""
        lanes = [(at, seed) for seed in range(SEEDS) for at in (k - 1, k, k + 1)]
        return [lane for lane in lanes if lane not in self._outcomes]

    def _next(self) -> list[tuple[int, int]]:
        climb = self._climb(range(self._seeds))
        if not climb.scores:
            return self._around(self._k(self._climb([0]).best))
        if further := climb.ask():
            lanes = [(self._k(x), seed) for x in further for seed in range(self._seeds)]
            return [lane for lane in lanes if lane not in self._outcomes]
        if not climb.progressed or not climb.bracketed:
            return []
        low, high = self._interval(climb)
        if (high - low) / 2 <= self.within or self._seeds >= MOST_SEEDS:
            return []
        self._seeds += 1
        return [(self._k(x), self._seeds - 1) for x in climb.scores]

    # -- the answer --------------------------------------------------------------------------------------------------

    def _estimate(self, climb: Climb, spent: int, held_out: bool) -> Estimate:
        low, high = narrow = self._interval(climb)
        flags = list(self._flags)
        if not climb.bracketed:
            flags.append("not-bracketed")
            low, high = (low, high + 1) if climb.open_side > 0 else (low - 1, high)
        else:
            middles = self._middles(climb)
            low, high = min([low, *(x - MODEL_PAD for x in middles)]), max([high, *(x + MODEL_PAD for x in middles)])
            too_wide = [(ends[1] - ends[0]) / 2 > self.within for ends in (narrow, (low, high))]
            flags += ["max-runs"] * too_wide[0] + ["wide-plateau"] * (too_wide[1] and not too_wide[0])
        if not held_out:
            flags.append("scored-on-training-loss")
        return Estimate(
            value=10 ** climb.vertex(),
            low=10**low,
            high=10**high,
            n=len(self._outcomes),
            method=f"{len(climb.scores)} rates x {self._seeds} seeds over all {self.steps} steps",
            cost=spent,
            flags=tuple(flags),
        )

    def _interval(self, climb: Climb) -> tuple[float, float]:
        """log10 of its ends: mean -+ t s / sqrt(n) over the seeds' own vertices, and the value itself.

        A neighbour that failed says where a cliff is, not how the loss bends: there the interval reaches half way to it.
        """
        seeds = (self._climb([seed], climb.scores) for seed in range(self._seeds))
        vertices = [own.vertex() for own in seeds if own.learned]
        value = climb.vertex()
        if len(vertices) < 2:
            return value - SPACING, value + SPACING
        reach = float(stdtrit(len(vertices) - 1, 0.95)) * statistics.stdev(vertices) / math.sqrt(len(vertices))
        middle, scores, half = statistics.fmean(vertices), climb.scores, SPACING / 2
        beside = [x for x, z in scores.items() if z >= FAILED and abs(x - climb.best) < 1.5 * SPACING]
        cliffs = [climb.best + math.copysign(half, x - climb.best) for x in beside]
        low, high = min(middle - reach, value, *cliffs), max(middle + reach, value, *cliffs)
        return low - MODEL_PAD, high + MODEL_PAD

    def _plateau(self, climb: Climb, most: float = math.inf) -> tuple[float, float] | None:
        """log10 of its ends, on the lanes of the climb and those of the look, which one seed has; its height is at most
        `most`."""
        bar = plateau_bar(self._outcomes.values())
        if bar is None or not climb.bracketed:
            return None
        left, right = self._whole(climb).plateau(min(bar, most))
        return min(left, climb.vertex()), max(right, climb.vertex())

    def _middles(self, climb: Climb) -> list[float]:
        """log10 of where the plateau's middle may lie: its top is anywhere up to a rate above that failed.

        Where the rate above is only worse, the straight line to it ends the plateau early: up to half way of what is left.
        """
        if (plateau := self._plateau(climb)) is None:
            return []
        left, right = plateau
        scores = self._whole(climb).scores
        above = min((x for x in scores if x > right), default=right)
        top = above if scores.get(above, 0.0) >= FAILED else (right + above) / 2
        return [(left + right) / 2, (left + top) / 2]

    def _whole(self, climb: Climb) -> Climb:
        """`climb` and the look, whose seed is counted as much better or worse than the mean as it is at the best rate."""
        whole, one = Climb(self._centre, SPACING, MOST_RATES), self._climb([0])
        least = climb.scores[climb.best]
        level = one.scores[climb.best]
        seen = {x: z if z >= FAILED else max(z - level, 0.0) + least for x, z in one.scores.items()}
        for x, score in (seen | climb.scores).items():
            whole.tell(x, score)
        return whole

    def _climb(self, seeds: Sequence[int], rates: Collection[float] | None = None) -> Climb:
        """Mean scores over `seeds`, at the `rates` that ran on all of them; default: all rates."""
        climb, score = Climb(self._centre, SPACING, MOST_RATES), self._scoring()
        for k in sorted({k for k, _ in self._outcomes} if rates is None else map(self._k, rates)):
            own = [self._outcomes[k, seed] for seed in seeds if (k, seed) in self._outcomes]
            if len(own) == len(seeds):
                climb.tell(self._x(k), statistics.fmean(map(score, own)))
        return climb

    def _scoring(self) -> Callable[[Outcome], float]:
        return Scale.of(self._outcomes.values()).score

    def _x(self, k: int) -> float:
        return self._centre + k * SPACING

    def _k(self, x: float) -> int:
        return round((x - self._centre) / SPACING)
