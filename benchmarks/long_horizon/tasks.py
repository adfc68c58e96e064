"""Eight cheap tasks, each a kind of its own: what is trained for 10,000 steps at 13 rates at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.bakeoff.tasks import Split, breast_cancer, digits, fine_tuned, later_digits, plain, upper_half
from etastar.core.problem import Problem
from etastar.problems.optimizers import optimizer_factory

HORIZON = 10_000
SHORTER = (100, 400, 1600)
"""Horizons at which every rate is trained, too: what exponents are learnt from."""
SCHEDULES = ("constant", "warmup-cosine")
CENTRES = {"momentum": -2.0, "adamw": -3.0, "rmsprop": -3.0, "nadam": -3.0}
"""log10 of the rate in the middle of those that are trained, 2 decades to either side, a third of a decade apart."""
ONCE = 64 * HORIZON
"""Samples of which none is seen twice."""
OFFSETS = tuple(k / 3 for k in range(-6, 7))


@dataclass(frozen=True)
class Task:
    """What is trained: data, model, loss, size of a batch."""

    data: Callable[[], Split]
    model: Callable[[], nn.Module]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy
    batch_size: int = 64

    @property
    def regression(self) -> bool:
        """Whether the loss is a squared error: half its logarithm counts as nats."""
        return self.loss is F.mse_loss


@dataclass(frozen=True)
class Cell:
    """A task under an optimizer and a schedule."""

    task: str
    optimizer: str
    schedule: str

    @property
    def name(self) -> str:
        """task/optimizer/schedule."""
        return f"{self.task}/{self.optimizer}/{self.schedule}"

    def alike(self, other: Cell) -> bool:
        """Whether both have the same optimizer and schedule."""
        return (self.optimizer, self.schedule) == (other.optimizer, other.schedule)

    @property
    def rates(self) -> list[float]:
        """Those that are trained."""
        return [10 ** (CENTRES[self.optimizer] + x) for x in OFFSETS]

    def problem(self, steps: int = HORIZON) -> Problem:
        """As a user would write it."""
        own, (train, valid) = TASKS[self.task], _data(self.task)
        optimizer = optimizer_factory(f"{self.optimizer}:lr={10 ** CENTRES[self.optimizer]:g}")
        return Problem(
            model=own.model, optimizer=optimizer, loss=own.loss, train=train, valid=valid, batch_size=own.batch_size,
            steps=steps, schedule=self.schedule, name=f"long-horizon/{self.task}/{self.optimizer}",
        )  # fmt: skip


def cells() -> list[Cell]:
    """All that have a truth at 10,000 steps."""
    return [Cell(t, o, s) for t, o, s in itertools.product(TASKS, ("momentum", "adamw"), SCHEDULES)]


def others() -> list[Cell]:
    """Optimizers of which only the level of the prior is learnt, at shorter horizons."""
    return [Cell(t, o, "constant") for t, o in itertools.product(TASKS, ("rmsprop", "nadam"))]


def noisy_digits() -> Split:
    """Digits, of whose training labels 30 % are drawn at random: memorised late."""
    (x, y), valid = digits()
    source = torch.Generator().manual_seed(1)
    drawn = torch.rand(len(y), generator=source) < 0.3
    return (x, torch.where(drawn, torch.randint(10, (len(y),), generator=source), y)), valid


def teacher() -> Split:
    """A tanh network of 10 inputs and 8 hidden units, every sample seen once: features come late."""
    source = torch.Generator().manual_seed(2)
    x = torch.randn(ONCE + 2000, 10, generator=source)
    first, last = torch.randn(10, 8, generator=source) / 10**0.5, torch.randn(8, 1, generator=source) / 8**0.5
    y = torch.tanh(2 * x @ first) @ last
    return (x[:ONCE], y[:ONCE]), (x[ONCE:], y[ONCE:])


def heavy_tails() -> Split:
    """A smooth function of 6 inputs plus Student-t noise of 3 degrees of freedom, every sample seen once."""
    source = torch.Generator().manual_seed(3)
    x = torch.rand(ONCE + 2000, 6, generator=source) * 2 - 1
    clean = torch.sin(3 * x[:, :1] * x[:, 1:2]) + x[:, 2:3] ** 2 + 0.5 * x[:, 3:4]
    normal = torch.randn(ONCE, 4, generator=source)
    noise = 0.2 * normal[:, :1] / (normal[:, 1:] ** 2).mean(1, keepdim=True).sqrt()
    return (x[:ONCE], clean[:ONCE] + noise), (x[ONCE:], clean[ONCE:])


CHARACTERS = " abcdefghijklmnopqrstuvwxyz.,()'`\"_-:=\n"
SEEN, STRIDE, HELD_OUT = 5, 8, 4_000


def characters() -> Split:
    """The next character of Python's own help texts from the five before it, one-hot; the held-out ones come later."""
    text = [c for name in sorted(topics) for c in topics[name].lower() if c in CHARACTERS]
    windows = torch.tensor([CHARACTERS.index(c) for c in text]).unfold(0, SEEN + 1, STRIDE)
    x = F.one_hot(windows[:, :SEEN], len(CHARACTERS)).flatten(1).float()
    y = windows[:, SEEN]
    return (x[:-HELD_OUT], y[:-HELD_OUT]), (x[-HELD_OUT:], y[-HELD_OUT:])


TASKS: dict[str, Task] = {
    "digits": Task(digits, partial(plain, 64, 64, 64, 10)),
    "noisy-labels": Task(noisy_digits, partial(plain, 64, 64, 64, 10)),
    "lower-half": Task(upper_half, partial(plain, 32, 64, 64, 32), F.mse_loss),
    "tumours": Task(breast_cancer, partial(plain, 30, 64, 64, 2), batch_size=32),
    "fine-tune": Task(later_digits, fine_tuned, batch_size=32),
    "teacher": Task(teacher, partial(plain, 10, 64, 1), F.mse_loss),
    "heavy-tails": Task(heavy_tails, partial(plain, 6, 64, 64, 1), F.mse_loss),
    "characters": Task(characters, partial(plain, SEEN * len(CHARACTERS), 64, len(CHARACTERS))),
}


@cache
def _data(task: str) -> Split:
    return TASKS[task].data()
