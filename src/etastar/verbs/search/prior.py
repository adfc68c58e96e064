"""Where a search for the learning rate begins: around the measured interval, or around the rate in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate
from etastar.designs.search.search_space import Parameter, Space
from etastar.engine.preflight import Preflight
from etastar.verbs.find.find_answer import FindAnswer

BESIDE = 10.0
"""The range goes this factor beyond the measured interval on either side ..."""
BEYOND_ETA_STAR = 3.0
"""... but no further than this many eta*: a schedule that warms up moves the edge by that much."""
UNMEASURED = 100.0
"""The range goes this factor to either side of the rate in use where nothing was measured."""
UNKNOWN = 1e-2
"""Stands for the rate in use where that is unknown."""


@dataclass(frozen=True)
class Prior:
    """A range of rates and what to try first.

    Args:
        low, high: drawn from evenly in the logarithm.
        first: rates inside, the most promising first.
        flags: keys of `etastar.FLAGS`.
    """

    low: float
    high: float
    first: tuple[float, ...]
    flags: tuple[str, ...] = ()

    @property
    def parameter(self) -> Parameter:
        """The same as a hyper-parameter."""
        return Parameter("lr", self.low, self.high, log=True)


def measured(lr: Estimate, eta_star: Estimate | None) -> Prior | None:
    """The prior of a measured interval of the best rate; None where there is none.

    >>> prior = measured(Estimate(0.08, 0.02, 0.3), Estimate(0.4, 0.36, 0.45))
    >>> round(prior.low, 6), round(prior.high, 6), prior.first
    (0.002, 1.2, (0.08, 0.02, 0.3))
    """
    if lr.value is None or lr.low is None or lr.high is None:
        return None
    low, high = lr.low / BESIDE, lr.high * BESIDE
    edge = eta_star and (eta_star.value or eta_star.high)  # a glance knows an upper bound of eta* only
    if edge:
        high = max(min(high, BEYOND_ETA_STAR * edge), lr.high)
    first = tuple(dict.fromkeys((lr.value, lr.low, lr.high)))
    return Prior(low, high, first)


def prior_of(found: FindAnswer | None, yours: float | None) -> Prior:
    """The measured prior; or two decades to either side of the rate in use."""
    prior = measured(found.lr, found.eta_star) if found else None
    if prior is not None:
        inside = yours is not None and prior.low <= yours <= prior.high and yours not in prior.first
        return Prior(prior.low, prior.high, (*prior.first, yours)) if inside and yours else prior
    centre = yours or UNKNOWN
    return Prior(centre / UNMEASURED, centre * UNMEASURED, (yours,) if yours else (), ("prior-not-measured",))


def first_points(
    rates: Sequence[float], space: Space, facts: Preflight, batch_size: int | None, schedule: str | None
) -> list[Mapping[str, Any]]:
    """What to try first: each rate with the user's own settings, as far as the space has room for them."""
    own = {**facts.defaults, "batch_size": batch_size, "schedule": schedule or "constant"}
    others = {p.name: own[p.name] for p in space if p.name != "lr" and p.name in own and p.contains(own[p.name])}
    return [{"lr": rate, **others} for rate in rates if space["lr"].contains(rate)]
