"""Policies made of policies: one after the other, times a factor, within limits, one per parameter group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch

from etastar.errors import ProblemError
from etastar.policies.policy import Constant, Every, Observation, Policy

STARTS = ("lane", "current")
OTHERS = "*"
"""The key, among rates by group, of every group that is not named."""


def joined(*policies: Policy) -> tuple[str | Every, ...]:
    """What several policies read, each signal once."""
    return tuple(dict.fromkeys(signal for policy in policies for signal in policy.reads))


def squeezed(policy: Policy, steps: int) -> Policy:
    """`policy` over `steps` steps where it has a horizon (`over`); else the policy itself."""
    over = getattr(policy, "over", None)
    return over(steps) if over else policy


def has_horizon(policy: Policy) -> bool:
    """Whether `squeezed` gives the whole of `policy`'s shape: it says so with `over`."""
    return hasattr(policy, "over") and all(map(has_horizon, parts_of(policy)))


def parts_of(policy: Policy) -> tuple[Policy, ...]:
    """The policies that `policy` is made of."""
    return tuple(getattr(policy, "parts", ()))


def groups_named(policy: Policy) -> tuple[str, ...]:
    """Parameter groups (or prefixes of parameters' names) to which `policy` gives rates of their own.

    >>> from etastar.policies.policy import Constant
    >>> groups_named(Then(PerGroup({"head": Constant()}), 10, Constant()))
    ('head',)
    """
    own = (name for name, _ in getattr(policy, "groups", ()))
    inner = (name for part in parts_of(policy) for name in groups_named(part))
    return tuple(dict.fromkeys((*own, *inner)))


@dataclass(frozen=True)
class Then:
    """`first` until step `at`, then `rest`, which sees step - at and its own share of the horizon.

        rate(t) = first(t)        t < s
                  rest(t - s)     t >= s         s = at, or round(at x steps) for a share

    Args:
        first, rest: policies.
        at: in (0, 1): a share of the steps, squeezed with them; an integer >= 1: a step.
        start: what `rest` takes for its lane's rate: "lane", the lane's own, or "current", the rate in use at the change.
        steps: the horizon; None until `Problem` or `over` sets it.

    Raises:
        ProblemError: `at` is neither, lies beyond the horizon, or `start` is unknown.

    >>> from etastar.policies.policy import Constant, rates_over
    >>> from etastar.policies.schedule import Schedule
    >>> policy = Then(Constant(), 0.5, Schedule(decay=1.0, curve="linear")).over(4)
    >>> list(rates_over(policy, 1.0, 4))
    [1.0, 1.0, 1.0, 0.5]
    """

    first: Policy
    at: float | int
    rest: Policy
    start: str = "lane"
    steps: int | None = None

    def __post_init__(self) -> None:
        at = self.at
        share = isinstance(at, float) and 0 < at < 1
        if not (share or (isinstance(at, int) and not isinstance(at, bool) and at >= 1)):
            raise ProblemError(f"Then changes at {at!r}; expected a share in (0, 1), e.g. 0.75, or a step >= 1")
        if self.start not in STARTS:
            raise ProblemError(f"Then starts its rest from {self.start!r}; expected one of {', '.join(STARTS)}")
        if self.steps is not None and not 0 < self._change < self.steps:
            raise ProblemError(
                f"Then changes at step {self._change} of {self.steps}; expected a step in between: take a smaller one"
            )

    @property
    def parts(self) -> tuple[Policy, ...]:
        """Both."""
        return self.first, self.rest

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """What either reads."""
        return joined(self.first, self.rest)

    @property
    def _change(self) -> int:
        if isinstance(self.at, int):
            return self.at
        if self.steps is None:
            raise ProblemError("this policy has no horizon yet; call policy.over(steps) first")
        return round(self.at * self.steps)

    def over(self, steps: int) -> Then:
        """The same over `steps` steps: a share moves with them, a step stays."""
        change = self.at if isinstance(self.at, int) else round(self.at * steps)
        first, rest = squeezed(self.first, min(change, steps)), squeezed(self.rest, max(steps - change, 1))
        return replace(self, first=first, rest=rest, steps=steps)

    def trunk(self) -> tuple[Policy, int] | None:
        """`first`, until the change; None without a horizon."""
        return (self.first, self._change) if self.steps is not None or isinstance(self.at, int) else None

    def grafted(self, own: Any, lr: Any, rate: Any) -> Any:
        """Its state where `first`, in state `own`, has given the rate so far."""
        return {"lr": lr, "rate": lr if rate is None else rate, "own": own}

    def init(self, lr: Any) -> Any:
        """The lane's rate, the rate in use, and the state of the policy in charge."""
        return self.grafted(self.first.init(lr), lr, None)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate of the policy in charge."""
        change, own = self._change, state["own"]
        if observation.step < change:
            rate, own = self.first.step(observation.shown_to(self.first), own)
        else:
            if observation.step == change:
                own = self.rest.init(state["lr"] if self.start == "lane" else self._one(state["rate"]))
            seen = replace(observation.shown_to(self.rest), step=observation.step - change)
            rate, own = self.rest.step(seen, own)
        return rate, {"lr": state["lr"], "rate": rate, "own": own}

    def _one(self, rate: Any) -> Any:
        if isinstance(rate, Mapping):
            raise ProblemError("Then cannot start its rest from the current rate where groups have rates of their own")
        return rate


def rate_of(rates: Mapping[str, Any], label: str) -> Any:
    """The rate of the group `label` among rates by name: that of the longest name it has or begins with, else of the others.

    >>> rates = {"body": 0.1, "body.0": 0.2, "*": 1.0}
    >>> [rate_of(rates, label) for label in ("body", "body.0", "body.0.bias", "body.1", "head")]
    [0.1, 0.2, 0.2, 0.1, 1.0]
    """
    names = [name for name in rates if label == name or label.startswith(name.rstrip(".") + ".")]
    return rates[max(names, key=len, default=OTHERS)]


def each(fn: Callable[[Any], Any], rate: Any) -> Any:
    """`fn` of a rate, or of every group's."""
    return {name: fn(own) for name, own in rate.items()} if isinstance(rate, Mapping) else fn(rate)


@dataclass(frozen=True)
class Around:
    """What policies around one other have in common."""

    policy: Policy

    @property
    def parts(self) -> tuple[Policy, ...]:
        """The one policy."""
        return (self.policy,)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """What `policy` reads."""
        return self.policy.reads

    def over(self, steps: int) -> Self:
        """The same over another horizon."""
        return replace(self, policy=squeezed(self.policy, steps))


@dataclass(frozen=True)
class Seeing(Around):
    """`policy`, with signals that it does not read itself: those who go on from its lane will."""

    extra: tuple[str | Every, ...]

    @property
    def bare(self) -> Policy:
        """`policy` alone: the rates and states are its own."""
        return self.policy

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """What `policy` reads, and `extra`."""
        return tuple(dict.fromkeys((*self.policy.reads, *self.extra)))

    def init(self, lr: Any) -> Any:
        """The state of `policy`."""
        return self.policy.init(lr)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """Its rate."""
        return self.policy.step(observation.shown_to(self.policy), state)


@dataclass(frozen=True)
class Times(Around):
    """`factor` x the rate of `policy`.

    >>> from etastar.policies.policy import Constant, Observation
    >>> half = Times(Constant(), 0.5)
    >>> half.step(Observation(0), half.init(0.2))[0]
    0.1
    """

    factor: float

    def __post_init__(self) -> None:
        if not (isinstance(self.factor, (int, float)) and 0 <= self.factor < float("inf")):
            raise ProblemError(f"Times multiplies by {self.factor!r}; expected a finite number >= 0")

    def init(self, lr: Any) -> Any:
        """The state of `policy`."""
        return self.policy.init(lr)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """factor x its rate."""
        rate, state = self.policy.step(observation, state)
        return each(lambda own: own * self.factor, rate), state


@dataclass(frozen=True)
class Clipped(Around):
    """The rate of `policy`, kept within [low, high] x the lane's rate.

    >>> from etastar.policies.policy import Observation
    >>> from etastar.policies.schedule import Schedule
    >>> policy = Clipped(Schedule(decay=1.0).over(4), low=0.5)
    >>> [policy.step(Observation(t), policy.init(1.0))[0] for t in range(4)]
    [1.0, 0.75, 0.5, 0.5]
    """

    low: float = 0.0
    high: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ProblemError(f"Clipped keeps rates within [{self.low}, {self.high}]; expected 0 <= low <= high")

    def init(self, lr: Any) -> Any:
        """The lane's rate beside the state of `policy`."""
        return lr, self.policy.init(lr)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """Its rate, or the limit it would cross."""
        lr, own = state
        rate, own = self.policy.step(observation, own)
        return each(lambda r: _within(r, lr * self.low, lr * self.high), rate), (lr, own)


def _within(rate: Any, low: Any, high: Any) -> Any:
    if isinstance(rate, torch.Tensor) or isinstance(low, torch.Tensor):
        bound = lambda x: torch.as_tensor(x, dtype=torch.float64)
        return torch.minimum(torch.maximum(bound(rate), bound(low)), bound(high))
    return min(max(rate, low), high)


@dataclass(frozen=True, init=False)
class PerGroup:
    """A policy for each named parameter group, `rest` for all others; 0 freezes a group.

    Args:
        groups: name -> policy. A name is that of one of the optimizer's groups, or a prefix of parameters' names ("layer4",
            "head."), by which groups are split when the optimizer is made.
        rest: for the other groups.

    >>> from etastar.policies.policy import Constant, Observation
    >>> policy = PerGroup({"head": Constant(), "body": Times(Constant(), 0.1)})
    >>> policy.step(Observation(0), policy.init(1.0))[0]
    {'body': 0.1, 'head': 1.0, '*': 1.0}
    """

    groups: tuple[tuple[str, Policy], ...]
    rest: Policy = field(default_factory=Constant)

    def __init__(self, groups: Mapping[str, Policy] | Iterable[tuple[str, Policy]], rest: Policy | None = None) -> None:
        pairs = groups.items() if isinstance(groups, Mapping) else groups
        object.__setattr__(self, "groups", tuple(sorted(pairs, key=lambda pair: pair[0])))
        object.__setattr__(self, "rest", rest or Constant())
        if not self.groups or any(not isinstance(name, str) or not name or name == OTHERS for name, _ in self.groups):
            raise ProblemError(f"PerGroup names the groups {[name for name, _ in self.groups]}; expected at least one name")
        if any(groups_named(policy) for policy in self.parts):
            raise ProblemError("PerGroup holds another PerGroup; expected one of them, with all the names")

    @property
    def parts(self) -> tuple[Policy, ...]:
        """Those of the groups, in the order of their names, and the rest's."""
        return (*(policy for _, policy in self.groups), self.rest)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """What any of them reads."""
        return joined(*self.parts)

    def over(self, steps: int) -> PerGroup:
        """The same over another horizon."""
        return PerGroup(((name, squeezed(policy, steps)) for name, policy in self.groups), squeezed(self.rest, steps))

    def init(self, lr: Any) -> Any:
        """A state each."""
        return tuple(policy.init(lr) for policy in self.parts)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """Name -> rate; "*" is that of all other groups."""
        stepped = [policy.step(observation.shown_to(policy), own) for policy, own in zip(self.parts, state, strict=True)]
        names = (*(name for name, _ in self.groups), OTHERS)
        return dict(zip(names, (rate for rate, _ in stepped), strict=True)), tuple(own for _, own in stepped)
