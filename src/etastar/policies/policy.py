"""`Policy`: what sets the learning rate while a lane trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Observation:
    """What a policy may see before optimizer step `step` (0-based): the previous batch's loss, None before the first.

    The loss is a float64 tensor: [] for one lane, [K] for K lanes.
    """

    step: int
    loss: Any = None


@runtime_checkable
class Policy(Protocol):
    """Sets the learning rate, as two pure functions; works on one lane or on a vector of lanes alike.

    `init(lr)` returns the state for a lane whose rate is `lr`; `step(observation, state)` returns the rate to use now and
    the next state. A schedule reads only `observation.step`, a controller reads the loss. A policy holds no lane's rate
    itself, so one policy serves every lane. It must be hashable and its `repr` must name all its settings: the store's
    keys are made from it.

    Engines pass rates and losses as float64 tensors, [] for one lane and [K] for K, so decide with `torch.where`, not with
    `if`. A state is tensors of that shape and plain numbers, alone or in tuples, lists and dicts: lanes that are decided
    are dropped from its vectors.

    A policy that depends on a horizon has a method `over(steps)`, the same shape over another number of steps.
    """

    def init(self, lr: Any) -> Any:
        """The state of a lane that starts with rate `lr` (scalar or vector)."""
        ...

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate for this optimizer step, and the next state."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same rate at every step.

    >>> policy = Constant()
    >>> policy.step(Observation(step=7), policy.init(0.1))
    (0.1, 0.1)
    """

    def init(self, lr: Any) -> Any:
        """The rate itself is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The lane's rate, unchanged."""
        return state, state
