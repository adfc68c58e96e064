"""Evolution of the network on the final loss of whole trainings: CMA-ES over its numbers, lanes side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from etastar.core.randomness import derive_seed
from etastar.errors import MissingExtra
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Policy
from etastar.policies.psi_network import TRAINED, PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.psi.measured import SmallBench, linear

START = np.array(TRAINED)
"""Where evolution begins: what is known to do."""
POPULATION = 20
SIGMA = (0.22, 0.05)
"""Of the first and the last generation, geometric between: left to itself CMA's grows, losses of one seed being noisy."""
SHARE = 0.75
"""Of the tasks, in every generation: others each time, so that no few of them are learnt by heart."""
HORIZONS = {50: 0.25, 100: 0.4, 200: 0.25, 400: 0.1}
"""Steps of a generation's lanes, and how often: a policy that saw one horizon alone fails at four times it."""
WRONG = 0.35
"""Standard deviation, in decades, of the peak's error in training: that of a hasty finder."""
HIGH = 0.1
"""Decades that the peak is too high on average: too high is what must be mended."""
STAY = 0.01
"""Weight of |numbers - start|^2 in what is minimised."""
LOOK = 5
"""Generations between two looks at tasks that are held out for stopping."""
REPEATS = 4
"""Wrong peaks and horizons of every held-out task, the same at each look."""
MOST_WON = -1.0
"""Nats that a task may win, as against two that it may lose: a single lucky task must not pay for others that broke."""
FLOOR = 0.15
"""Added to a task's width, in nats: tasks that no rate can spoil must not weigh endlessly."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """A task whose linear decay is tuned.

    Args:
        peak: of it.
        width: mean ln(loss) that a peak wrong by a factor of four costs: the unit of the task's gains.
    """

    task: Task
    peak: float
    width: float

    def over(self, steps: int) -> Task:
        """The task over other steps."""
        return Task(self.task.family, self.task.optimizer, steps)


@dataclass
class Evolution:
    """CMA-ES over the network's numbers. What is minimised is, over tasks and one fresh seed each,

        mean of clip(ln(final / linear decay's at its tuned peak), -1, 2) / (width + .15)  +  .01 |numbers - start|^2,

    at peaks that are wrong by 10^(.1 + .35 z). The numbers of the generation that is best on the held-out tasks are taken.

    Args:
        bench: trains the lanes.
        tasks: to learn from; held_out: to stop by.
        generations: at most.
        name: seeds are derived from it.
    """

    bench: SmallBench
    tasks: Sequence[Known]
    held_out: Sequence[Known]
    generations: int
    name: str
    on_generation: Callable[[int, float], None] | None = None
    best: tuple[float, Numbers] = field(init=False, default_factory=lambda: (math.inf, START))
    history: list[tuple[int, float, float]] = field(init=False, default_factory=list)
    """(generation, mean over the population, on the held-out tasks)."""

    def run(self) -> tuple[float, ...]:
        """The numbers."""
        try:
            from cmaes import CMA
        except ImportError:
            raise MissingExtra("cmaes is not installed; pip install 'etastar[search]'") from None
        seed = derive_seed(0, self.name) % 2**32
        mean, sizes = START, np.geomspace(*SIGMA, max(self.generations, 2))
        optimizer = CMA(mean=mean, sigma=SIGMA[0], population_size=POPULATION, seed=seed)
        self._judge(-1, math.nan, mean)
        for generation in range(self.generations):
            optimizer._sigma = float(sizes[generation])
            candidates = [optimizer.ask() for _ in range(POPULATION)]
            costs = self._costs(generation, candidates)
            optimizer.tell(list(zip(candidates, costs, strict=True)))
            if (generation + 1) % LOOK == 0 or generation + 1 == self.generations:
                self._judge(generation, statistics.fmean(costs), optimizer.mean.copy())
        return tuple(round(float(v), 4) for v in self.best[1])

    def _judge(self, generation: int, cost: float, numbers: Numbers) -> None:
        held = statistics.fmean(
            self._score(known, {"": numbers}, f"held out {k}", k)[""] for known in self.held_out for k in range(3)
        )
        self.history.append((generation, cost, held))
        if held < self.best[0]:
            self.best = (held, numbers)
        if self.on_generation:
            self.on_generation(generation, held)

    def _costs(self, generation: int, candidates: Sequence[Numbers]) -> list[float]:
        rng = np.random.default_rng(derive_seed(0, self.name, "tasks", generation))
        chosen = rng.choice(len(self.tasks), size=max(round(SHARE * len(self.tasks)), 1), replace=False)
        named = {str(i): numbers for i, numbers in enumerate(candidates)}
        scores = [self._score(self.tasks[t], named, f"generation {generation}", generation) for t in chosen]
        own = [statistics.fmean(score[name] for score in scores) for name in named]
        return [
            cost + STAY * float((numbers - START) @ (numbers - START)) for cost, numbers in zip(own, candidates, strict=True)
        ]

    def _score(self, known: Known, numbers: Mapping[str, Numbers], what: str, index: int) -> dict[str, float]:
        """Of every candidate on one task: one seed, one horizon, one wrong peak, the same for all."""
        rng = np.random.default_rng(derive_seed(0, self.name, known.task.name, what, index))
        steps = int(rng.choice(list(HORIZONS), p=list(HORIZONS.values())))
        lr = known.peak * 10 ** (HIGH + WRONG * rng.standard_normal())
        task = known.over(steps)
        arms: dict[str, tuple[Policy, float]] = {"linear": (linear(steps), known.peak)}
        arms |= {name: (PsiNetwork(tuple(map(float, own))).over(steps), lr) for name, own in numbers.items()}
        losses = self.bench.once(task, arms, 1, f"{self.name} {what}")
        reference = losses["linear"][0]
        return {name: log_ratio(losses[name][0], reference, MOST_WON) / (known.width + FLOOR) for name in numbers}
