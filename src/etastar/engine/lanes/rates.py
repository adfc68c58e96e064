"""The learning rates of many lanes: policies, stepped on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from etastar.core.batch import map_tensors
from etastar.core.cannot_batch import CannotBatch
from etastar.core.lane import Lane
from etastar.policies.policy import Constant, Observation, Policy


class Rates:
    """Steps every lane's policy; lanes with the same policy are stepped together.

    Rates, losses and states are float64 vectors on the CPU, whatever the lanes train in: a rate rounded to float32 alone
    moves a float64 training by 1e-9 to 1e-2.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        members: dict[Policy, list[int]] = {}
        for row, lane in enumerate(lanes):
            members.setdefault(lane.policy, []).append(row)
        self._lanes = len(lanes)
        self._groups: list[tuple[Policy, torch.Tensor, Any]] = []
        for policy, rows in members.items():
            lr = torch.tensor([lanes[row].lr for row in rows], dtype=torch.float64)
            self._groups.append((policy, torch.tensor(rows), policy.init(lr)))
        self._constant: torch.Tensor | None = None
        self.read_losses = any(not isinstance(policy, Constant) for policy in members)
        """Whether a policy may read losses: on a GPU, that waits for every step."""

    def step(self, step: int, loss: torch.Tensor | None) -> torch.Tensor:
        """The rate of every lane for this step, float64 [K]; `loss` is that of the step before."""
        if self._constant is not None:
            return self._constant
        rates = torch.empty(self._lanes, dtype=torch.float64)
        groups = []
        for policy, rows, state in self._groups:
            own = None if loss is None else loss[rows]
            lr, state = policy.step(Observation(step, own), state)
            lr = torch.as_tensor(lr, dtype=torch.float64)
            if lr.dim() > 0 and lr.shape != rows.shape:
                raise CannotBatch(f"{policy!r} gave {tuple(lr.shape)} rates for {len(rows)} lanes")
            rates[rows] = lr
            groups.append((policy, rows, state))
        self._groups = groups
        self._constant = None if self.read_losses else rates
        return rates

    def keep(self, index: torch.Tensor) -> None:
        """Drop all lanes but these."""
        position = torch.full((self._lanes,), -1)
        position[index] = torch.arange(len(index))
        groups = []
        for policy, rows, state in self._groups:
            kept = position[rows] >= 0
            if not kept.any():
                continue
            size = len(rows)
            only = lambda t, kept=kept, size=size: t[kept] if t.dim() and len(t) == size else t
            groups.append((policy, position[rows[kept]], map_tensors(only, state)))
        self._groups, self._lanes = groups, len(index)
        self._constant = None
