"""What a step, a run and a `find` take, in words that can be said as soon as a step has been timed."""

from __future__ import annotations

from etastar.engine.preflight import START_STEPS
from etastar.verbs.find.efforts import EFFORTS, most_runs

BUDGET = 0.02
"""Share of a run that is named beside the efforts: what a run of hours can pay."""


def prices(step: float, steps: int) -> str:
    """Of a problem of so many steps, each of which takes `step` seconds on one core.

    >>> print(prices(3.35, 7800).replace("; ", ";\\n"))
    a step takes 3.4 s, one run of 7,800 steps 7.3 h;
    find takes at most 8.7 min (--budget 0.02), 4.4 h (glance), 23 h (quick) or 14 days (thorough) of one core
    """
    run = step * steps
    finds = [f"{duration(BUDGET * run)} (--budget {BUDGET:g})"]
    finds += [f"{duration(run * most_runs(effort, steps, min(steps, START_STEPS)))} ({effort})" for effort in EFFORTS]
    return (
        f"a step takes {duration(step)}, one run of {steps:,} steps {duration(run)}; find takes at most "
        f"{', '.join(finds[:-1])} or {finds[-1]} of one core"
    )


def duration(seconds: float) -> str:
    """In the unit that fits.

    >>> [duration(seconds) for seconds in (0.0004, 3.35, 119.0, 5400.0, 26130.0, 1e6)]
    ['0.4 ms', '3.4 s', '119 s', '90 min', '7.3 h', '12 days']
    """
    for limit, unit, size in ((0.1, "ms", 1e-3), (120, "s", 1.0), (7200, "min", 60.0), (172_800, "h", 3600.0)):
        if seconds < limit:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 86_400)} days"


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"
