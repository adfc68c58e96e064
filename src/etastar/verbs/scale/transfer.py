"""The same networks in the standard parametrisation and in muP: does the rate measured small hold when they grow wider?"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from etastar.core.estimate import Estimate, Status, log_error
from etastar.core.groups import default_lr
from etastar.core.kept import undisturbed
from etastar.core.lane import Criterion, Lane
from etastar.core.optimizers import alone, made_from
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.engine.loop import LoopEngine
from etastar.errors import ProblemError
from etastar.laws.scaling.power_law import PowerLaw
from etastar.probes.monitors.move_monitor import MoveMonitor
from etastar.theory.mup import mup_init_, mup_rules

STANDARD, MUP = "standard", "muP"
PARAMETRISATIONS = (STANDARD, MUP)
OF_ETA_STAR = 0.25
"""The coordinate check trains at this share of the narrowest network's eta*, well inside the band."""
STEPS = 3


@dataclass(frozen=True)
class MupModel:
    """A model factory: `make`'s networks with muP's initialisation relative to `base`."""

    make: Callable[[], nn.Module]
    base: nn.Module

    def __call__(self) -> nn.Module:
        """A fresh network."""
        return mup_init_(self.make(), self.base)


@dataclass(frozen=True)
class MupOptimizer:
    """An optimizer factory: `factory`'s groups cut by muP's rates relative to `base` (SGD and Adam, table 3)."""

    factory: Callable[[nn.Module], torch.optim.Optimizer]
    base: nn.Module

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer for `model`."""
        plain = alone(self.factory(model))
        rules = mup_rules(model, self.base, optimizer=plain)
        factor = {id(p): rules[name].lr for name, p in model.named_parameters()}
        groups: list[dict[str, Any]] = []
        for index, group in enumerate(plain.param_groups):
            parts: dict[float, list[torch.Tensor]] = {}
            for p in group["params"]:
                parts.setdefault(factor[id(p)], []).append(p)
            name = group.get("name", f"group_{index}")
            settings = {key: value for key, value in group.items() if key not in ("params", "lr", "name")}
            groups += [
                {**settings, "params": some, "lr": float(group["lr"]) * by, "name": f"{name} x{by:g}"}
                for by, some in parts.items()
            ]
        made: Any = type(plain)
        takes = inspect.signature(made).parameters  # AdamW's defaults hold what its constructor does not take
        return made(groups, **{key: value for key, value in plain.defaults.items() if key in takes})


def in_mup(problem: Problem, base: Problem) -> Problem:
    """`problem` in muP relative to `base`, the same family at the width that was tuned: there both are the same.

    Raises:
        ProblemError: a training loop of one's own, other shapes than a wider `base`, or an optimizer muP's tables lack.
    """
    if problem.is_loop or base.is_loop:
        raise ProblemError("a training loop of your own cannot be put into muP; make a Problem of model, optimizer and data")
    with undisturbed(problem):
        seed_everything(0)  # the weights do not matter, but are part of the problem's fingerprint
        smaller = base.parts.model()
    parts = problem.parts
    return problem.but(model=MupModel(parts.model, smaller), optimizer=MupOptimizer(parts.optimizer, smaller))


def check_transfer(problems: Sequence[tuple[float, Problem]]) -> None:
    """Raise `ProblemError` before anything is trained where `compare` would."""
    if len(problems) < 2:
        raise ProblemError(f"got {len(problems)} widths; expected at least 2 to compare parametrisations: add to --width")
    base, *_, widest = (problem for _, problem in sorted(problems, key=lambda pair: pair[0]))
    own = in_mup(widest, base)
    with undisturbed(own):
        own.parts.optimizer(own.parts.model())


@dataclass(frozen=True)
class LayerMove:
    """What a `MoveMonitor` reads of one layer after some steps."""

    layer: str
    size: float
    moved: float
    by_weights: float
    by_inputs: float


def layer_moves(problem: Problem, lr: float, *, seed: int = 0, device: str = "cpu") -> tuple[LayerMove, ...]:
    """What `STEPS` steps at rate `lr` do to the output of every layer on the first batch; nothing where they fail."""
    monitor, never = MoveMonitor(every=STEPS), Criterion(loss=-math.inf)
    lane = Lane(lr, derive_seed(seed, "coordinates"), STEPS, never, monitors=(monitor,))
    found: dict[str, dict[str, float]] = {}
    for reading in LoopEngine(device).train_lane(problem, lane).read_by(monitor):
        if reading.step == STEPS:
            found.setdefault(reading.block, {})[reading.name] = reading.value
    return tuple(LayerMove(block, **own) for block, own in found.items())


@dataclass(frozen=True)
class TransferPoint:
    """The rate measured at one width in one parametrisation, and what a few steps at the common rate do to each layer."""

    parametrisation: str
    width: float
    lr: Estimate
    moves: tuple[LayerMove, ...]


@dataclass(frozen=True)
class Transfer:
    """Both parametrisations over widths.

    Args:
        depth: the other size, the same for all; None if there is none.
        quantity: "eta*" or "best rate".
        points: by parametrisation, then width.
        check_lr, check_steps: of the coordinate check.
        exponents: parametrisation -> exponent of the width.
    """

    TOLD: ClassVar = ("depth", "quantity", "summary", "drifts", "exponents", "check_lr", "check_steps", "points")

    depth: float | None
    quantity: str
    points: tuple[TransferPoint, ...]
    check_lr: float
    check_steps: int
    exponents: dict[str, Estimate]

    def drift(self, parametrisation: str) -> float | None:
        """Largest over smallest rate over the widths; 1 is perfect transfer. None where a rate is missing."""
        rates = [p.lr.value for p in self.points if p.parametrisation == parametrisation]
        known = [r for r in rates if r is not None]
        return max(known) / min(known) if len(known) == len(rates) > 1 else None

    @property
    def drifts(self) -> dict[str, float | None]:
        """parametrisation -> its drift."""
        return {name: self.drift(name) for name in PARAMETRISATIONS}

    @property
    def summary(self) -> str:
        """What transferred, in one line."""
        parts = []
        for name in PARAMETRISATIONS:
            if (drift := self.drift(name)) is not None:
                widths = [p.width for p in self.points if p.parametrisation == name]
                parts.append(
                    f"{name}: {self.quantity} changes by x{drift:.2g} from width {min(widths):g} to {max(widths):g}"
                )
        return "; ".join(parts) or "no parametrisation has an answer at every width"


def compare(
    problems: Sequence[tuple[float, Problem]],
    measure: Callable[[Problem], Estimate],
    *,
    quantity: str,
    depth: float | None,
    seed: int = 0,
    device: str = "cpu",
) -> Transfer:
    """Measure every width in both parametrisations; the narrowest is muP's base.

    Args:
        problems: (width, problem in the standard parametrisation), at least two widths.
        measure: eta* or the best rate of a problem.
        quantity, depth: what answers say.
        seed, device: of the coordinate check.

    Raises:
        ProblemError: fewer than two widths, or a family muP has no table for.
    """
    check_transfer(problems)
    problems = sorted(problems, key=lambda pair: pair[0])
    base, found = problems[0][1], []
    for name in PARAMETRISATIONS:
        for width, problem in problems:
            own = problem if name == STANDARD else in_mup(problem, base)
            found.append((name, width, own, measure(own)))
    known = found[0][3]
    lr = OF_ETA_STAR * known.value if known.value else _in_use(base)
    points = [
        TransferPoint(name, width, estimate, layer_moves(own, lr, seed=seed, device=device))
        for name, width, own, estimate in found
    ]
    exponents = {name: _exponent([p for p in points if p.parametrisation == name]) for name in PARAMETRISATIONS}
    return Transfer(depth, quantity, tuple(points), lr, STEPS, exponents)


def _in_use(problem: Problem) -> float:
    parts = problem.parts
    with undisturbed(problem):
        return default_lr(made_from(parts.optimizer(parts.model())).optimizer)


def _exponent(points: Sequence[TransferPoint]) -> Estimate:
    known = [(p.width, p.lr) for p in points if p.lr.ok]
    if len(known) < 3:
        return Estimate.none(Status.TOO_FEW_POINTS, f"{len(known)} widths; expected at least 3", unit="exponent of width")
    errors = [log_error(e.low, e.high) for _, e in known]
    widths = [w for w, _ in known]
    return PowerLaw.fit({"width": widths}, [e.require() for _, e in known], errors=errors).exponent("width")
