"""The prior of an optimizer under a schedule, as recorded tasks gave it: benchmarks/records/2026-11-26_long_horizon.

All numbers are the likeliest of `RatePrior` over 32 cells of eight tasks at 100, 400, 1600 and 10,000 steps; the record was
scored with those of the other seven tasks.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from etastar.core.kinds import ADAM_KIN
from etastar.designs.best_rate.rate_prior import RatePrior
from etastar.policies.compose import groups_named, squeezed
from etastar.policies.policy import Policy, rates_over

LEVELS: dict[str, float] = {"momentum": -1.62, "adam": -2.66}
"""kind of optimizer -> mean log10 of rate x mean factor of the schedule that is best over 1000 steps, over eight tasks."""
GAMMAS: dict[bool, float] = {False: 0.3, True: 0.92}
"""Whether data are seen often -> mean exponent of the horizon. Without any one task the first is .26 - .36, the second
.88 - .98."""
OFTEN = 30
"""Passes over the data after which training is memorising: the best rate then falls about as 1 / steps. The tasks pass over
theirs 1 - 12 times, or 640 and more; nothing is known in between."""
LEVEL_SD, GAMMA_SD, SCATTER = 0.68, 0.15, 0.27
"""Between tasks, and of one horizon about a task's line. With one exponent for all data GAMMA_SD would be .33."""
REPORTED: dict[str, float] = {"rmsprop": -2.4, "muon": -2.0, "lion": -3.4}
"""Levels that rest on a few cells (RMSprop, Muon) or on what its authors say (Lion: 3 - 10 x below AdamW); none is in the
record."""
REPORTED_SD, UNKNOWN_LEVEL, UNKNOWN_SD = 0.85, -2.0, 1.0
"""Between tasks for those, and for an optimizer of which nothing is known."""
ENOUGH_STEPS = 1000
"""Steps over which a schedule's mean is taken at most: it has the same shape over fewer."""


def prior_of(optimizer: str, momentum: bool, policy: Policy, steps: int, per_epoch: int | None = None) -> RatePrior:
    """The prior of the peak rate.

    What counts is the rate over all steps: a schedule whose factors have mean 1/2 is best at a peak twice as high.

    Args:
        optimizer: its class name.
        momentum: whether it is SGD with momentum.
        policy: the schedule.
        steps: the horizon.
        per_epoch: steps of one pass over the data; None where they are not known.
    """
    kind = _kind(optimizer, momentum)
    level, sd = (LEVELS[kind], LEVEL_SD) if kind in LEVELS else (UNKNOWN_LEVEL, UNKNOWN_SD)
    level, sd = (REPORTED[kind], REPORTED_SD) if kind in REPORTED else (level, sd)
    prior = RatePrior(level, GAMMAS[seen_often(steps, per_epoch)], sd, GAMMA_SD, SCATTER)
    return at_peak(prior, policy, steps)


def seen_often(steps: int, per_epoch: int | None) -> bool:
    """Whether so many steps pass over the data more than `OFTEN` times.

    >>> seen_often(10_000, 15), seen_often(10_000, 10_000), seen_often(10_000, None)
    (True, False, False)
    """
    return per_epoch is not None and steps > OFTEN * per_epoch


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
