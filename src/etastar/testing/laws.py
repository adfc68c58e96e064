"""What every law must do; see `etastar.laws.law.Law`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scipy.special import bdtr

from etastar.core.estimate import Estimate, Status
from etastar.laws.law import Law
from etastar.testing.expect import expect

Query = tuple[Any, ...]
REFUSALS = (Status.OUTSIDE_THE_LAW, Status.TOO_FEW_POINTS)
UNLUCKY = 1e-3
"""A true interval is blamed for bad luck once in a thousand queries."""


def check_law(
    fit: Callable[[int], Law],
    truth: Callable[..., float],
    inside: Sequence[Query],
    outside: Sequence[Query],
    *,
    fits: int = 40,
    empty: Law | None = None,
) -> None:
    """Hold that a law covers what it says, and refuses where it knows nothing.

    Each fit is to data of its own. At every query of `inside` the share of intervals that hold the truth may not lie so far
    below their level that chance explains it once in 1000; at every query of `outside`, and everywhere for a law of no
    data, there is no value, a status that says so, and a sentence.

    Args:
        fit: seed -> the law of data drawn with it.
        truth: query -> the true number.
        inside, outside: arguments of `predict`.
        fits: laws that are fitted.
        empty: the law of no data, where one can be made.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> import numpy as np
    >>> from etastar.laws import PowerLaw
    >>> sizes = {"width": [32, 64, 128, 256, 512]}
    >>> truth = lambda target: 3.0 / target["width"]
    >>> noisy = lambda seed: 10 ** np.random.default_rng(seed).normal(0, 0.05, 5)
    >>> fit = lambda seed: PowerLaw.fit(sizes, 3.0 / np.array(sizes["width"]) * noisy(seed))
    >>> check_law(fit, truth, inside=[({"width": 100},)], outside=[({"width": 10**6},)])
    """
    laws = [fit(seed) for seed in range(fits)]
    for query in inside:
        _covers(laws, query, truth(*query))
    for query in outside:
        for law in laws:
            _refuses(law, query, "outside its data")
    for query in (*inside, *outside):
        if empty is not None:
            _refuses(empty, query, "without data")


def _covers(laws: Sequence[Law], query: Query, true: float) -> None:
    held, level = 0, 1.0
    for law in laws:
        estimate = _asked(law, query)
        if estimate.low is None or estimate.high is None or not estimate.ok:
            raise AssertionError(
                f"{_name(law)} has no value at {query} ({estimate.reason}); expected one, its data reach there"
            )
        held += estimate.low <= true <= estimate.high
        level = estimate.level
    luck = float(bdtr(held, len(laws), level))
    sentence = (
        f"{held} of {len(laws)} intervals of {_name(laws[0])} at {query} hold the truth {true:.4g}; expected {level:.0%}"
    )
    expect(luck >= UNLUCKY, sentence)


def _refuses(law: Law, query: Query, where: str) -> None:
    estimate = _asked(law, query)
    expect(estimate.value is None, f"{_name(law)} says {estimate.value} at {query}, {where}; expected no value")
    known = estimate.status in REFUSALS
    words = " or ".join(status.value for status in REFUSALS)
    expect(known, f"{_name(law)} refuses {query} with the status {estimate.status.value}; expected {words}")


def _asked(law: Law, query: Query) -> Estimate:
    estimate = law.predict(*query)
    given = type(estimate).__name__
    expect(isinstance(estimate, Estimate), f"{_name(law)} predicts a {given} at {query}; expected an etastar.Estimate")
    return estimate


def _name(law: Law) -> str:
    return type(law).__name__
