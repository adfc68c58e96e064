"""A live optimizer and a policy, made ready for each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from etastar.arguments import shown
from etastar.core.groups import PASS_A_RATE, Group
from etastar.core.named_groups import split
from etastar.core.optimizers import checked_optimizer
from etastar.core.setup import Setup
from etastar.errors import ProblemError
from etastar.policies.compose import groups_named
from etastar.policies.named import parsed, policy_over
from etastar.policies.policy import Observation, Policy
from etastar.policies.torch_schedule import group_names


def default_rate(optimizer: torch.optim.Optimizer) -> float:
    """The rate of which groups have their multiples.

    Raises:
        ProblemError: there is none.
    """
    default = checked_optimizer(optimizer).defaults.get("lr")
    if default is None or not float(default) > 0:
        raise ProblemError(f"the optimizer's default lr is {shown(default)}; {PASS_A_RATE}")
    return float(default)


def policy_for(given: Any, steps: int | None) -> Policy:
    """The policy over its horizon.

    Raises:
        ProblemError: it is no policy, or needs a horizon and has none.
    """
    if steps is not None:
        return policy_over(given, steps)
    if not isinstance(given, (str, Policy)):
        raise ProblemError(
            f"the policy is {shown(given)} without steps; expected a Policy or a name, or steps=... beside it"
        )
    policy = parsed(given) if isinstance(given, str) else given
    if not policy.reads:
        try:
            policy.step(Observation(0), policy.init(1.0))
        except ProblemError as error:
            raise ProblemError(f"{given!r} has no horizon yet; expected steps=... beside it") from error
    return policy


def attached(optimizer: torch.optim.Optimizer, policy: Policy, model: nn.Module | None) -> Setup:
    """The optimizer with its groups, cut where the policy gives parameters rates of their own.

    Groups remember the rate they were made with as "initial_lr", as with torch's schedulers: "lr" is the one in use, also in
    a checkpoint of the optimizer.

    Raises:
        ProblemError: the policy names what does not exist.
    """
    groups, default = [], default_rate(optimizer)
    for name, own in zip(group_names(optimizer), optimizer.param_groups, strict=True):
        lr = own["lr"]
        first = own.setdefault("initial_lr", lr.clone() if isinstance(lr, torch.Tensor) else lr)
        groups.append(Group(name, float(first) / default, sum(p.numel() for p in own["params"])))
    labels = groups_named(policy)
    if model is None and (unknown := [label for label in labels if label not in [group.name for group in groups]]):
        raise ProblemError(
            f"the policy names {unknown[0]!r}, which none of the optimizer's groups is called; expected one of "
            f"{', '.join(group.name for group in groups)}, or model=... to cut groups by parameters' names"
        )
    return split(Setup(model or nn.Module(), optimizer, tuple(groups)), labels)
