"""`train_psi`: the network of the ideal rate, trained by evolution on small tasks, judged on groups it has not seen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from etastar import arguments
from etastar.core.deadline import TimeOver
from etastar.core.estimate import Estimate, Status
from etastar.errors import ProblemError, attributed
from etastar.policies.psi_network import LOOKS, PsiNetwork
from etastar.problems.small.family import OPTIMIZERS
from etastar.verbs.answer import Answer
from etastar.verbs.options import Options
from etastar.verbs.psi.evolution import Known
from etastar.verbs.psi.folds import ALL, FOLDS, EvolutionLook, Evolutions, KeptEvolutions, others_than, parts_of
from etastar.verbs.psi.judging import RIGHT, TWICE, AtPeak, driven, judged, known_task, planned
from etastar.verbs.psi.measured import SmallBench, announce, small_tasks
from etastar.verbs.workplace import Workplace


@dataclass(frozen=True, kw_only=True)
class PsiNetworkAnswer(Answer):
    """A trained network.

    Args:
        numbers: trained on all groups; () where time was over before.
        folds: groups -> the numbers trained without them.
        judged: on groups that the numbers have not seen.
        looks: of every evolution.
        weights: the file they are in.
    """

    command = "psi-train"
    TOLD: ClassVar = ("steps", "ratio", "harm", "better", "numbers", "folds", "judged", "looks", "weights")

    numbers: tuple[float, ...]
    folds: dict[str, tuple[float, ...]]
    judged: tuple[AtPeak, ...]
    looks: tuple[EvolutionLook, ...] = field(repr=False)
    weights: Path | None

    @property
    def steps(self) -> int:
        """The horizon of the verdict: the one in the middle."""
        horizons = sorted({j.steps for j in self.judged}) or [0]
        return horizons[len(horizons) // 2]

    @property
    def ratio(self) -> Estimate:
        """To linear decay at the same peak, twice the tuned one: what the network is for."""
        return self._of(TWICE, "linear")

    @property
    def harm(self) -> Estimate:
        """To linear decay at its tuned peak, where nothing is to be mended."""
        return self._of(RIGHT, "linear")

    @property
    def better(self) -> bool:
        """Whether the numbers beat the shipped ones at twice the peak, on groups they have not seen, beyond doubt."""
        at_twice = self._of(TWICE, "shipped")
        return at_twice.ok and (at_twice.high or 1.0) < 1

    @property
    def policy(self) -> PsiNetwork:
        """It, as a policy; the shipped one where no numbers were found."""
        return PsiNetwork(self.numbers)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        ratio = self.ratio
        if not ratio.ok:
            return f"no answer ({ratio.status.value}): {ratio.reason}"
        words = ", ".join(
            f"{j.ratio.value:.3f} [{j.ratio.low:.3f}, {j.ratio.high:.3f}] at {j.peak}"
            for j in self.judged
            if (j.arm, j.against, j.steps) == ("network", "linear", self.steps)
        )
        held = "better than the shipped numbers" if self.better else "not better than the shipped numbers"
        return f"{held}; final loss / linear decay's at the same peak over {self.steps} steps, by the peak: {words}"

    def _of(self, peak: str, against: str) -> Estimate:
        wanted = (self.steps, peak, "network", against)
        own = [j.ratio for j in self.judged if (j.steps, j.peak, j.arm, j.against) == wanted]
        reason = "time was over before the network was driven; the same command goes on"
        return own[0] if own else Estimate.none(Status.TOO_FEW_POINTS, reason)


@attributed
def train_psi(
    families: Sequence[str] | None = None,
    *,
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    horizons: Sequence[int] = (50, 200, 800),
    generations: int = 15,
    fresh: int = 4,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
    on_look: Callable[[EvolutionLook], None] | None = None,
    options: Options | None = None,
) -> PsiNetworkAnswer:
    """Evolve the network on final losses of small tasks: without each part of the groups, to be judged there, and on all.

    Args:
        families: names of `etastar.problems.small.FAMILIES`; None: all.
        optimizers: of `sgd` (with momentum) and `adam`.
        horizons: steps of the trainings that are learnt from and driven, each with peaks of its own.
        generations: of every evolution.
        fresh: seeds on which it is judged.
        seed: of the measurement.
        weights: file for the numbers, and for how far each evolution went: a stopped training goes on from there.
        on_look: called with every look.
        options: store, workers, limits.

    Raises:
        ProblemError: an argument cannot be used, the tasks are of too few groups, or the file holds other things.
        StoreError: the store cannot be used.
        MissingExtra: cmaes is not installed.
    """
    began, options = time.monotonic(), options or Options()
    if not arguments.each_once("horizons", horizons, "numbers of steps, e.g. 200,800"):
        raise ProblemError("horizons is empty; expected numbers of steps, e.g. 200,800")
    for each in horizons:
        if arguments.HORIZON("horizons", each) < LOOKS:
            raise ProblemError(
                f"horizons holds {each}, and the network looks {LOOKS} times at a training; expected {LOOKS} steps or more"
            )
    tasks = {each: small_tasks(families, optimizers, each, groups=FOLDS) for each in horizons}
    arguments.SEEDS("fresh", fresh)
    arguments.GENERATIONS("generations", generations)
    arguments.SEED("seed", seed)
    kept, note = KeptEvolutions(weights), options.on_note or (lambda _: None)
    with Workplace(replace(options, on_plan=None, on_note=None)) as place:
        bench = SmallBench(place, seed, 4)
        looks: list[EvolutionLook] = []

        def told(look: EvolutionLook) -> None:
            looks.append(look)
            if on_look:
                on_look(look)

        evolutions = Evolutions(bench, generations, kept, told, note)
        every = [task for own in tasks.values() for task in own]
        plans = [planned(task, fresh) for task in every]
        announce(options, [*plans, evolutions.planned([Known(task, 1.0, 1.0) for task in every])])
        known: list[Known] = []
        for each, own in tasks.items():
            note(f"over {each:,} steps: tuning linear decay on {len(own)} tasks")
            known += [task for task in map(partial(known_task, bench), bench.in_time(own)) if task is not None]

        parts, folds, numbers, rows = parts_of(known), {}, (), ()
        if not place.late():
            try:
                folds = {name: evolutions.on(name, others_than(parts, name)) for name in parts}
                numbers = evolutions.on(ALL, known)
            except TimeOver:
                folds = {}
        if folds:
            kept.finish(numbers)
            note(f"driving {len(known)} tasks on {fresh} fresh seeds")
            rows = judged(driven(bench, parts, folds, fresh))
    return PsiNetworkAnswer(
        problem=f"{len({own.task.name for own in known})} small tasks",
        numbers=numbers,
        folds=folds,
        judged=rows,
        looks=tuple(looks),
        weights=kept.path,
        made=bench.made(began),
    )
