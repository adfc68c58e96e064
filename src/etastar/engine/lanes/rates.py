"""The learning rates of many lanes: policies, stepped on vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from etastar.core.batch import map_tensors
from etastar.core.lane import Lane
from etastar.engine.signals import Key, asked, keys_of
from etastar.policies.compose import OTHERS
from etastar.policies.policy import Policy, is_steady


class Rates:
    """Steps every lane's policy; lanes with the same policy are stepped together.

    Rates, signals and states are float64 vectors on the CPU, whatever the lanes train in: a rate rounded to float32 alone
    moves a float64 training by 1e-9 to 1e-2.

    Args:
        labels: what policies call the optimizer's groups, in their order.
    """

    def __init__(self, lanes: Sequence[Lane], labels: Sequence[str] = (OTHERS,)) -> None:
        members: dict[Policy, list[int]] = {}
        for row, lane in enumerate(lanes):
            members.setdefault(lane.policy, []).append(row)
        self._lanes, self._labels = len(lanes), tuple(labels)
        self._apart = any(label != OTHERS for label in labels)
        self._groups: list[tuple[Policy, torch.Tensor, Any]] = []
        for policy, rows in members.items():
            lr = torch.tensor([lanes[row].lr for row in rows], dtype=torch.float64)
            self._groups.append((policy, torch.tensor(rows), policy.init(lr)))
        self._constant: torch.Tensor | None = None
        self._steady = all(map(is_steady, members))
        self.keys: tuple[Key, ...] = tuple(dict.fromkeys(key for policy in members for key in keys_of(policy)))
        """What the policies read; nothing is waited for on a GPU where they read nothing."""

    def step(self, step: int, known: Mapping[Key, torch.Tensor], missing: Collection[Key] = ()) -> torch.Tensor:
        """The rate of every lane for this step, float64 [K]; [K, groups] where groups have rates of their own.

        Args:
            known: every signal of `keys`, [K].
            missing: those that have no value yet.
        """
        if self._constant is not None:
            return self._constant
        rates = torch.empty((self._lanes, len(self._labels)) if self._apart else (self._lanes,), dtype=torch.float64)
        groups = []
        for policy, rows, state in self._groups:
            seen = {name: known[name, every][rows] for name, every in keys_of(policy)}
            lr, state = asked(policy, step, seen, missing, state, len(rows))
            if isinstance(lr, Mapping):
                for column, label in enumerate(self._labels):
                    rates[rows, column] = lr.get(label, lr[OTHERS])
            elif self._apart:
                rates[rows] = lr.expand(len(rows)).unsqueeze(-1)
            else:
                rates[rows] = lr
            groups.append((policy, rows, state))
        self._groups = groups
        self._constant = rates if self._steady else None
        return rates

    def take(self, index: torch.Tensor) -> None:
        """Only these lanes, in this order; a lane may be named twice."""
        groups = []
        for policy, rows, state in self._groups:
            place = torch.full((self._lanes,), -1)
            place[rows] = torch.arange(len(rows))
            own = place[index]
            kept, size = own[own >= 0], len(rows)
            if not len(kept):
                continue
            only = lambda t, kept=kept, size=size: t[kept] if t.dim() and len(t) == size else t
            groups.append((policy, (own >= 0).nonzero().flatten(), map_tensors(only, state)))
        self._groups, self._lanes = groups, len(index)
        self._constant = None
