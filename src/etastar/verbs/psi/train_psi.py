"""`train_psi`: the network of the ideal rate, trained by evolution on small tasks, judged on groups it has not seen."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.errors import attributed
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Policy
from etastar.policies.psi import Psi
from etastar.policies.psi_network import PsiNetwork
from etastar.problems.small.family import OPTIMIZERS, Task
from etastar.verbs.answer import Answer
from etastar.verbs.options import Options
from etastar.verbs.psi.evolution import Evolution, Known
from etastar.verbs.psi.measured import SmallBench, linear, small_tasks
from etastar.verbs.workplace import Workplace

FOLDS = 3
"""Parts of the groups; each is driven by a network that was trained without it."""
WIDE = 4.0
"""A peak wrong by this factor, either way, measures a task's width."""
WRONG_PEAKS = (0.5, 1.0, 2.0, 4.0)
"""Of the tuned peak of linear decay, at which the network is judged."""
REFERENCES = ("linear", "tuned", "closed form")
"""Linear decay at the same peak, at its tuned peak, and the closed form at the same peak."""
Splits = dict[str, list[Known]]


class AtPeak(NamedTuple):
    """Final losses under the network at a multiple of the tuned peak, over `steps`, against a reference."""

    steps: int
    multiple: float
    against: str
    ratio: Estimate
    median: float
    won: int
    tied: int
    lost: int


class EvolutionLook(NamedTuple):
    """What is minimised, at a generation of a fold, on the tasks that stop it."""

    fold: str
    generation: int
    held_out: float


@dataclass(frozen=True, kw_only=True)
class PsiNetworkAnswer(Answer):
    """A trained network.

    Args:
        numbers: trained on all groups.
        folds: groups -> the numbers trained without them.
        judged: on groups that the numbers have not seen.
        looks: of every evolution.
    """

    command = "psi-train"
    TOLD: ClassVar = ("numbers", "folds", "judged", "looks")

    numbers: tuple[float, ...]
    folds: dict[str, tuple[float, ...]]
    judged: tuple[AtPeak, ...]
    looks: tuple[EvolutionLook, ...] = field(repr=False)

    @property
    def ratio(self) -> Estimate:
        """To linear decay at the same peak, twice the tuned one: what the network is for."""
        own = [j.ratio for j in self.judged if j.multiple == 2.0 and j.against == "linear"]
        return own[0] if own else Estimate.none(Status.TOO_FEW_POINTS, "the training ended before the network was judged")

    @property
    def policy(self) -> PsiNetwork:
        """It, as a policy."""
        return PsiNetwork(self.numbers)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        ratio = self.ratio
        if not ratio.ok:
            return f"no answer ({ratio.status.value}): {ratio.reason}"
        words = [
            f"{j.ratio.value:.3f} [{j.ratio.low:.3f}, {j.ratio.high:.3f}] at {j.multiple:g} x"
            for j in self.judged
            if j.against == "linear" and j.steps == self.judged[0].steps
        ]
        return f"final loss / linear decay's at the same peak, by the peak that linear wants: {', '.join(words)}"


@attributed
def train_psi(
    families: Sequence[str] | None = None,
    *,
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    steps: Sequence[int] = (200, 800),
    generations: int = 40,
    fresh: int = 6,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    on_look: Callable[[EvolutionLook], None] | None = None,
    options: Options | None = None,
) -> PsiNetworkAnswer:
    """Evolve the network on final losses of small tasks: without each part of the groups, to be judged there, and on all.

    Args:
        families: names of `etastar.problems.small.FAMILIES`; None: all.
        optimizers: of `sgd` (with momentum) and `adam`.
        steps: over which it is judged; the first is the horizon at which peaks are tuned.
        generations: of every evolution.
        fresh: seeds on which it is judged.
        seed: of the measurement.
        out: file for what each finished evolution gave; a stopped training goes on from there.
        on_look: called with every look.
        options: store, workers, limits.

    Raises:
        ProblemError: an argument cannot be used, or the tasks are of too few groups.
        StoreError: the store cannot be used.
        MissingExtra: cmaes is not installed.
    """
    began, options = time.monotonic(), options or Options()
    tasks = small_tasks(families, optimizers, steps[0], groups=FOLDS)
    arguments.SEEDS("fresh", fresh)
    done = _Finished(out)
    with Workplace(replace(options, on_plan=None, on_note=None)) as place:
        bench = SmallBench(place, arguments.SEED("seed", seed), 4)
        known = [own for task in tasks if (own := known_task(bench, task)) is not None]
        looks: list[EvolutionLook] = []

        def evolve(name: str, learn: Sequence[Known], stop: Sequence[Known]) -> tuple[float, ...]:
            def look(generation: int, held: float) -> None:
                looks.append(EvolutionLook(name, generation, held))
                if on_look:
                    on_look(looks[-1])

            run = lambda: Evolution(bench, learn, stop, generations, f"{name}/{seed}", look).run()
            return done.get(f"{name}/{generations}/{seed}", run)

        parts = _parts(known)
        folds = {name: evolve(name, *_learn_and_stop(parts, name)) for name in parts}
        numbers = evolve("all", known, known)
        judged = tuple(row for n in steps for row in judged_at_wrong_peaks(bench, parts, folds, n, fresh))
    return PsiNetworkAnswer(
        problem=f"{len(known)} small tasks",
        numbers=numbers,
        folds=folds,
        judged=judged,
        looks=tuple(looks),
        made=bench.made(began),
    )


class _Finished:
    """What finished evolutions gave, in a file."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        known = self._path is not None and self._path.exists()
        self._found: dict[str, list[float]] = json.loads(self._path.read_text()) if known and self._path else {}

    def get(self, name: str, run: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """What it gave, or gives now."""
        if name not in self._found:
            self._found[name] = list(run())
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(json.dumps(self._found, indent=1))
        return tuple(self._found[name])


def known_task(bench: SmallBench, task: Task) -> Known | None:
    """A task with the tuned peak of linear decay, and what a peak wrong by a factor of four costs; None without a peak."""
    peak = bench.peak(task).peak.value
    if peak is None:
        return None
    policy = linear(task.steps)
    arms: Mapping[str, tuple[Policy, float]] = {
        "own": (policy, peak), "low": (policy, peak / WIDE), "high": (policy, peak * WIDE)
    }  # fmt: skip
    losses = bench.once(task, arms, 2, "width")
    pairs = [(a, b) for wrong in ("low", "high") for a, b in zip(losses[wrong], losses["own"], strict=True)]
    return Known(task, peak, statistics.fmean(max(log_ratio(a, b), 0.0) for a, b in pairs))


def _parts(known: Sequence[Known]) -> Splits:
    """The groups in `FOLDS` parts of about equal size: each group, the largest first, to the smallest part."""
    groups: Splits = {}
    for own in known:
        groups.setdefault(own.task.group, []).append(own)
    parts: list[tuple[list[str], list[Known]]] = [([], []) for _ in range(FOLDS)]
    for name, tasks in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        names, own = min(parts, key=lambda part: len(part[1]))
        names.append(name)
        own += tasks
    return {"+".join(names): own for names, own in parts if own}


def _learn_and_stop(parts: Splits, name: str) -> tuple[list[Known], list[Known]]:
    """The tasks of the other parts, but one group, the smallest of them, by which the evolution is stopped."""
    others = [own for part, tasks in parts.items() if part != name for own in tasks]
    sizes: dict[str, int] = {}
    for own in others:
        sizes[own.task.group] = sizes.get(own.task.group, 0) + 1
    stop = min(sizes, key=lambda group: (sizes[group], group))
    return [o for o in others if o.task.group != stop], [o for o in others if o.task.group == stop]


def judged_at_wrong_peaks(
    bench: SmallBench, parts: Splits, folds: Mapping[str, tuple[float, ...]], steps: int, fresh: int
) -> list[AtPeak]:
    """Final losses on fresh seeds and the split kept for the end, at multiples of the peak, against each reference.

    Args:
        parts: the tasks.
        folds: part -> the numbers of the network that drives its tasks.
    """
    found = []
    for multiple in WRONG_PEAKS:
        losses: dict[str, tuple[Task, dict[str, Any]]] = {}
        for name, tasks in parts.items():
            for own in tasks:
                task, lr = own.over(steps), own.peak * multiple
                arms: dict[str, tuple[Policy, float]] = {
                    "network": (PsiNetwork(folds[name]).over(steps), lr),
                    "linear": (linear(steps), lr),
                    "tuned": (linear(steps), own.peak),
                    "closed form": (Psi().over(steps), lr),
                }
                losses[task.name] = (task, bench.fresh(task, arms, fresh))
        for against in REFERENCES:
            ratio = Ratio.of({n: (t.family.name, t.group, own["network"], own[against]) for n, (t, own) in losses.items()})
            found.append(AtPeak(steps, multiple, against, ratio.mean(), ratio.median, *ratio.record))
    return found
