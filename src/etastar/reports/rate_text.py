"""How a learning rate, and a bound on one, is written for a reader."""

from __future__ import annotations

import math

from etastar.core.estimate import Estimate

LABEL_EXPRESSION = (
    "datum.label === '' ? '' : datum.value >= 0.00099 && datum.value < 10000 "
    "? format(datum.value, '.3~r') : format(datum.value, '.2~e')"
)
"""The same in Vega's language, for axis and legend labels; a label that Vega dropped stays dropped."""


def rate_text(x: float, digits: int = 3) -> str:
    """`x` with `digits` significant digits: 0.1, 0.03, 1e-4; never 0.100000 or 1e-04.

    >>> [rate_text(x) for x in (0.1, 0.0316227, 1e-4, 0.00045928, 12345.0, 120.0)]
    ['0.1', '0.0316', '1e-4', '4.59e-4', '1.23e4', '120']
    """
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    rounded = float(f"{x:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if -3 <= exponent < 4:
        text = f"{rounded:.{max(digits - 1 - exponent, 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(power)}"


def bound_sentence(estimate: Estimate) -> str:
    """What an estimate without a value still says; empty if nothing."""
    if estimate.low is not None:
        return f"It is at least {rate_text(estimate.low)}."
    return f"It is at most {rate_text(estimate.high)}." if estimate.high is not None else ""
