"""Fourteen cheap tasks of kinds that the bake-off lacks, and three of its own, each under two optimizers or schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.bakeoff.tasks import Split, breast_cancer, digits, fine_tuned, later_digits, plain, upper_half
from benchmarks.basins.text import Attends, Remembers, next_characters
from benchmarks.long_horizon.tasks import CHARACTERS, SEEN, characters, heavy_tails, noisy_digits
from etastar.core.problem import Problem
from etastar.problems.digits import he, mlp
from etastar.problems.optimizers import optimizer_factory
from etastar.problems.small.family import chain

HORIZONS = (200, 800)
GRIDS: dict[str, tuple[float, float]] = {
    "momentum": (-3.5, 0.5), "adamw": (-4.0, 0.0), "rmsprop": (-4.5, -0.5), "muon": (-3.5, 0.5),
}  # fmt: skip
"""optimizer -> log10 of the lowest and the highest rate of the truth."""
DEFAULTS: dict[str, float] = {"momentum": 0.01, "adamw": 1e-3, "rmsprop": 1e-2, "muon": 1e-3}
"""optimizer -> the rate in use: torch's default, but for SGD, whose 1e-3 nobody uses."""
STEP = 0.25
"""Decades between rates of the truth."""


@dataclass(frozen=True)
class Task:
    """What is trained: data, model, loss, size of a batch; and (optimizer, schedule) of its cases."""

    data: Callable[[], Split]
    model: Callable[[], nn.Module]
    under: tuple[tuple[str, str], ...]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy
    batch_size: int = 64

    @property
    def regression(self) -> bool:
        """Whether the loss is a squared error: half its logarithm counts as nats."""
        return self.loss is F.mse_loss

    def nats(self, loss: float) -> float:
        """A loss in nats."""
        return 0.5 * math.log(loss) if self.regression else loss


@dataclass(frozen=True)
class Cell:
    """A task under an optimizer, a schedule and a horizon: one rate to be found."""

    task: str
    optimizer: str
    schedule: str
    steps: int

    @property
    def name(self) -> str:
        """task/optimizer/schedule/steps."""
        return f"{self.task}/{self.optimizer}/{self.schedule}/{self.steps}"

    @property
    def rates(self) -> list[float]:
        """Those of the truth."""
        low, high = GRIDS[self.optimizer]
        return [10 ** (low + STEP * i) for i in range(round((high - low) / STEP) + 1)]

    def problem(self, lr: float | None = None) -> Problem:
        """As a user would write it, with torch's default as the rate in use."""
        own, (train, valid) = TASKS[self.task], _data(self.task)
        return Problem(
            model=own.model, optimizer=optimizer_factory(f"{self.optimizer}:lr={lr or DEFAULTS[self.optimizer]:g}"),
            loss=own.loss, train=train, valid=valid, batch_size=own.batch_size, steps=self.steps,
            schedule=self.schedule, name=f"basins/{self.task}/{self.optimizer}",
        )  # fmt: skip

    def over(self, steps: int) -> Cell:
        """The same at another horizon."""
        return replace(self, steps=steps)


def cells(tasks: tuple[str, ...] = ()) -> Iterator[Cell]:
    """All of them."""
    for name in tasks or TASKS:
        for optimizer, schedule in TASKS[name].under:
            yield from (Cell(name, optimizer, schedule, steps) for steps in HORIZONS)


def taught(inputs: int, hidden: int, gain: float) -> Split:
    """What a steep tanh network says of its inputs, with noise: a line explains most of it, the rest comes late."""
    source = torch.Generator().manual_seed(5)
    x = torch.randn(22_000, inputs, generator=source)
    first = torch.randn(inputs, hidden, generator=source) / inputs**0.5
    y = torch.tanh(gain * x @ first) @ torch.randn(hidden, 1, generator=source) / hidden**0.5
    y = y + 0.1 * torch.randn(y.shape, generator=source)
    return (x[:20_000], y[:20_000]), (x[20_000:], y[20_000:])


def images_themselves() -> Split:
    """Digits as their own targets: the mean of all images is a plateau on the way."""
    (x, _), (held_out, _) = digits()
    return (x, x), (held_out, held_out)


def few_noisy() -> Split:
    """300 digits, 40 % of whose labels are drawn at random: memorised soon."""
    (x, y), valid = digits()
    source = torch.Generator().manual_seed(4)
    drawn = torch.rand(len(y), generator=source) < 0.4
    return (x[:300], torch.where(drawn, torch.randint(10, (len(y),), generator=source), y)[:300]), valid


def batchnorm_cnn() -> nn.Sequential:
    """A convolution with BatchNorm on 8 x 8 digits."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def unbiased() -> nn.Sequential:
    """A network of matrices alone, which is what Muon takes."""
    return nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 10, bias=False))


SGD, SGD_WC, ADAMW, ADAMW_WC = (
    (optimizer, schedule) for optimizer in ("momentum", "adamw") for schedule in ("constant", "warmup-cosine")
)
TASKS: dict[str, Task] = {
    "teacher": Task(partial(taught, 20, 8, 2.0), partial(chain, (20, 32, 32, 1), nn.Tanh), (SGD_WC, ADAMW_WC), F.mse_loss),
    "wide-teacher": Task(
        partial(taught, 30, 16, 2.5), partial(chain, (30, 32, 32, 1), nn.Tanh), (SGD_WC, ADAMW_WC), F.mse_loss
    ),
    "autoencoder": Task(images_themselves, partial(chain, (64, 32, 8, 32, 64)), (SGD, ADAMW_WC), F.mse_loss),
    "noisy": Task(noisy_digits, partial(chain, (64, 64, 64, 10)), (SGD, ADAMW_WC)),
    "few-noisy": Task(few_noisy, partial(chain, (64, 96, 10)), (SGD, ADAMW), batch_size=32),
    "heavy-tails": Task(heavy_tails, partial(chain, (6, 48, 48, 1)), (ADAMW, ("rmsprop", "constant")), F.mse_loss, 32),
    "tumours": Task(breast_cancer, partial(chain, (30, 32, 2)), (("rmsprop", "warmup-cosine"), SGD_WC), batch_size=16),
    "digits": Task(digits, partial(chain, (64, 64, 64, 10)), (("rmsprop", "constant"), ("rmsprop", "warmup-cosine"))),
    "matrices": Task(digits, unbiased, (("muon", "constant"),)),
    "bn-cnn": Task(digits, batchnorm_cnn, (SGD, ADAMW_WC), batch_size=32),
    "deep": Task(digits, lambda: he(mlp(14, 48)), (SGD, SGD_WC)),
    "letters": Task(characters, partial(chain, (SEEN * len(CHARACTERS), 48, len(CHARACTERS))), (ADAMW_WC, SGD)),
    "char-lstm": Task(next_characters, Remembers, (SGD_WC, ADAMW), batch_size=16),
    "char-transformer": Task(next_characters, Attends, (ADAMW_WC, SGD), batch_size=8),
    "mlp3": Task(digits, partial(mlp, 3, 64), (SGD_WC, ADAMW)),
    "lower-half": Task(upper_half, partial(plain, 32, 64, 64, 32), (SGD, ADAMW_WC), F.mse_loss),
    "fine-tune": Task(later_digits, fine_tuned, (SGD_WC, ADAMW), batch_size=32),
}
"""The last three are the bake-off's own: whether what helps the others does harm where short lanes do not mislead."""


@cache
def _data(task: str) -> Split:
    return TASKS[task].data()
