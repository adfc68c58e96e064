"""The range tests of four libraries, each by its own code with its own defaults. Runs in the peers' environment.

A range test knows neither schedule nor horizon: it is run once per task, optimizer and seed, and its row stands for all of
that optimizer's cases. `python -m benchmarks.bakeoff.finders [TASK ...]` appends the rows that are missing.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, Rows, suggestion
from benchmarks.bakeoff.tasks import DEFAULT_LR, OPTIMIZERS, TASKS, Case, cases, make_problem
from benchmarks.bakeoff.work import arguments, in_processes, reason
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything

SEEDS = 5
LOW, HIGH, STEPS = 1e-7, 10.0, 100


@dataclass(frozen=True)
class Subject:
    """What a user would hand to a finder: a fresh network, a shuffling loader, the loss and the optimizer's factory."""

    model: nn.Module
    loader: DataLoader[Any]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    optimizer: Callable[[nn.Module, float], torch.optim.Optimizer]
    default_lr: float


@dataclass(frozen=True)
class Found:
    """What a finder said: the rate by rule (or why there is none), and the gradient steps of its range test."""

    rates: dict[str, float | str | None]
    steps: int


def subject(task: str, optimizer: str, seed: int) -> Subject:
    """The same weights and order of batches for every finder of one seed."""
    problem = make_problem(task, optimizer, "constant", STEPS, DEFAULT_LR[optimizer])
    own = derive_seed(0, "bakeoff", "finder", seed)
    seed_everything(own)
    model = TASKS[task].model()
    order = torch.Generator().manual_seed(own)
    size = TASKS[task].batch_size
    loader = DataLoader(TensorDataset(*problem.train), size, shuffle=True, drop_last=True, generator=order)
    return Subject(model, loader, TASKS[task].loss, OPTIMIZERS[optimizer], DEFAULT_LR[optimizer])


def torch_lr_finder(s: Subject) -> Found:
    """As its README: from 1e-7 to 100 in 100 steps; the suggestion is what `plot` returns."""
    from torch_lr_finder import LRFinder

    finder = LRFinder(s.model, s.optimizer(s.model, LOW), s.loss, device="cpu")
    finder.range_test(s.loader, end_lr=100, num_iter=STEPS)
    return Found({"torch-lr-finder": finder.plot()[1]}, len(finder.history["lr"]))


def lightning(s: Subject) -> Found:
    """`Tuner.lr_find` with its defaults, under a Trainer whose limit on epochs cannot cut the test short."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.tuner import Tuner

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.lr = s.model, s.default_lr

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            return s.loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return s.optimizer(self.model, self.lr)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(accelerator="cpu", devices=1, max_epochs=10 * STEPS, default_root_dir=folder, **quiet)
        finder = Tuner(trainer).lr_find(Module(), train_dataloaders=s.loader)
    return Found({"lightning": finder.suggestion()}, len(finder.results["lr"]))


def ignite(s: Subject) -> Found:
    """`FastaiLRFinder` over 1e-7 .. 10 in 100 steps: its defaults are the optimizer's rate and whole epochs."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers import FastaiLRFinder

    optimizer, finder = s.optimizer(s.model, LOW), FastaiLRFinder()
    trainer = create_supervised_trainer(s.model, optimizer, s.loss)
    saved = {"model": s.model, "optimizer": optimizer}
    with finder.attach(trainer, saved, num_iter=STEPS, start_lr=LOW, end_lr=HIGH) as engine:
        engine.run(s.loader)
    return Found({"ignite": finder.lr_suggestion()}, len(finder.get_results()["lr"]))


def fastai(s: Subject) -> Found:
    """`lr_find` with its defaults and all four rules, on torch's own optimizer in fastai's wrapper."""
    from fastai.callback.schedule import minimum, slide, steep, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    rates: dict[str, float | str | None] = {}

    def kept(rule: Callable[..., Any]) -> Callable[..., Any]:
        """The rule under its own name; one that raises does not take the others with it."""

        def guarded(lrs: Any, losses: Any, num_it: int) -> Any:
            try:
                answer = rule(lrs, losses, num_it)
            except Exception as error:
                rates[f"fastai {rule.__name__}"] = reason(error)
                return math.nan, (math.nan, math.nan)
            rates[f"fastai {rule.__name__}"] = float(answer[0])
            return answer

        guarded.__name__ = rule.__name__
        return guarded

    with tempfile.TemporaryDirectory() as folder:
        loaders = DataLoaders(s.loader, s.loader, device="cpu")
        build = lambda params, lr: OptimWrapper(opt=s.optimizer(s.model, lr))
        learner = Learner(loaders, s.model, loss_func=s.loss, opt_func=build, path=folder)
        learner.lr_find(show_plot=False, suggest_funcs=tuple(map(kept, (valley, minimum, slide, steep))))
    return Found(rates, len(learner.recorder.lrs))


FINDERS: dict[str, tuple[Callable[[Subject], Found], tuple[str, ...]]] = {
    "torch-lr-finder": (torch_lr_finder, ("torch-lr-finder",)),
    "lightning": (lightning, ("lightning",)),
    "ignite": (ignite, ("ignite",)),
    "fastai": (fastai, ("fastai valley", "fastai minimum", "fastai slide", "fastai steep")),
}


def test(unit: tuple[str, str, str, int]) -> list[dict[str, Any]]:
    """The rows of one range test, the same for every case of its task and optimizer."""
    name, task, optimizer, seed = unit
    find, methods = FINDERS[name]
    _be_quiet()
    started = time.perf_counter()
    with isolated_randomness(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            found = find(subject(task, optimizer, seed))
        except Exception as error:
            found = Found(dict.fromkeys(methods, reason(error)), STEPS)
    seconds = time.perf_counter() - started
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    rows = []
    for case, method in itertools.product(_cases(task, optimizer), methods):
        rate, note = found.rates.get(method), ""
        if not isinstance(rate, (int, float)) or not (math.isfinite(rate) and rate > 0):
            rate, note = None, rate if isinstance(rate, str) else f"suggested {rate}"
        rows.append(suggestion(case.name, method, seed, rate, found.steps, seconds, note))
    return rows


def _cases(task: str, optimizer: str) -> list[Case]:
    return [case for case in cases([task]) if case.optimizer == optimizer]


def _be_quiet() -> None:
    """No warnings, no logs, figures that nobody sees."""
    os.environ["MPLBACKEND"] = "Agg"
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def missing(rows: Rows, tasks: list[str], optimizers: list[str], seeds: int) -> Iterator[tuple[str, str, str, int]]:
    """(finder, task, optimizer, seed) of every range test some of whose rows are not there."""
    for seed, task in itertools.product(range(seeds), tasks):
        for optimizer in dict.fromkeys(case.optimizer for case in cases([task])):
            if optimizer not in optimizers:
                continue
            for name, (_, methods) in FINDERS.items():
                wanted = itertools.product(_cases(task, optimizer), methods)
                if any((case.name, method, seed) not in rows for case, method in wanted):
                    yield name, task, optimizer, seed


def main() -> None:
    given = arguments(__doc__, seeds=SEEDS)
    rows = Rows(FOLDER / SUGGESTIONS)
    units = list(missing(rows, given.tasks, given.optimizers, given.seeds))
    in_processes(test, units, rows, "{0[0]} on {0[1]}/{0[2]}, seed {0[3]}".format, given.processes)


if __name__ == "__main__":
    main()
