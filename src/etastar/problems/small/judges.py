"""Families in groups of their own, made after the numbers of the second `psi-network` had been frozen: to judge it.

Curves of scikit-learn that statisticians fit (Friedman's), shapes in space, signals in noise, games of cards and crosses.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, few, split, standardised
from etastar.problems.small.unseen import OneHot

SAMPLES = 6000
LENGTH = 24
BANDS = 6
CARDS = 13
FEW = 120


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _made(name: str, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, a column, of a generator of scikit-learn, both standardised."""
    from sklearn import datasets

    x, y, *_ = getattr(datasets, f"make_{name}")(n_samples=SAMPLES, random_state=0, **settings)
    return standardised(torch.tensor(x, dtype=torch.float32)), torch.tensor(y, dtype=torch.float32).unsqueeze(1)


@cache
def friedman() -> Splits:
    """10 sin(pi x0 x1) + 20 (x2 - .5)^2 + 10 x3 + 5 x4 of ten uniform inputs, and noise."""
    x, y = _made("friedman1", noise=1.0)
    return split(x, standardised(y))


@cache
def impedance() -> Splits:
    """The impedance of a circuit, by resistance, frequency, inductance and capacity."""
    x, y = _made("friedman2", noise=0.0)
    return split(x, standardised(y))


@cache
def swiss_roll() -> Splits:
    """Points of a rolled sheet in space, and how far along the sheet each is."""
    x, y = _made("swiss_roll", noise=0.3)
    return split(x, standardised(y))


@cache
def moons() -> Splits:
    """In which of two half-moons, which overlap, a point of the plane lies."""
    x, y = _made("moons", noise=0.25)
    return split(x, y.squeeze(1).long())


@cache
def shells() -> Splits:
    """In which of four shells around the origin a normal point of R^8 lies."""
    x, y = _made("gaussian_quantiles", n_features=8, n_classes=4)
    return split(x, y.squeeze(1).long())


def _tones(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """24 values of a tone of random phase, and its frequency in [0, 1]."""
    generator = _generator(seed)
    pitch, phase = torch.rand(2, SAMPLES, 1, generator=generator)
    return (torch.arange(LENGTH) * (0.2 + pitch) + 2 * math.pi * phase).sin(), pitch


@cache
def pitch() -> Splits:
    """A tone in noise [N, 24], and in which of six bands its frequency is."""
    tones, height = _tones(200)
    heard = tones + 0.3 * torch.randn(tones.shape, generator=_generator(201))
    return split(heard, (BANDS * height).long().squeeze(1))


@cache
def denoised() -> Splits:
    """Two tones in noise [N, 24], and the two without it."""
    tones = _tones(202)[0] + _tones(203)[0]
    return split(tones + 0.5 * torch.randn(tones.shape, generator=_generator(204)), tones)


@cache
def pulse() -> Splits:
    """A pulse in noise [N, 24], and in which sixth of the time it came."""
    generator = _generator(205)
    at = torch.rand(SAMPLES, 1, generator=generator)
    shape = (-0.5 * (torch.arange(LENGTH) - LENGTH * at) ** 2 / 4).exp()
    return split(2 * shape + 0.5 * torch.randn(shape.shape, generator=generator), (BANDS * at).long().squeeze(1))


@cache
def crosses() -> Splits:
    """Nine fields of empty, nought or cross [N, 9], and who has three in a row: neither, one, the other, both."""
    board = torch.randint(-1, 2, (SAMPLES, 3, 3), generator=_generator(206))
    straight = torch.cat([board.sum(1), board.sum(2)], dim=1)
    crossed = torch.stack([board[:, [0, 1, 2], [0, 1, 2]].sum(1), board[:, [0, 1, 2], [2, 1, 0]].sum(1)], dim=1)
    sums = torch.cat([straight, crossed], dim=1)
    return split(board.flatten(1).float(), (sums == 3).any(1).long() + 2 * (sums == -3).any(1).long())


@cache
def hands() -> Splits:
    """Five cards of thirteen values [N, 5], and how many values they are: two at least, or all different."""
    cards = torch.rand(SAMPLES, 4 * CARDS, generator=_generator(207)).argsort(1)[:, :5] % CARDS
    values = (cards.sort(1).values.diff(dim=1) != 0).sum(1) + 1
    return split(cards, values - 2)


JUDGES: tuple[Family, ...] = (
    Family("friedman", "curves", friedman, partial(chain, (10, 32, 1)), F.mse_loss),
    Family("friedman-few", "curves", partial(few, friedman, FEW), partial(chain, (10, 48, 1)), F.mse_loss, overfits=True),
    Family("impedance", "curves", impedance, partial(chain, (4, 32, 32, 1), nn.Tanh), F.mse_loss),
    Family("swiss-roll", "shapes", swiss_roll, partial(chain, (3, 32, 32, 1)), F.mse_loss),
    Family("moons", "shapes", moons, partial(chain, (2, 24, 2), nn.Tanh)),
    Family("shells", "shapes", shells, partial(chain, (8, 48, 4))),
    Family("pitch", "signals", pitch, partial(chain, (LENGTH, 32, 32, BANDS), norm=True)),
    Family("denoised", "signals", denoised, partial(chain, (LENGTH, 32, LENGTH), nn.Tanh), F.mse_loss),
    Family("pulse-few", "signals", partial(few, pulse, FEW), partial(chain, (LENGTH, 32, BANDS)), overfits=True),
    Family("crosses", "games", crosses, partial(chain, (9, 48, 4))),
    Family("hands", "games", hands, partial(OneHot, CARDS, 5 * CARDS, 48, 4)),
)
"""Four groups; nothing is fitted to them."""
