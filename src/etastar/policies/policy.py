"""`Policy`: what sets the learning rate while a lane trains, and what it may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True)
class Every:
    """A signal that is looked at every `steps` optimizer steps, at step 0 first: `Every("valid_loss", 50)`.

    >>> Every("valid_loss", 50)
    Every(signal='valid_loss', steps=50)
    """

    signal: str
    steps: int


@dataclass(frozen=True)
class Observation:
    """What a policy sees before the update of optimizer step `step` (0-based).

    Args:
        step: optimizer steps taken so far.
        signals: exactly what the policy `reads`: name -> float64 tensor, [] for one lane, [K] for K lanes. NaN before its
            first value, the last value between looks.
        cadences: the same by (name, steps between two looks), of all parts of a composition.

    >>> Observation(3, {"loss": 0.7})["loss"]
    0.7
    """

    step: int
    signals: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cadences: Mapping[tuple[str, int], Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @classmethod
    def of(cls, step: int, cadences: Mapping[tuple[str, int], Any]) -> Observation:
        """What an engine shows: the signals by name and cadence."""
        return cls(step, {name: value for (name, _), value in cadences.items()}, cadences)

    def shown_to(self, part: Policy) -> Observation:
        """What a part of the policy sees: where several parts read one signal, each at its own cadence."""
        if not self.cadences:
            return self
        keys = [(read.signal, read.steps) if isinstance(read, Every) else (read, 1) for read in part.reads]
        return self.of(self.step, {key: self.cadences[key] for key in keys})

    def __getitem__(self, name: str) -> Any:
        return self.signals[name]


@runtime_checkable
class Policy(Protocol):
    """Sets the learning rate, as two pure functions; works on one lane or on a vector of lanes alike.

    `reads` names the signals it sees (`etastar.policies.signals`), each a name or an `Every`; a schedule reads nothing and
    never makes a GPU wait. `init(lr)` returns the state for a lane whose rate is `lr`; `step(observation, state)` returns
    the rate to use now, or {group name: rate} before the groups' own multiples, and the next state. A policy holds no lane's
    rate itself, so one policy serves every lane. It must be hashable and its `repr` must name all its settings: the store's
    keys are made from it.

    Engines pass rates and signals as float64 tensors, [] for one lane and [K] for K, so decide with `torch.where`, not with
    `if`. A state is tensors of that shape and plain numbers, alone or in tuples, lists and dicts: lanes that are decided
    are dropped from its vectors.

    A policy that depends on a horizon has a method `over(steps)`, the same shape over another number of steps. One that
    reads nothing may have `rate(t, lr)`, its rate at step t for a lane of rate `lr`.
    """

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Signals it sees; empty for a schedule."""
        ...

    def init(self, lr: Any) -> Any:
        """The state of a lane that starts with rate `lr` (scalar or vector)."""
        ...

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate for this optimizer step, and the next state."""
        ...


def rates_over(policy: Policy, lr: Any, steps: int) -> Iterator[Any]:
    """The rates of a policy that reads nothing, at steps 0 .. steps - 1 of a lane of rate `lr`.

    >>> list(rates_over(Constant(), 0.1, 2))
    [0.1, 0.1]
    """
    state = policy.init(lr)
    for t in range(steps):
        rate, state = policy.step(Observation(t), state)
        yield rate


def is_steady(policy: Policy) -> bool:
    """Whether a policy's own class says that its rate never changes (`steady`), so that it need not be asked again."""
    return bool(vars(type(policy)).get("steady", False))


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    >>> policy = Constant()
    >>> policy.step(Observation(step=7), policy.init(0.1))
    (0.1, 0.1)
    """

    steady: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Nothing."""
        return ()

    def rate(self, t: int, lr: Any) -> Any:
        """The lane's rate."""
        return lr

    def init(self, lr: Any) -> Any:
        """The rate itself is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The lane's rate, unchanged."""
        return state, state

    def over(self, steps: int) -> Constant:
        """Itself: it is the same over any horizon."""
        return self
