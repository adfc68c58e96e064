"""The benchmark cases, one file each. A case yields rows as it goes and sums them up as a Markdown table."""

from __future__ import annotations

from benchmarks.cases import (
    bisection,
    centre,
    coverage,
    curves,
    digits,
    engines,
    fashion,
    lanes,
    losses,
    monitors,
    one_pass,
    paired,
    predict,
    quadratics,
    quick,
    scale,
    scale_family,
    search,
    sharpness,
    startup,
    wrong_starts,
)
from benchmarks.cases.case import Case

CASES: dict[str, Case] = {
    "wrong_starts": wrong_starts.CASE,
    "losses": losses.CASE,
    "monitors": monitors.CASE,
    "one_pass": one_pass.CASE,
    "paired": paired.CASE,
    "quick": quick.CASE,
    "coverage": coverage.CASE,
    "curves": curves.CASE,
    "quadratics": quadratics.CASE,
    "digits": digits.CASE,
    "fashion": fashion.CASE,
    "scale": scale.CASE,
    "lanes": lanes.CASE,
    "bisection": bisection.CASE,
    "centre": centre.CASE,
    "predict": predict.CASE,
    "engines": engines.CASE,
    "sharpness": sharpness.CASE,
    "search": search.CASE,
    "scale-family": scale_family.CASE,
    "startup": startup.CASE,
}
