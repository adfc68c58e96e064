"""Evolution of the network on the final loss of whole trainings: CMA-ES over its numbers, lanes side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from etastar.core.deadline import TimeOver
from etastar.core.design import Plan
from etastar.core.randomness import derive_seed
from etastar.errors import MissingExtra
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Policy
from etastar.policies.psi_network import TRAINED, PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.psi.measured import SmallBench, linear

START = np.array(TRAINED)
"""Where evolution begins: what is known to do."""
POPULATION = 16
SIGMA = (0.22, 0.05)
"""Of the first and the last generation, geometric between: left to itself CMA's grows, losses of one seed being noisy."""
DRAWN = 8
"""Tasks of a generation, others each time: that no few of them are learnt by heart."""
WRONG = 0.35
"""Standard deviation, in decades, of the peak's error in training: that of a hasty finder."""
HIGH = 0.1
"""Decades that the peak is too high on average: too high is what must be mended."""
STAY = 0.01
"""Weight of |numbers - start|^2 in what is minimised."""
LOOK = 5
"""Generations from one mean that is looked at on the tasks held out for stopping to the next."""
REPEATS = 2
"""Wrong peaks of every held-out task, the same for all means."""
MOST_WON = -1.0
"""Nats that a task may win, as against two that it may lose: a single lucky task must not pay for others that broke."""
FLOOR = 0.15
"""Added to a task's width, in nats: tasks that no rate can spoil must not weigh endlessly."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """A task whose linear decay is tuned, over its steps.

    Args:
        peak: of it.
        width: mean ln(loss) that a peak wrong by a factor of four costs: the unit of the task's gains.
        found: by the name of a cheap search, the peak that it found.
    """

    task: Task
    peak: float
    width: float
    found: Mapping[str, float] = field(default_factory=dict, hash=False)


class HeldOutLook(NamedTuple):
    """What is minimised, on the tasks that stop the evolution, for the mean of a generation."""

    generation: int
    held_out: float


@dataclass
class Course:
    """How far an evolution went: what its candidates cost, generation by generation, and its looks.

    The candidates follow from the seed and the costs: an evolution that was cut is played again up to where it was.
    """

    costs: list[list[float]] = field(default_factory=list)
    looks: list[HeldOutLook] = field(default_factory=list)

    @classmethod
    def of(cls, kept: Mapping[str, list[list[float]]]) -> Course:
        """From `kept`."""
        return cls(list(kept["costs"]), [HeldOutLook(int(g), held) for g, held in kept["looks"]])

    def kept(self) -> dict[str, list[list[float]]]:
        """It, for a file."""
        return {"costs": self.costs, "looks": [[*look] for look in self.looks]}


@dataclass
class Evolution:
    """CMA-ES over the network's numbers. What is minimised is, over tasks (the more seldom the longer) and one seed each,

        mean of clip(ln(final / linear decay's at its tuned peak), -1, 2) / (width + .15)  +  .01 |numbers - start|^2,

    at peaks that are wrong by 10^(.1 + .35 z). The mean of the generation that is best on the held-out tasks is taken.

    Args:
        bench: trains the lanes.
        tasks: to learn from; held_out: to stop by.
        generations: at most.
        name: seeds are derived from it.
        course: how far it went before.
        on_course: called after every generation, when `course` is worth keeping.
    """

    bench: SmallBench
    tasks: Sequence[Known]
    held_out: Sequence[Known]
    generations: int
    name: str
    course: Course = field(default_factory=Course)
    on_course: Callable[[], None] = lambda: None

    def planned(self) -> Plan:
        """About what it trains: generations of `DRAWN` tasks, and the looks, all told."""
        weights = self._weights()
        drawn = min(DRAWN, len(self.tasks)) * self.generations * (POPULATION + 1)
        looks = (1 + math.ceil(self.generations / LOOK)) * REPEATS + 1
        steps = drawn * sum(w * own.task.steps for w, own in zip(weights, self.tasks, strict=True))
        return Plan(drawn + looks * len(self.held_out), round(steps) + looks * sum(own.task.steps for own in self.held_out))

    def run(self) -> tuple[float, ...]:
        """The numbers.

        Raises:
            MissingExtra: cmaes is not installed.
            TimeOver: `course` holds how far it went.
        """
        try:
            from cmaes import CMA
        except ImportError:
            raise MissingExtra("cmaes is not installed; pip install 'etastar[search]'") from None
        seed = derive_seed(0, self.name) % 2**32
        sizes = np.geomspace(*SIGMA, max(self.generations, 2))
        optimizer = CMA(mean=START, sigma=SIGMA[0], population_size=POPULATION, seed=seed)
        means = {-1: START}
        for generation in range(self.generations):
            optimizer._sigma = float(sizes[generation])
            candidates = [optimizer.ask() for _ in range(POPULATION)]
            if generation == len(self.course.costs):
                self.course.costs.append(self._costs(generation, candidates))
                self.on_course()
            optimizer.tell(list(zip(candidates, self.course.costs[generation], strict=True)))
            if (generation + 1) % LOOK == 0 or generation + 1 == self.generations:
                means[generation] = optimizer.mean.copy()
        if not self.course.looks:
            self.course.looks = self._looks(means)
        best = min(self.course.looks, key=lambda look: look.held_out)
        return tuple(round(float(v), 4) for v in means[best.generation])

    def _looks(self, means: Mapping[int, Numbers]) -> list[HeldOutLook]:
        """At the held-out tasks, for all means side by side: more lanes of a small network cost next to nothing."""
        named = {str(generation): numbers for generation, numbers in means.items()}
        scores = [self._score(known, named, "held out", REPEATS) for known in self.held_out]
        return [HeldOutLook(g, statistics.fmean(score[str(g)] for score in scores)) for g in means]

    def _costs(self, generation: int, candidates: Sequence[Numbers]) -> list[float]:
        rng = np.random.default_rng(derive_seed(0, self.name, "tasks", generation))
        size = min(DRAWN, len(self.tasks))
        chosen = rng.choice(len(self.tasks), size=size, replace=False, p=self._weights())
        named = {str(i): numbers for i, numbers in enumerate(candidates)}
        scores = [self._score(self.tasks[t], named, f"generation {generation}") for t in chosen]
        own = [statistics.fmean(score[name] for score in scores) for name in named]
        return [
            cost + STAY * float((numbers - START) @ (numbers - START)) for cost, numbers in zip(own, candidates, strict=True)
        ]

    def _weights(self) -> Numbers:
        """Of the tasks, in a draw."""
        weights = np.array([known.task.steps**-0.5 for known in self.tasks])
        return weights / weights.sum()

    def _score(self, known: Known, numbers: Mapping[str, Numbers], what: str, repeats: int = 1) -> dict[str, float]:
        """Of every candidate on one task: one seed and as many wrong peaks, the same for all."""
        task, steps = known.task, known.task.steps
        rng = np.random.default_rng(derive_seed(0, self.name, task.name, steps, what))
        rates = known.peak * 10 ** (HIGH + WRONG * rng.standard_normal(repeats))
        arms: dict[str, tuple[Policy, float]] = {"linear": (linear(steps), known.peak)}
        for name, own in numbers.items():
            policy = PsiNetwork(tuple(map(float, own))).over(steps)
            arms |= {f"{name} {k}": (policy, float(lr)) for k, lr in enumerate(rates)}
        losses = self.bench.once(task, arms, 1, f"{self.name} {what}")
        if len(losses) < len(arms):
            raise TimeOver
        logs = {arm: log_ratio(own[0], losses["linear"][0], MOST_WON) for arm, own in losses.items()}
        unit = known.width + FLOOR
        return {name: statistics.fmean(logs[f"{name} {k}"] for k in range(repeats)) / unit for name in numbers}
