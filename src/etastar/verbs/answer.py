"""`Answer`: what every verb returns, in one envelope: a problem, what was found, and `Made`, how it was."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch

from etastar.core.applied import apply_rate, refuse_other_kind
from etastar.core.codes import checked_verdict
from etastar.core.estimate import Estimate
from etastar.core.flags import checked_flags
from etastar.core.groups import Group
from etastar.core.lane import Runs
from etastar.core.told import told
from etastar.engine.choice import Choice
from etastar.verbs.envelope import head_of
from etastar.version import __version__


class Raised(NamedTuple):
    """Lanes in which the user's code raised: how many, at which rates, and what the first of them said."""

    lanes: int
    lr_low: float
    lr_high: float
    first: str


@dataclass(frozen=True)
class Made:
    """How an answer was made.

    Args:
        seed: of the measurement.
        optimizer: its class; "" if it is not known.
        cost: gradient_steps, new_gradient_steps, validation_steps (three forward passes count as one), look_steps (what
            policies saw of curvature), full_runs (of all), seconds, before_seconds (of them before any lane), wall_runs
            (seconds over those of a run on one core); without lanes seconds alone. Further ones by verb.
        flags: keys of `etastar.FLAGS`, each once.
        runs: every lane's outcome.
        let_go: lanes that are not among them: tens of thousands, of which nothing but the result was kept.
        engine: what trained them; "" without lanes. engine_choice: why, where one engine trained them all.
        environment: where.

    Raises:
        ValueError: an unknown flag.
    """

    TOLD: ClassVar = (
        "optimizer", "cost", "flags", "lanes", "raised", "engine", "engine_choice", "seed", "environment"
    )  # fmt: skip

    seed: int
    optimizer: str
    cost: dict[str, float]
    flags: tuple[str, ...] = ()
    runs: Runs = field(default_factory=Runs, repr=False)
    let_go: int = 0
    engine: str = ""
    engine_choice: Choice | None = None
    environment: dict[str, Any] = field(default_factory=lambda: environment())

    def __post_init__(self) -> None:
        checked_flags(self.flags)

    @property
    def lanes(self) -> int:
        """How many there were."""
        return len(self.runs) + self.let_go

    @property
    def raised(self) -> Raised | None:
        """The lanes that ended because the user's code raised; None if none did."""
        if not (raised := self.runs.raised):
            return None
        rates = [o.lane.lr for o in raised]
        return Raised(len(raised), min(rates), max(rates), raised[0].error or "")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a verb returns. Subclasses list in `TOLD` what JSON holds of them, and say their `summary` in one line.

    Three words mean the same in every answer: `lr`, an `Estimate` of the rate asked for; `best`, the best of what was tried,
    or None; `yours`, the rate in use judged (`Yours`), or None where it is not known.

    Args:
        problem: its name.
        made: how it was made; `answer.cost` is `answer.made.cost`, and so on.
    """

    command: ClassVar[str]
    TOLD: ClassVar[tuple[str, ...]]

    problem: str
    made: Made

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        raise NotImplementedError

    @property
    def cost(self) -> dict[str, float]:
        """What it took."""
        return self.made.cost

    @property
    def flags(self) -> tuple[str, ...]:
        """Keys of `etastar.FLAGS`."""
        return self.made.flags

    @property
    def runs(self) -> Runs:
        """Every lane's outcome."""
        return self.made.runs

    @property
    def engine(self) -> str:
        """What trained the lanes."""
        return self.made.engine

    @property
    def engine_choice(self) -> Choice | None:
        """How the engine was chosen."""
        return self.made.engine_choice

    @property
    def optimizer(self) -> str:
        """Its class; "" if it is not known."""
        return self.made.optimizer

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.made.cost["seconds"]

    @property
    def seed(self) -> int:
        """Of the measurement."""
        return self.made.seed

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was measured."""
        return self.made.environment

    def to_json(self) -> dict[str, Any]:
        """The JSON contract; its schema is cli/COMMAND.schema.json."""
        own = {"problem": self.problem, "summary": self.summary}
        return head_of(self.command) | own | told(self) | told(self.made)


class HasRate(Protocol):
    """What says a rate."""

    @property
    def lr(self) -> Estimate:
        """The rate asked for."""
        ...

    @property
    def optimizer(self) -> str:
        """The class it was measured with; "" if it is not known."""
        ...


class GivesRate:
    """An answer whose rate can be given to an optimizer."""

    def apply(self: HasRate, optimizer: torch.optim.Optimizer, *schedulers: Any) -> float:
        """Make the answer's rate that of `optimizer`, which is already made; see `core.applied.apply_rate`.

        Args:
            schedulers: those on the optimizer.

        Returns:
            The rate.

        Raises:
            NoAnswer: the answer carries none.
            ProblemError: it cannot be applied.
        """
        lr = self.lr.require()
        refuse_other_kind(optimizer, self.optimizer)
        apply_rate(lr, optimizer, *schedulers)
        return lr


@dataclass(frozen=True)
class Yours:
    """The rate in use today, judged.

    Args:
        lr: the rate.
        verdict: a word of `core.codes`; which there are, the verb says.
        sentence: the verdict in words.
        of_best: its ratio to the answer's rate; of_eta_star: to eta*; None where that is not known.
    """

    lr: float
    verdict: str
    sentence: str
    of_best: float | None = None
    of_eta_star: float | None = None

    def __post_init__(self) -> None:
        checked_verdict(self.verdict)


class GroupRate(NamedTuple):
    """The rate of one parameter group."""

    group: str
    lr: float


def per_group(groups: Iterable[Group], lr: Estimate | float | None) -> tuple[GroupRate, ...]:
    """The rates of the groups where the optimizer's is `lr`; none without one."""
    value = lr.value if isinstance(lr, Estimate) else lr
    return () if value is None else tuple(GroupRate(g.name, value * g.multiplier) for g in groups)


def once(*flags: Iterable[str]) -> tuple[str, ...]:
    """All of them in their order, each once."""
    return tuple(dict.fromkeys(flag for some in flags for flag in some))


def environment() -> dict[str, Any]:
    """Where a measurement is made."""
    return {
        "etastar": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
