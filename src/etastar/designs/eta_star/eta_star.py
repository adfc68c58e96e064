"""eta*: the largest learning rate at which a freshly initialised network still starts to train.

Success against log(lr) is a band: too slow below, unstable above. eta* is the 50 % point of the upper flank over fresh
seeds. A coarse scan finds the band; then batches of lanes with fresh seeds go where the flank's posterior
(`edge.EdgePosterior`) is least decided, until the interval is as narrow as asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from etastar import arguments
from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.eta_star.edge import EdgePosterior
from etastar.designs.eta_star.success_band import RateCount, SuccessBand, count_by_rate, main_band
from etastar.designs.flat import is_flat
from etastar.policies.policy import Constant, Policy

SCAN_STEP = 0.5
SCAN_REACH = 3.0
EXTENSIONS = 4
FIRST_EXTENSION = 1.0
"""Decades by which a scan that was centred by a probe is widened first."""


@dataclass(frozen=True)
class Precision:
    """How well eta* is to be known, and what it may cost.

    Args:
        half_width: relative half-width of the interval asked for, e.g. 0.10 for +-10 %.
        max_runs: lanes beyond the scan.
        min_runs: lanes beyond the scan before the interval is believed.
        batch: lanes per batch.
        scan_seeds: lanes per rate in the scan.
        level: probability of the interval.
    """

    half_width: float = 0.10
    max_runs: int = 48
    min_runs: int = 16
    batch: int = 12
    scan_seeds: int = 2
    level: float = 0.9

    def __post_init__(self) -> None:
        for name in ("half_width", "level"):
            arguments.HALF_WIDTH(f"the precision's {name}", getattr(self, name))
        for name in ("max_runs", "batch", "scan_seeds"):
            arguments.RUNS(f"the precision's {name}", getattr(self, name))
        arguments.RUNS_OR_NONE("the precision's min_runs", self.min_runs)


@dataclass
class EtaStar:
    """Adaptive measurement of eta*. A `Design`.

    Args:
        criterion: when a lane has started to train.
        steps: steps a lane has for it.
        around: the scan is centred here; the rate in use today is a good choice, what a probe says a better one.
        until: SUCCESS for eta* itself; END for the largest rate that still trains at the end of `steps`.
        policy: the schedule of every lane.
        precision: how narrow, and at what cost.
        seed: of all lanes.
        reach: decades scanned (below, above) `around`.
        widen: whether the range may be widened when the edge is not in it.
        flags: what is known of the criterion before, keys of `etastar.FLAGS`.
    """

    criterion: Criterion
    steps: int
    around: float = 1e-2
    until: Until = Until.SUCCESS
    policy: Policy = field(default_factory=Constant)
    precision: Precision = field(default_factory=Precision)
    seed: int = 0
    reach: tuple[float, float] = (SCAN_REACH, SCAN_REACH)
    widen: bool = True
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        centre = round(math.log10(self.around) / SCAN_STEP) * SCAN_STEP  # a fixed lattice: neighbours share lanes
        self._low, self._high = centre - self.reach[0], centre + self.reach[1]
        self._pending = _lattice(self._low, self._high)
        self._outcomes: list[Outcome] = []
        self._scan_runs = self._refine_runs = self._extensions = 0
        self._looked_closer = False
        self._edge: EdgePosterior | None = None
        self._verdict: tuple[Status, str] | None = None
        self._flags = list(self.flags)
        self._stopped: str | None = None

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """The scan, not widened, and the lanes beyond it."""
        lanes = len(_lattice(self._low, self._high)) * self.precision.scan_seeds + self.precision.max_runs
        return Plan(lanes, lanes * self.steps)

    def ask(self) -> Sequence[Lane]:
        """The scan, its extensions, then batches on the flank; empty at the end."""
        if self._stopped or self._verdict:
            return []
        if self._pending:
            return [self._lane(x, index) for index in range(self.precision.scan_seeds) for x in self._pending]
        assert self._edge is not None
        if self._narrow_enough() or self._refine_runs >= self.precision.max_runs:
            return []
        n = min(self.precision.batch, self.precision.max_runs - self._refine_runs)
        first = self.precision.scan_seeds + self._refine_runs
        return [self._lane(x, first + i) for i, x in enumerate(self._edge.placements(n))]

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        self._outcomes += outcomes
        if not self._pending:
            self._refine_runs += len(outcomes)
            self._update_edge(outcomes)
            return
        self._scan_runs += len(outcomes)
        self._pending = []
        self._read_scan()

    def stop(self, flag: str) -> None:
        """End now, with what is known."""
        self._stopped = flag

    def answer(self) -> SuccessBand:
        """The band and its upper edge, as far as the outcomes told carry them."""
        eta_star, eta_star_90, width = self._estimates()
        band = main_band(count_by_rate(self._outcomes[: self._scan_runs]))
        return SuccessBand(
            eta_star=eta_star,
            eta_star_90=eta_star_90,
            width=width,
            lower_edge=self._lower_edge(band),
            rates=tuple(count_by_rate(self._outcomes)),
            curve=self._edge.curve(band[0].lr) if self._edge and eta_star.ok else (),
            criterion=self.criterion,
            steps=self.steps,
            until=self.until,
            scan_runs=self._scan_runs,
            refine_runs=self._refine_runs,
            runs=Runs(self._outcomes),
        )

    def _lower_edge(self, band: list[RateCount]) -> float | None:
        """The lowest rate of the band, where a lower one was tried."""
        tried = [o.lane.lr for o in self._outcomes[: self._scan_runs]]
        return band[0].lr if band and min(tried) < band[0].lr else None

    # -- the scan ----------------------------------------------------------------------------------------------------

    def _lane(self, x: float, index: int) -> Lane:
        lr = quantise(10.0**x)
        return Lane(lr, derive_seed(self.seed, "lane", index), self.steps, self.criterion, self.until, self.policy)

    def _read_scan(self) -> None:
        """Decide from the scan: refine, widen the range, look closer, or give up with a reason."""
        rates = count_by_rate(self._outcomes)
        band = main_band(rates)
        if is_flat(self._outcomes, lambda o: o.end_loss):
            reason = "the loss is the same at every learning rate; check that it depends on the trainable parameters"
            self._verdict = (Status.FLAT, reason)
        elif band and band[-1].lr < rates[-1].lr:
            self._start_edge(band)
        elif band:
            if not self._extend(up=True):
                self._give_up_above(rates)
        elif all(r.lost == r.runs for r in rates):
            if not self._extend(up=False):
                self._give_up(Status.DIVERGED_EVERYWHERE, rates)
        elif rates[-1].lost < rates[-1].runs:
            if not self._extend(up=True):
                self._give_up(Status.NEVER_SUCCEEDS, rates)
        elif not self._look_closer(rates):
            self._give_up(Status.NEVER_SUCCEEDS, rates)

    def _extend(self, *, up: bool) -> bool:
        """Widen the scan by its reach in one direction; False when that is not allowed any more."""
        if not self.widen or self._extensions >= EXTENSIONS:
            return False
        narrow = self._extensions == 0 and max(self.reach) < SCAN_REACH
        further = FIRST_EXTENSION if narrow else SCAN_REACH
        self._extensions += 1
        if up:
            self._pending = _lattice(self._high + SCAN_STEP, self._high + further)
            self._high += further
        else:
            self._pending = _lattice(self._low - further, self._low - SCAN_STEP)
            self._low -= further
        self._flag("range-extended")
        return True

    def _look_closer(self, rates: list[RateCount]) -> bool:
        """No rate of the lattice trained, but one is too slow and a higher one fails: try between them, once."""
        known = {r.lr for r in rates}
        alive = [math.log10(r.lr) for r in rates if r.slow + r.trained > 0]
        middle = max(alive)
        new = [x for x in np.arange(middle - 0.875, middle + 0.8751, 0.125) if quantise(10.0**x) not in known]
        if self._looked_closer or not new:
            return False
        self._looked_closer = True
        self._pending = [float(x) for x in new]
        return True

    def _give_up_above(self, rates: list[RateCount]) -> None:
        top = rates[-1].lr
        if all(r.trained == r.runs for r in rates if r.lr >= main_band(rates)[0].lr) and self.widen:
            self._verdict = (
                Status.SUCCEEDS_EVERYWHERE,
                f"every lane up to {top:.3g} met the criterion ({self.criterion.sentence()}); there is no upper edge in "
                "range: ask for a stricter threshold",
            )
        else:
            self._verdict = (Status.EDGE_OF_RANGE, f"lanes still train at {top:.3g}, the top of the range searched")

    def _give_up(self, status: Status, rates: list[RateCount]) -> None:
        best = max(rates, key=lambda r: (r.trained / r.runs, -self._mean_end_loss(r.lr)))
        span = f"{rates[0].lr:.3g} .. {rates[-1].lr:.3g}"
        if status is Status.DIVERGED_EVERYWHERE:
            reason = f"every lane diverged or died at every rate in {span}; check data scale, initialisation and loss"
        else:
            reason = (
                f"no rate in {span} lets half of the fresh seeds reach: {self.criterion.sentence()}, within {self.steps} "
                f"steps (closest is {best.lr:.3g}, with {best.trained} of {best.runs}); lower the threshold or allow more "
                "steps"
            )
        self._verdict = (status, reason)

    def _mean_end_loss(self, lr: float) -> float:
        losses = [o.end_loss for o in self._outcomes if o.lane.lr == lr]
        return math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.inf

    def _flag(self, flag: str) -> None:
        if flag not in self._flags:
            self._flags.append(flag)

    # -- the edge ----------------------------------------------------------------------------------------------------

    def _start_edge(self, band: list[RateCount]) -> None:
        """Posterior of the edge above the band; lanes below the band's middle belong to its lower flank."""
        bottom, top = math.log10(band[0].lr), math.log10(band[-1].lr)
        self._fit_from(max((bottom + top) / 2, top - 1.0) if len(band) > 1 else top - 0.25, top + 1.5)

    def _fit_from(self, low: float, high: float) -> None:
        """A posterior of the edge between these, of all lanes so far."""
        self._edge = EdgePosterior(low, high, self.precision.level)
        self._update_edge(self._outcomes)

    def _update_edge(self, outcomes: Sequence[Outcome]) -> None:
        assert self._edge is not None
        self._edge.tell(outcomes)
        _, _, high = self._edge.interval()
        if self._refine_runs >= self.precision.min_runs and high < self._edge.low + 0.1 and not self._fit_from_below():
            self._give_up(Status.NEVER_SUCCEEDS, count_by_rate(self._outcomes))

    def _fit_from_below(self) -> bool:
        """The top of the scan's band was luck: the edge lies below, where lanes did train. False if they did nowhere."""
        assert self._edge is not None
        rates = count_by_rate(self._outcomes)
        lower = [math.log10(r.lr) for r in rates if r.trained > r.runs / 2 and math.log10(r.lr) < self._edge.low]
        if not lower:
            return False
        self._fit_from(lower[-1] - SCAN_STEP / 2, self._edge.high)
        return True

    def _narrow_enough(self) -> bool:
        assert self._edge is not None
        return self._refine_runs >= self.precision.min_runs and self._edge.known_within(self.precision.half_width)

    def _estimates(self) -> tuple[Estimate, Estimate, Estimate]:
        """eta*, the 90 % point and the width."""
        cost, n = sum(o.spent for o in self._outcomes), len(self._outcomes)
        if self._verdict or self._edge is None:
            status, reason = self._verdict or (
                Status.NOT_MEASURED,
                "the search was stopped before its scan was complete",
            )
            top = count_by_rate(self._outcomes)[-1].lr if self._outcomes else None
            bound = top if status in (Status.SUCCEEDS_EVERYWHERE, Status.EDGE_OF_RANGE) else None
            if self._outcomes and self._met_at_once():
                self._flag("criterion-too-easy")
            flags = (*self._flags, *([self._stopped] if self._stopped else []))
            none = Estimate.none(status, reason, low=bound, n=n, cost=cost, method="success band", flags=flags)
            return none, none, Estimate.none(status, reason, unit="decades")
        quality = self._edge.flags()
        if self._met_at_once():
            self._flag("criterion-too-easy")
        if not self._narrow_enough():
            quality.append(self._stopped or "max-runs")
        return self._edge.estimates((*self._flags, *quality), n=n, cost=cost)

    def _met_at_once(self) -> bool:
        """Whether every lane at the lowest rate met the criterion in its first window, having started below its bound."""
        lowest = min(o.lane.lr for o in self._outcomes)
        lanes = [o for o in self._outcomes if o.lane.lr == lowest]
        window = min(self.criterion.window, self.steps)
        start = math.fsum(o.first_loss for o in lanes) / len(lanes)
        return start <= self.criterion.bound(start) and all(o.reached == window for o in lanes)


def _lattice(low: float, high: float) -> list[float]:
    return [low + SCAN_STEP * i for i in range(round((high - low) / SCAN_STEP) + 1)]
