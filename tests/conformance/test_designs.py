"""What every design must do, whatever its lanes do: train, diverge, end flat."""

from __future__ import annotations

import pytest

from catalog_experiments import DESIGNS
from etastar.testing import SyntheticEngine, Truth, check_design

TRUTHS = {
    "ordinary": Truth(noise=0.05),
    "no validation data": Truth(noise=0.05, valid=False),
    "everything diverges": Truth(eta_star=1e-12),
    "nothing diverges": Truth(eta_star=1e12),
    "flat": Truth(depth=0.0, curvature=0.0),
}


WIDENED = {"eta*": 60, "eta*, at the end": 60}
"""Lanes beyond the plan, which is that of the first range."""


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_keeps_the_contract(name, truth):
    check_design(DESIGNS[name], SyntheticEngine(TRUTHS[truth]), widened_by=WIDENED.get(name, 0))
