"""Parameter groups that a policy names: the optimizer's own, or parts of them by prefix of the parameters' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from etastar.core.groups import Group
from etastar.core.optimizers import SeveralOptimizers, optimizer_name
from etastar.core.setup import Setup
from etastar.errors import ProblemError
from etastar.policies.compose import OTHERS


def split(setup: Setup, labels: Sequence[str]) -> Setup:
    """`setup` with its optimizer's groups cut so that every label is a group of its own; call before the first step.

    Args:
        labels: names of groups, or prefixes of parameters' names ("layer4", "head.").

    Raises:
        ProblemError: no group or parameter has such a name, or two names of one (tied) parameter disagree.
    """
    if not labels:
        return setup
    optimizer = setup.optimizer
    by_group = [label for label in labels if any(group.name == label for group in setup.groups)]
    label_of = _labels(setup, [label for label in labels if label not in by_group])
    if isinstance(optimizer, (SeveralOptimizers, torch.optim.LBFGS)) and label_of:
        raise ProblemError(
            f"{optimizer_name(optimizer)} cannot have its parameter groups cut at {', '.join(map(repr, labels))}; expected "
            "names of its own groups, or one optimizer that takes several"
        )
    groups: list[Group] = []
    settings: list[dict[str, Any]] = []
    for group, own in zip(setup.groups, optimizer.param_groups, strict=True):
        if group.name in by_group or not any(id(p) in label_of for p in own["params"]):
            groups.append(replace(group, label=group.name if group.name in by_group else OTHERS))
            settings.append(own)
            continue
        for label in dict.fromkeys(label_of.get(id(p), OTHERS) for p in own["params"]):
            members = [p for p in own["params"] if label_of.get(id(p), OTHERS) == label]
            name = group.name if label == OTHERS else f"{group.name} {label}"
            groups.append(Group(name, group.multiplier, sum(p.numel() for p in members), label))
            lr = own["lr"].clone() if isinstance(own["lr"], torch.Tensor) else own["lr"]  # it is filled in place
            settings.append({**own, "params": members, "lr": lr})
    order = tuple(setup.parameters())
    optimizer.param_groups[:] = settings
    return replace(setup, groups=tuple(groups), order=order)


def _labels(setup: Setup, prefixes: Sequence[str]) -> dict[int, str]:
    """id of a parameter -> the prefix that its name has."""
    names: dict[int, list[str]] = {}
    for name, p in setup.model.named_parameters(remove_duplicate=False):
        names.setdefault(id(p), []).append(name)
    found: dict[int, str] = {}
    for prefix in sorted(prefixes, key=len, reverse=True):  # the most special name is a parameter's
        begins = lambda name, prefix=prefix: name == prefix or name.startswith(prefix.rstrip(".") + ".")
        hit = {key: [begins(name) for name in own] for key, own in names.items() if any(map(begins, own))}
        if not hit:
            parts = dict.fromkeys(name.partition(".")[0] for own in names.values() for name in own)
            known = ", ".join([*(group.name for group in setup.groups), *parts])
            raise ProblemError(f"the policy names a group {prefix!r}, which does not exist; expected one of {known}")
        for key, hits in hit.items():
            if not all(hits):
                tied = " and ".join(names[key])
                raise ProblemError(
                    f"the policy's group {prefix!r} cuts a tied parameter ({tied}); name both its places, or none"
                )
            found.setdefault(key, prefix)
    return found
