"""Tasks that see every sample once, and their loss curves under any schedule: lanes of a store, so that a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Criterion, Lane, Options, Problem
from etastar.core.batch import Batch
from etastar.core.design import Plan
from etastar.core.lane import Outcome, Until, quantise
from etastar.core.monitor import Readings
from etastar.core.setup import Setup
from etastar.laws.curves.curve import Curve
from etastar.policies.policy import Policy, rates_over
from etastar.problems.idx import load_idx_images
from etastar.verbs.workplace import Workplace

Samples = tuple[torch.Tensor, torch.Tensor]
LOOKS = 50
"""Times that the loss is measured on held-out samples in a training."""
HELD_OUT = 8_000
UNREACHABLE = Criterion(loss=0.0)
CONTEXT, ALPHABET, TEXT_STEPS, TEXT_BATCH = 8, 65, 800, 256
IMAGE_STEPS, IMAGE_BATCH = 600, 100


@dataclass(frozen=True)
class OnePass:
    """A task whose horizon is one pass over its data.

    Args:
        problem: its horizon is the longest training.
        held_out: samples of the same kind, none of which is trained on.
        rates: from which the peak is chosen, on the schedule that is fitted.
    """

    problem: Problem
    held_out: Samples
    rates: tuple[float, ...]


@cache
def task(name: str, folder: str) -> OnePass:
    """A task by name, from the folder of its data."""
    return TASKS[name](Path(folder))


def characters(folder: Path) -> OnePass:
    """The next character from eight: windows of a text at places drawn without repetition; the last tenth is held out."""
    text = (folder / "input.txt").read_text()
    codes = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([codes[c] for c in text])
    windows, after = ids.unfold(0, CONTEXT, 1)[:-1], ids[CONTEXT:]
    n, g = int(0.9 * len(after)), torch.Generator().manual_seed(1)
    trained = torch.randperm(n, generator=g)[: TEXT_STEPS * TEXT_BATCH]
    held = n + CONTEXT + torch.randperm(len(after) - n - CONTEXT, generator=g)[:HELD_OUT]

    def model() -> nn.Module:
        hidden = nn.Linear(CONTEXT * 16, 128)
        return nn.Sequential(nn.Embedding(ALPHABET, 16), nn.Flatten(), hidden, nn.Tanh(), nn.Linear(128, ALPHABET))

    problem = Problem(
        model=model,
        optimizer=lambda net: torch.optim.Adam(net.parameters(), lr=3e-3),
        loss=F.cross_entropy,
        train=(windows[trained], after[trained]),
        batch_size=TEXT_BATCH,
        steps=TEXT_STEPS,
        name="one-pass characters",
    )
    return OnePass(problem, (windows[held], after[held]), (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2))


def fashion(folder: Path) -> OnePass:
    """Fashion-MNIST at 14 x 14: two hidden layers, plain SGD; the test images are held out."""
    (x, y), (test_x, test_y) = load_idx_images(folder)
    small = lambda images: F.avg_pool2d(images.reshape(-1, 1, 28, 28), 2).flatten(1)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    problem = Problem(
        model=model,
        optimizer=lambda net: torch.optim.SGD(net.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=(small(x), y),
        batch_size=IMAGE_BATCH,
        steps=IMAGE_STEPS,
        name="one-pass fashion",
    )
    return OnePass(problem, (small(test_x)[:HELD_OUT], test_y[:HELD_OUT]), (0.05, 0.1, 0.2, 0.4, 0.8, 1.6))


TASKS: dict[str, Callable[[Path], OnePass]] = {"characters": characters, "fashion": fashion}
FOLDERS = {"characters": "tinyshakespeare", "fashion": "fashion-mnist"}


@dataclass(frozen=True)
class HeldOutLoss:
    """The loss on samples that no lane trains on.

    Args:
        every: steps between two looks.
        task, folder: of the samples.
    """

    every: int
    task: str
    folder: str
    name: ClassVar[str] = "held-out loss"

    def init(self, setup: Setup, batch: Batch) -> None:
        """Nothing is kept from look to look."""

    def look(self, step: int, setup: Setup, state: None) -> tuple[Readings, None]:
        """One number."""
        x, y = task(self.task, self.folder).held_out
        with torch.no_grad():
            return [("", "loss", float(F.cross_entropy(setup.model(x), y)))], None


@dataclass(frozen=True)
class Run:
    """One training: the peak, the schedule with its horizon, and its steps."""

    lr: float
    policy: Policy
    steps: int

    @property
    def rates(self) -> list[float]:
        """Of every update."""
        return [float(rate) for rate in rates_over(self.policy, quantise(self.lr), self.steps)]


class Trained:
    """Trainings of one task with several seeds, each made once.

    Args:
        name, folder: of the task.
        store: where lanes are kept.
        seeds: how many.
    """

    def __init__(self, name: str, folder: str, store: str, seeds: int) -> None:
        self.name, self.task, self.seeds, self._store = name, task(name, folder), seeds, store
        self._monitor = HeldOutLoss(self.task.problem.steps // LOOKS, name, folder)
        self._losses: dict[Run, tuple[np.ndarray, np.ndarray]] = {}

    def train(self, runs: Iterable[Run]) -> None:
        """Train what is not known yet, all of it side by side."""
        new = [run for run in dict.fromkeys(runs) if run not in self._losses]
        lanes = [self._lane(run, seed) for run in new for seed in range(self.seeds)]
        with Workplace(Options(store=self._store, workers=1, device="cpu")) as place:
            session = place.of(self.task.problem)
            session.plan(Plan(len(lanes), sum(lane.steps for lane in lanes)))
            done = session.get_or_train(session.engine, self.task.problem, lanes)
        for i, run in enumerate(new):
            self._losses[run] = _losses(done[i * self.seeds : (i + 1) * self.seeds])

    def curve(self, run: Run, name: str, seeds: Sequence[int] | None = None) -> Curve:
        """The mean over these seeds (a seed drawn twice counts twice)."""
        steps, losses = self._losses[run]
        mean = losses[list(range(self.seeds)) if seeds is None else list(seeds)].mean(axis=0)
        return Curve(steps, mean, run.rates, passes=len(run.rates) / self.task.problem.steps, name=name)

    def end(self, run: Run) -> np.ndarray:
        """[seeds] loss at the end."""
        return self._losses[run][1][:, -1]

    def _lane(self, run: Run, seed: int) -> Lane:
        return Lane(quantise(run.lr), seed, run.steps, UNREACHABLE, Until.END, run.policy, monitors=(self._monitor,))


def _losses(outcomes: Sequence[Outcome]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [N] and losses [seeds, N] after the first update; NaN where a lane had diverged."""
    read = [{r.step: r.value for r in outcome.readings if r.step > 0} for outcome in outcomes]
    steps = sorted({step for own in read for step in own} | {outcomes[0].lane.steps})
    losses = [[own.get(step, np.nan) for step in steps] for own in read]
    return np.array(steps), np.array(losses)
