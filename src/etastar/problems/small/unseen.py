"""Families in groups of their own, made after the numbers of `psi` and `psi-network` had been frozen: to judge them.

What moves (a pendulum, springs, a chaotic map), what is far apart in a sequence (recall, brackets), what hangs together (the
parts of a graph, a grid under water), and chances (who wins, how many come).
"""

from __future__ import annotations

from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, few, split

SAMPLES = 6000
TOKENS, LENGTH = 8, 8
NODES = 24
GRID = 6
FEW = 100


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def pendulum() -> Splits:
    """Angle (as sine and cosine) and speed of a damped pendulum [N, 3], and what they are half a second later."""
    state = torch.randn(SAMPLES, 2, generator=_generator(100)) * torch.tensor([1.5, 1.0])
    seen = lambda own: torch.stack([own[:, 0].sin(), own[:, 0].cos(), own[:, 1]], dim=1)
    before = seen(state)
    for _ in range(50):
        angle, speed = state.unbind(1)
        state = torch.stack([angle + 0.01 * speed, speed - 0.01 * (9.81 * angle.sin() + 0.3 * speed)], dim=1)
    after = seen(state)
    return split(before, after + 0.02 * torch.randn(after.shape, generator=_generator(101)))


@cache
def springs() -> Splits:
    """Six masses between springs: places and speeds [N, 12], and the places a while later."""
    place, speed = torch.randn(2, SAMPLES, 6, generator=_generator(102))
    before = torch.cat([place, speed], dim=1)
    for _ in range(100):
        ends = F.pad(place, (1, 1))
        pull = ends[:, :-2] - 2 * place + ends[:, 2:] - 0.2 * place**3
        speed = speed + 0.02 * pull
        place = place + 0.02 * speed
    return split(before, place)


@cache
def logistic_map() -> Splits:
    """Four values of x -> r x (1 - x) with r from 3.6 to 4, seen with noise [N, 4], and the next."""
    generator = _generator(103)
    x, r = torch.rand(SAMPLES, generator=generator), 3.6 + 0.4 * torch.rand(SAMPLES, generator=generator)
    values = []
    for _ in range(25):
        x = r * x * (1 - x)
        values.append(x)
    seen = 2 * torch.stack(values[-5:], dim=1) - 1
    return split(seen[:, :4] + 0.02 * torch.randn(SAMPLES, 4, generator=generator), seen[:, 4:])


@cache
def recall() -> Splits:
    """Three keys, each before its value, and one of the keys again [N, 7]: which value was its?"""
    generator = _generator(104)
    keys = torch.rand(SAMPLES, TOKENS, generator=generator).argsort(1)[:, :3]
    values = torch.randint(0, TOKENS, (SAMPLES, 3), generator=generator)
    asked = torch.randint(0, 3, (SAMPLES, 1), generator=generator)
    tokens = torch.cat([torch.stack([keys, values + TOKENS], dim=2).flatten(1), keys.gather(1, asked)], dim=1)
    return split(tokens, values.gather(1, asked).squeeze(1))


@cache
def brackets() -> Splits:
    """Eight brackets [N, 8], and how deep the deepest of them is nested (a closing one too many counts as none)."""
    tokens = torch.randint(0, 2, (SAMPLES, LENGTH), generator=_generator(105))
    depth = torch.zeros(SAMPLES, dtype=torch.int64)
    deepest = depth
    for i in range(LENGTH):
        depth = (depth + 1 - 2 * tokens[:, i]).clamp(min=0)
        deepest = torch.maximum(deepest, depth)
    return split(tokens, deepest.clamp(max=5))


@cache
def parts() -> Splits:
    """Which nodes of a random graph of two parts are joined [N, 276], and in which part the last node is."""
    generator = _generator(106)
    side = torch.randint(0, 2, (2000, NODES), generator=generator)
    side[:, 0] = 0
    alike = side.unsqueeze(1) == side.unsqueeze(2)
    joined = torch.rand(2000, NODES, NODES, generator=generator) < torch.where(alike, 0.5, 0.15)
    first, second = torch.triu_indices(NODES, NODES, offset=1)
    return split(2 * joined[:, first, second].float() - 1, side[:, -1])


@cache
def flood() -> Splits:
    """A grid of 6 x 6 with walls [N, 36], and whether water from one corner reaches the other."""
    walls = torch.rand(SAMPLES, 1, GRID, GRID, generator=_generator(107)) < 0.38
    open_ = ~walls
    open_[:, :, 0, 0] = open_[:, :, -1, -1] = True
    wet = torch.zeros_like(open_)
    wet[:, :, 0, 0] = True
    for _ in range(GRID * GRID):
        near = F.pad(wet.float(), (1, 1, 1, 1))
        spread = near[:, :, 1:-1, :-2] + near[:, :, 1:-1, 2:] + near[:, :, :-2, 1:-1] + near[:, :, 2:, 1:-1] > 0
        wet = wet | (spread & open_)
    return split(2 * open_.flatten(1).float() - 1, wet[:, 0, -1, -1].long())


@cache
def matches() -> Splits:
    """Two players of hidden strength, as their last results [N, 20], and who wins the next game."""
    generator = _generator(108)
    strength = torch.randn(SAMPLES, 2, generator=generator)
    results = strength.repeat_interleave(10, dim=1) + 1.5 * torch.randn(SAMPLES, 20, generator=generator)
    wins = torch.rand(SAMPLES, generator=generator) < torch.sigmoid(2 * (strength[:, 0] - strength[:, 1]))
    return split(results, wins.long())


@cache
def counts() -> Splits:
    """Twelve attributes [N, 12], and a count that is Poisson of an exponential of them."""
    generator = _generator(109)
    x = torch.randn(SAMPLES, 12, generator=generator)
    rate = (0.5 + 0.4 * x[:, 0] - 0.3 * x[:, 1] + 0.4 * x[:, 2] * x[:, 3]).clamp(max=3).exp()
    return split(x, torch.poisson(rate, generator=generator).unsqueeze(1))


def surprise(log_rate: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Mean of the Poisson deviance / 2: rate - count + count ln(count / rate), 0 where the rate is the count."""
    return (log_rate.exp() - count + torch.special.xlogy(count, count) - count * log_rate).mean()


class Attends(nn.Module):
    """Tokens with places, one layer of attention behind a LayerNorm, the scores from the last token."""

    def __init__(self, tokens: int, length: int, classes: int, width: int = 24) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(tokens, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.norm, self.mixed = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.last = chain((width, 32, classes))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, L] indices -> [B, classes] scores."""
        x = self.embed(tokens) + self.places
        query, key, value = self.mixed(self.norm(x)).chunk(3, dim=-1)
        seen = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1) @ value
        return self.last((x + seen)[:, -1])


class OneHot(nn.Module):
    """Tokens as indicators, and a chain."""

    def __init__(self, tokens: int, *sizes: int) -> None:
        super().__init__()
        self.tokens, self.body = tokens, chain(sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, L] indices -> [B, classes] scores."""
        return self.body((x.unsqueeze(-1) == torch.arange(self.tokens, device=x.device)).float().flatten(1))


UNSEEN: tuple[Family, ...] = (
    Family("pendulum", "motion", pendulum, partial(chain, (3, 32, 32, 3), nn.Tanh), F.mse_loss),
    Family("springs", "motion", springs, partial(chain, (12, 48, 6)), F.mse_loss),
    Family("springs-few", "motion", partial(few, springs, FEW), partial(chain, (12, 48, 6)), F.mse_loss, overfits=True),
    Family("logistic-map", "motion", logistic_map, partial(chain, (4, 32, 32, 1)), F.mse_loss),
    Family("recall", "sequences", recall, partial(Attends, 2 * TOKENS, 7, TOKENS)),
    Family("brackets", "sequences", brackets, partial(OneHot, 2, 2 * LENGTH, 32, 6)),
    Family("graph", "nets", parts, partial(chain, (NODES * (NODES - 1) // 2, 32, 2)), overfits=True),
    Family("flood", "nets", flood, partial(chain, (GRID * GRID, 32, 32, 2), norm=True)),
    Family("matches", "chances", matches, partial(chain, (20, 32, 2), nn.Tanh)),
    Family("matches-few", "chances", partial(few, matches, FEW), partial(chain, (20, 32, 2)), overfits=True),
    Family("counts", "chances", counts, partial(chain, (12, 32, 1)), surprise),
)
"""Four groups; nothing is fitted to them."""
