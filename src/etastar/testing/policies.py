"""What every policy must do; see `etastar.policies.policy.Policy`."""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from etastar.core.batch import map_tensors
from etastar.core.randomness import generator
from etastar.engine.signals import keys_of
from etastar.errors import ProblemError
from etastar.policies.compose import OTHERS
from etastar.policies.policy import Observation, Policy
from etastar.testing.expect import expect

LANES = 5
DIVERGES, FROM = 3, 0.6
"""A lane whose signals become NaN, and from which share of the steps: its neighbours must not notice."""
TAKEN = (4, 0, 0, 2)
"""Lanes that go on from the middle: reordered, one dropped, one forked, as engines do with those that are decided."""
ROUNDING = 1e-12
"""Relative difference of a lane among others from the lane by itself: vectorised functions round otherwise."""
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
NOT_AT_FIRST = ("grad_cosine", "update_norm", "descent", "curvature")
"""Signals that compare two steps: NaN at the first."""

Rates = dict[str, torch.Tensor]


def check_policy(policy: Policy, *, lr: float = 0.1, steps: int = 40) -> None:
    """Hold that `policy` keeps the contract of `Policy`.

    It is a value (equal copies have equal hashes, and a `repr` that names its settings and no address); it is pure and
    leaves states alone; its rates are finite, >= 0, and a lane's the same alone as among others, diverged ones included;
    its states hold tensors and plain numbers, can be reordered, forked, saved and loaded with `weights_only=True`; `rate`
    and `over`, where it has them, fit `step`.

    Args:
        lr: a rate it is meant for; lanes begin within a decade of it.
        steps: optimizer steps it is followed for.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> from etastar import Schedule
    >>> check_policy(Schedule().over(40))
    >>> class Grows:
    ...     reads = ()
    ...     def init(self, lr): return {"lr": lr}
    ...     def step(self, seen, state):
    ...         state["lr"] = state["lr"] * 1.1
    ...         return state["lr"], state
    ...     def __repr__(self): return "Grows()"
    ...     def __hash__(self): return 1
    ...     def __eq__(self, other): return type(self) is type(other)
    >>> check_policy(Grows())
    Traceback (most recent call last):
        ...
    AssertionError: Grows() changed the state it was given at step 0; expected a new one (the old one is a snapshot's)
    """
    _is_a_value(policy)
    lrs = lr * torch.logspace(-1, 1, LANES, dtype=torch.float64)
    seen = _observations(policy, steps)
    together = _follow(policy, policy.init(lrs), seen, lrs)
    for lane in range(LANES):
        own = [_of_lanes(observation, lane) for observation in seen]
        alone = _follow(policy, policy.init(lrs[lane]), own, lrs[lane])
        for t, (rates, among) in enumerate(zip(alone, together, strict=True)):
            same = all(_close(rate, among[name][lane]) for name, rate in rates.items())
            expect(same, f"{policy!r} gave a lane another rate among others than alone at step {t}; expected the same")
    _goes_on_from_a_saved_state(policy, lrs, seen, together)
    _says_what_it_will_do(policy, lr, steps)


def _is_a_value(policy: Policy) -> None:
    expect(isinstance(policy, Policy), f"{policy!r} is no policy; expected `reads`, init(lr) and step(observation, state)")
    try:
        keys_of(policy)
    except ProblemError as error:
        raise AssertionError(str(error)) from error
    twin = copy.deepcopy(policy)
    expect(twin == policy, f"a copy of {policy!r} is not equal to it; expected a frozen dataclass, or __eq__ and __hash__")
    try:
        expect(hash(twin) == hash(policy), f"a copy of {policy!r} has another hash; expected equal policies to share it")
    except TypeError as error:
        raise AssertionError(
            f"{policy!r} cannot be hashed ({error}); expected a frozen dataclass of hashable settings"
        ) from error
    named = repr(twin) == repr(policy) and not ADDRESS.search(repr(policy))
    expect(named, f"the repr {policy!r} names an address; expected its settings, from which the store's keys are made")


def _observations(policy: Policy, steps: int) -> list[Observation]:
    """Made-up signals of `LANES` lanes, as an engine would show them."""
    last: dict[tuple[str, int], torch.Tensor] = {}
    found = []
    for t in range(steps):
        for name, every in keys_of(policy):
            if t % every == 0:
                last[name, every] = _signal(name, t, steps)
        found.append(Observation(t, {name: last[name, every] for name, every in keys_of(policy)}))
    return found


def _signal(name: str, t: int, steps: int) -> torch.Tensor:
    noise = torch.randn(LANES, generator=generator("signal", name, t), dtype=torch.float64)
    if name == "grad_cosine":
        value = noise.tanh()
    elif name == "accuracy":
        value = noise.sigmoid()
    else:
        value = 2.0 * torch.exp(-2.0 * t / steps + 0.3 * noise)
    if t == 0 and name in NOT_AT_FIRST:
        value = torch.full_like(value, math.nan)
    if t >= FROM * steps:
        value[DIVERGES] = math.nan
    return value


def _of_lanes(seen: Observation, index: Any) -> Observation:
    return Observation(seen.step, {name: value[index] for name, value in seen.signals.items()})


def _follow(policy: Policy, state: Any, seen: Sequence[Observation], lrs: torch.Tensor) -> list[Rates]:
    """The rates at each of these observations; the policy must be pure all along."""
    found = []
    for observation in seen:
        t, before = observation.step, copy.deepcopy(state)
        out, after = policy.step(observation, state)
        expect(
            _same(state, before),
            f"{policy!r} changed the state it was given at step {t}; expected a new one (the old one is a snapshot's)",
        )
        rates, again = _rates(policy, out, lrs, t), _rates(policy, policy.step(observation, before)[0], lrs, t)
        same = all(_same(rates[name], again[name]) for name in rates)
        expect(same, f"{policy!r} gave two rates for the same observation and state at step {t}; expected it to be pure")
        alive = [torch.isfinite(value) for value in observation.signals.values()]
        sound = torch.stack(alive).all(0) if alive else torch.ones_like(lrs, dtype=torch.bool)
        for rate in rates.values():
            good = ~sound | (torch.isfinite(rate) & (rate >= 0))
            expect(bool(good.all()), f"{policy!r} gave the rates {rate.tolist()} at step {t}; expected finite numbers >= 0")
        found.append(rates)
        state = after
    return found


def _rates(policy: Policy, out: Any, lrs: torch.Tensor, t: int) -> Rates:
    """By group, each expanded to the lanes."""
    named = dict(out) if isinstance(out, Mapping) else {OTHERS: out}
    found = {name: torch.as_tensor(rate, dtype=torch.float64) for name, rate in named.items()}
    for rate in found.values():
        fits = rate.shape in (lrs.shape, torch.Size())
        expect(
            fits, f"{policy!r} gave rates of shape {tuple(rate.shape)} at step {t}; expected {tuple(lrs.shape)}, one a lane"
        )
    return {name: rate.expand(lrs.shape) for name, rate in found.items()}


def _goes_on_from_a_saved_state(
    policy: Policy, lrs: torch.Tensor, seen: Sequence[Observation], together: Sequence[Rates]
) -> None:
    """In the middle the lanes are taken anew, and their state is written and read as a snapshot's is."""
    state, half, index = policy.init(lrs), len(seen) // 2, torch.tensor(TAKEN)
    for observation in seen[:half]:
        _, state = policy.step(observation, state)
    _holds_plain_things(policy, state)
    taken = map_tensors(lambda t: t[index] if t.dim() and len(t) == LANES else t, state)
    file = io.BytesIO()
    torch.save(taken, file)
    file.seek(0)
    later = _follow(policy, torch.load(file, weights_only=True), [_of_lanes(o, index) for o in seen[half:]], lrs[index])
    for t, (rates, among) in enumerate(zip(later, together[half:], strict=True), half):
        same = all(_close(rate, among[name][index]) for name, rate in rates.items())
        expect(same, f"{policy!r} gave other rates at step {t} once its lanes were reordered; expected states by lane")


def _holds_plain_things(policy: Policy, state: Any) -> None:
    if isinstance(state, Mapping):
        state = list(state.values())
    if isinstance(state, (tuple, list)):
        for part in state:
            _holds_plain_things(policy, part)
        return
    plain = state is None or isinstance(state, (torch.Tensor, int, float, str))
    kind = type(state).__name__
    expect(
        plain, f"a state of {policy!r} holds a {kind}; expected tensors and plain numbers, alone or in tuples, lists, dicts"
    )


def _says_what_it_will_do(policy: Policy, lr: float, steps: int) -> None:
    """`over` gives a policy; `rate` gives what `step` does."""
    over, rate = getattr(policy, "over", None), getattr(policy, "rate", None)
    if over is not None:
        other = over(2 * steps)
        expect(isinstance(other, Policy), f"over({2 * steps}) of {policy!r} gave {other!r}; expected a policy")
    if rate is None or policy.reads:
        return
    state = policy.init(torch.tensor(lr, dtype=torch.float64))
    for t in range(steps):
        out, state = policy.step(Observation(t), state)
        if isinstance(out, Mapping):
            return
        said = torch.as_tensor(rate(t, lr), dtype=torch.float64)
        same = _close(said, torch.as_tensor(out, dtype=torch.float64))
        expect(
            same, f"rate({t}, {lr:g}) of {policy!r} is {float(said):g} and step gives {float(out):g}; expected one number"
        )


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=ROUNDING, atol=0.0, equal_nan=True)


def _same(a: Any, b: Any) -> bool:
    """Equality to the last bit; NaN equals NaN."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        known = [torch.nan_to_num(t, nan=math.pi) for t in (a, b)]
        return a.dtype == b.dtype and torch.equal(*known) and torch.equal(a.isnan(), b.isnan())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b or (a != a and b != b))
