"""Peaks carried from one schedule to another, and runs that are extended, by the convex bound."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.laws.curves.schaipp2025convex import best_peak, longer_cooldown, lower_rate, peak_ratio


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0])
def test_peaks_of_powers_have_a_closed_form(p):
    steps = 6400
    peak, least = best_peak((1 - np.arange(steps) / steps) ** p)
    assert peak == pytest.approx(np.sqrt(p / steps), rel=0.02) and least == pytest.approx(
        (p + 1) / np.sqrt(p * steps), rel=0.02
    )


def test_the_transfer_table():
    x = np.arange(2000) / 2000
    shape = lambda decay, curve=lambda left: left: curve(np.minimum((1 - x) / decay, 1.0))
    root = lambda left: 1 - np.sqrt(1 - left)
    ratios = {
        "cosine": (0.5 * (1 + np.cos(np.pi * x)), 0.97),
        "wsd 10": (shape(0.1), 0.46),
        "wsd 20": (shape(0.2), 0.51),
        "wsd 20 sqrt": (shape(0.2, root), 0.54),
        "wsd 50": (shape(0.5), 0.66),
        "wsd 50 sqrt": (shape(0.5, root), 0.74),
        "cosine to a tenth": (0.1 + 0.45 * (1 + np.cos(np.pi * x)), 0.6),
        "constant": (np.ones(2000), 0.24),
    }
    for name, (rates, ratio) in ratios.items():
        assert peak_ratio(rates) == pytest.approx(ratio, abs=0.02), name
    assert peak_ratio(ratios["wsd 20"][0], ratios["wsd 20"][0]) == 1


def test_extending_a_run():
    for factor, cooldown, multiple in ((1.5, 0.45, 0.64), (2, 0.625, 0.53), (3, 0.875, 0.43), (4, 1.0, 0.38)):
        assert longer_cooldown(factor) == pytest.approx(cooldown, abs=0.03)
        assert lower_rate(factor) == pytest.approx(multiple, abs=0.03)
    assert longer_cooldown(1) == 0.2 and longer_cooldown(9) == 1.0
