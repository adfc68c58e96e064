"""The closed form's arguments: what moves it, and what is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from etastar import ProblemError, kaiming_lr, kaiming_sharpness
from etastar.theory import kernel_sharpness
from etastar.theory.bounds import depth_width_bounds

WIDTHS = [64, 256, 256, 10]


def test_it_is_the_formula():
    """kappa r q [n_2 + (s/2) (rho n_0 + n_1)], by hand."""
    assert 1 / kaiming_lr(WIDTHS, "mse_half") == pytest.approx((256 + 64 + 256) / 3)
    assert 1 / kaiming_lr(WIDTHS, "mse") == pytest.approx(0.2 * (256 + 64 + 256) / 3)
    assert 1 / kaiming_lr(WIDTHS, "mse_half", readout_gain=0) == pytest.approx(256 / 3)
    assert 1 / kaiming_lr(WIDTHS, "cross_entropy", readout_gain=0) == pytest.approx(25.6 / 3)
    assert 1 / kaiming_lr(WIDTHS, "mse_half", readout_gain=1, input_multiplier=0.01) == pytest.approx((256 + 128.32) / 3)
    assert 1 / kaiming_lr(WIDTHS, "mse_half", second_moment=9, alignment=0.5) == pytest.approx(9 / 2 * 576)
    assert 1 / kaiming_lr([20, 1], "mse_half") == pytest.approx(20 / 3), "a linear model"


def test_the_bounds_of_the_estimate_are_one_quarter_and_one():
    wide = kaiming_sharpness([64, *[10**9] * 3, 10], "mse_half")
    assert (wide.low / wide.value, wide.high / wide.value) == (pytest.approx(0.75, rel=1e-3), pytest.approx(3, rel=1e-3))
    narrow = kaiming_sharpness([64, 16, 16, 16, 10], "mse_half")
    assert narrow.high / narrow.value > 6, "initialisations of narrow networks differ"
    assert kaiming_sharpness(WIDTHS, "mse_half", alignment=1).high == pytest.approx(1.0 * 576 * 1.386, rel=1e-2)


def test_a_wider_deeper_louder_network_needs_a_smaller_rate():
    base = kaiming_lr([64, 64, 64, 10])
    for sharper in (
        kaiming_lr([64, 128, 128, 10]),
        kaiming_lr([64, 64, 64, 64, 10]),
        kaiming_lr([64, 64, 64, 10], second_moment=2),
    ):
        assert sharper < base
    assert kaiming_lr([64, 64, 64, 10], input_multiplier=0.01) > base


MISTAKES = {
    "loss": ({"loss": "hinge"}, "loss is 'hinge'; expected one of cross_entropy, mse, mse_half, bce"),
    "activation": ({"activation": "gelu"}, "activation is 'gelu'; expected 'relu'"),
    "one width": ({"widths": [64]}, "widths is \\[64\\]; expected inputs, hidden units and outputs"),
    "no widths": ({"widths": 64}, "widths is 64; expected inputs"),
    "zero width": ({"widths": [64, 0, 10]}, "a width is 0; expected integers >= 1"),
    "broken width": ({"widths": [64, 2.5, 10]}, "a width is 2.5"),
    "one class": ({"widths": [64, 8, 1]}, "cross_entropy of 1 output is always 0"),
    "gain": ({"readout_gain": -1}, "readout_gain is -1; expected a finite number >= 0"),
    "multiplier": ({"input_multiplier": -0.1}, "input_multiplier is -0.1"),
    "second moment": ({"second_moment": 0}, "second_moment is 0; expected a finite number > 0"),
    "alignment": ({"alignment": 1.5}, "alignment is 1.5; expected a number in \\(0, 1\\]"),
    "nan": ({"second_moment": float("nan")}, "second_moment is nan"),
    "frozen": ({"widths": [64, 10], "input_multiplier": 0}, "nothing is trained"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake):
    arguments, sentence = MISTAKES[mistake]
    for law in (kaiming_lr, kaiming_sharpness):
        with pytest.raises(ProblemError, match=sentence):
            law(**{"widths": WIDTHS, "loss": "cross_entropy", **arguments})


def test_inputs_of_the_kernel_are_checked():
    with pytest.raises(ProblemError, match="have 3 entries each but the first width is 4"):
        kernel_sharpness(np.ones((5, 3)), [4, 8, 2])
    with pytest.raises(ProblemError, match="NaN or infinite entries"):
        kernel_sharpness(np.full((5, 4), np.nan), [4, 8, 2])
    with pytest.raises(ProblemError, match="shape \\(5,\\)"):
        kernel_sharpness(np.ones(5), [4, 8, 2])
    with pytest.raises(ProblemError, match="loss is 'l1'"):
        depth_width_bounds(WIDTHS, "l1")
