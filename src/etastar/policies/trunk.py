"""The beginning that policies share: who is in charge of a lane until when, and how another policy takes over there."""

from __future__ import annotations

from typing import Any

from etastar.errors import ProblemError
from etastar.policies.policy import Policy


def trunk_of(policy: Policy) -> tuple[Policy, int] | None:
    """The policy that `policy` is until some step, and that step; lanes of one trunk may share their training until then."""
    trunk = getattr(policy, "trunk", None)
    return trunk() if trunk else None


def chain_of(policy: Policy, steps: int) -> list[tuple[Policy, int]]:
    """The policies in charge of a lane of so many steps, each with the step at which it ends; each is how the next begins.

    >>> from etastar.policies.compose import Then, Times
    >>> from etastar.policies.policy import Constant
    >>> chain_of(Then(Constant(), 30, Times(Constant(), 0.1)), 40)[0]
    (Constant(), 30)
    """
    chain = [(policy, steps)]
    while (trunk := trunk_of(chain[0][0])) is not None and trunk[1] < chain[0][1]:
        chain.insert(0, trunk)
    return chain


def way_to(policy: Policy, before: Policy, step: int) -> list[Policy]:
    """The policies that take over in turn where `policy` goes on after `step` steps that `before` has steered.

    Raises:
        ProblemError: `before` is not how `policy` begins.
    """
    policy, before = (getattr(own, "bare", own) for own in (policy, before))
    if policy == before:
        return []
    trunk = trunk_of(policy)
    if trunk is None:
        raise ProblemError(
            f"{policy!r} cannot go on where {before!r} was; expected Then({before!r}, at, rest), or the same policy"
        )
    if trunk[1] < step:
        raise ProblemError(f"{policy!r} has changed at step {trunk[1]}; this row is at step {step}, expected an earlier one")
    return [*way_to(trunk[0], before, step), policy]


def graft(policy: Policy, before: Policy, state: Any, lr: Any, rate: Any, step: int) -> Any:
    """The state of `policy` where it goes on after `step` steps that `before` has steered; see `way_to`.

    Args:
        state: of `before`.
        lr: the lane's rate.
        rate: the rate `before` gave last; None if it was not asked yet.
    """
    for own in way_to(policy, before, step):
        state = own.grafted(state, lr, rate)  # type: ignore[attr-defined]
    return state
