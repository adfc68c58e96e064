"""The learning rates of many lanes: policies, stepped on vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from etastar.core.batch import map_tensors
from etastar.core.lane import Lane
from etastar.engine.asking import asked
from etastar.engine.signals import Key, keys_of
from etastar.policies.compose import OTHERS, rate_of
from etastar.policies.policy import Policy, is_steady
from etastar.policies.trunk import graft


@dataclass(frozen=True)
class _Steered:
    """The rows of one policy, its state and what it gave last; None before it was asked."""

    policy: Policy
    rows: torch.Tensor
    state: Any
    rate: Any = None

    def take(self, chosen: torch.Tensor, rows: torch.Tensor) -> _Steered:
        """Only `chosen` of its own rows, which are `rows` of all from now on."""
        size = len(self.rows)
        only = lambda t: t[chosen] if t.dim() and len(t) == size else t
        return replace(self, rows=rows, state=map_tensors(only, self.state), rate=map_tensors(only, self.rate))


class Rates:
    """Steps every lane's policy; lanes with the same policy are stepped together.

    Rates, signals and states are float64 vectors on the CPU, whatever the lanes train in: a rate rounded to float32 alone
    moves a float64 training by 1e-9 to 1e-2.

    Args:
        labels: what policies call the optimizer's groups, in their order.
    """

    def __init__(self, lanes: Sequence[Lane], labels: Sequence[str] = (OTHERS,)) -> None:
        groups = []
        for policy, rows in _by_policy(lanes).items():
            lr = torch.tensor([lanes[row].lr for row in rows], dtype=torch.float64)
            groups.append(_Steered(policy, torch.tensor(rows), policy.init(lr)))
        self._adopt(groups, len(lanes))
        self.labels = tuple(labels)

    def _adopt(self, groups: list[_Steered], lanes: int) -> None:
        self._groups, self._lanes, self._constant = groups, lanes, None
        self._steady = all(is_steady(group.policy) for group in groups)
        self.keys: tuple[Key, ...] = tuple(dict.fromkeys(key for group in groups for key in keys_of(group.policy)))
        """What the policies read; nothing is waited for on a GPU where they read nothing."""

    def step(self, step: int, known: Mapping[Key, torch.Tensor], missing: Collection[Key] = ()) -> torch.Tensor:
        """The rate of every lane for this step, float64 [K]; [K, groups] where groups have rates of their own.

        Args:
            known: every signal of `keys`, [K].
            missing: those that have no value yet.
        """
        if self._constant is not None:
            return self._constant
        apart = any(label != OTHERS for label in self.labels)
        rates = torch.empty((self._lanes, len(self.labels)) if apart else (self._lanes,), dtype=torch.float64)
        groups = []
        for group in self._groups:
            policy, rows = group.policy, group.rows
            seen = {key: known[key][rows] for key in keys_of(policy)}
            lr, state = asked(policy, step, seen, missing, group.state, len(rows))
            if isinstance(lr, Mapping):
                for column, label in enumerate(self.labels):
                    rates[rows, column] = rate_of(lr, label)
            elif apart:
                rates[rows] = lr.expand(len(rows)).unsqueeze(-1)
            else:
                rates[rows] = lr
            groups.append(_Steered(policy, rows, state, lr))
        self._groups = groups
        self._constant = rates if self._steady else None
        return rates

    def take(self, index: torch.Tensor, lanes: Sequence[Lane] | None = None, step: int = 0) -> None:
        """Only these lanes, in this order; a lane may be named twice, and go on as one of `lanes`.

        Raises:
            ProblemError: it does not begin as the lane it goes on from.
        """
        if lanes is not None:
            befores = [self._group_of(int(row)).policy for row in index]
            self.resume(lanes, [self.state(int(row)) for row in index], befores, step)
            return
        groups = []
        for group in self._groups:
            place = torch.full((self._lanes,), -1)
            place[group.rows] = torch.arange(len(group.rows))
            own = place[index]
            if len(kept := own[own >= 0]):
                groups.append(group.take(kept, (own >= 0).nonzero().flatten()))
        self._adopt(groups, len(index))

    def state(self, row: int) -> dict[str, Any]:
        """State and last rate of one lane's policy."""
        group = self._group_of(row)
        place, size = int((group.rows == row).nonzero()), len(group.rows)
        one = lambda t: t[place] if t.dim() and len(t) == size else t
        return {"policy": map_tensors(one, group.state), "rate": map_tensors(one, group.rate)}

    def resume(
        self, lanes: Sequence[Lane], states: Sequence[Mapping[str, Any]], befores: Sequence[Policy], step: int
    ) -> None:
        """Go on as `lanes`, from the states of lanes that `befores` have steered for `step` steps.

        Raises:
            ProblemError: a lane's policy does not begin so.
        """
        lr = [torch.tensor(lane.lr, dtype=torch.float64) for lane in lanes]
        rates = [state["rate"] for state in states]
        own = [
            graft(lane.policy, before, state["policy"], one, rate, step)
            for lane, before, state, one, rate in zip(lanes, befores, states, lr, rates, strict=True)
        ]
        groups = [
            _Steered(
                policy, torch.tensor(rows), _stacked([own[row] for row in rows]), _stacked([rates[row] for row in rows])
            )
            for policy, rows in _by_policy(lanes).items()
        ]
        self._adopt(groups, len(lanes))

    def _group_of(self, row: int) -> _Steered:
        return next(group for group in self._groups if bool((group.rows == row).any()))


def _by_policy(lanes: Sequence[Lane]) -> dict[Policy, list[int]]:
    members: dict[Policy, list[int]] = {}
    for row, lane in enumerate(lanes):
        members.setdefault(lane.policy, []).append(row)
    return members


def _stacked(states: Sequence[Any]) -> Any:
    """States of single lanes as one of them all: numbers that differ become vectors, too."""
    first = states[0]
    if isinstance(first, Mapping):
        return {name: _stacked([state[name] for state in states]) for name in first}
    if isinstance(first, (tuple, list)):
        items = map(_stacked, zip(*states, strict=True))
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if isinstance(first, torch.Tensor):
        return torch.stack(list(states))
    return first if all(state == first for state in states) else torch.tensor(states, dtype=torch.float64)
