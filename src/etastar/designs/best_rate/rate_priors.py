"""The prior of an optimizer under a schedule, as recorded tasks gave it."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from etastar.core.kinds import ADAM_KIN
from etastar.designs.best_rate.rate_prior import RatePrior
from etastar.policies.compose import groups_named, squeezed
from etastar.policies.policy import Policy, rates_over

LEVELS: dict[str, float] = {"momentum": -1.5, "adam": -2.2, "rmsprop": -2.4}
"""kind of optimizer -> mean log10 of rate x mean factor of the schedule that is best over 1000 steps."""
GAMMA, GAMMA_SD, LEVEL_SD, SCATTER = 0.35, 0.4, 0.45, 0.25
UNKNOWN_LEVEL, UNKNOWN_SD = -2.0, 1.0
"""Of an optimizer that no recorded task has trained with."""
ENOUGH_STEPS = 1000
"""Steps over which a schedule's mean is taken at most: it has the same shape over fewer."""


def prior_of(optimizer: str, momentum: bool, policy: Policy, steps: int) -> RatePrior:
    """The prior of the peak rate, for an optimizer by its class name.

    What counts is the rate over all steps: a schedule whose factors have mean 1/2 is best at a peak twice as high.
    """
    kind = _kind(optimizer, momentum)
    known = kind in LEVELS
    level, sd = (LEVELS[kind], LEVEL_SD) if known else (UNKNOWN_LEVEL, UNKNOWN_SD)
    prior = RatePrior(level, GAMMA, sd, GAMMA_SD, SCATTER)
    return at_peak(prior, policy, steps)


def at_peak(prior: RatePrior, policy: Policy, steps: int) -> RatePrior:
    """`prior`, which is one of mean rates, as one of the peak rates of a schedule.

    >>> from etastar.policies.schedule import Schedule
    >>> mean = RatePrior(-2.0, 0.0, 0.3, 0.0, 0.0)
    >>> round(10 ** at_peak(mean, Schedule(decay=1.0).over(999), 999).level, 4)
    0.02
    """
    return replace(prior, level=prior.level - math.log10(mean_factor(policy, steps)))


def mean_factor(policy: Policy, steps: int) -> float:
    """Mean share of the peak rate over the horizon; 1 for what reacts, or gives groups rates of their own."""
    if policy.reads or groups_named(policy):
        return 1.0
    few = min(steps, ENOUGH_STEPS)
    try:
        return max(statistics.fmean(rates_over(squeezed(policy, few), 1.0, few)), 0.05)
    except (TypeError, ValueError):  # no numbers: the first lane says so in a sentence
        return 1.0


def _kind(optimizer: str, momentum: bool) -> str:
    if optimizer == "SGD":
        return "momentum" if momentum else "sgd"
    return "adam" if optimizer in ADAM_KIN else optimizer.lower()
