"""`UpdateRule`: an update rule for all lanes at once, its numbers apart from its rows.

A rule has two halves. `coefficients` turns the step and the lanes' rates into numbers, one per lane, in float64 on the
CPU, as torch does for one. `update` applies them in place to rows, with no branch that depends on the step. So the numbers
of a lane are those it would have alone, and `update` can be replayed by a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Slots = Mapping[str, Tensor]
Coefficients = Sequence[Tensor | float]
PER_LANE = ("momentum", "weight_decay")
"""Settings that may differ from lane to lane within one group of lanes."""


class UpdateRule:
    """The update of one parameter group.

    Args:
        settings: the optimizer's settings of the group, as in `optimizer.param_groups`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self._per_lane: dict[str, Tensor] = {}

    def vary(self, name: str, values: Tensor, like: Tensor) -> None:
        """Setting `name` (of `PER_LANE`) is `values` [K], one per lane, float64 on the CPU; `like` is a row."""
        self._per_lane[name] = values
        self.settings[name] = values.to(device=like.device, dtype=like.dtype).unsqueeze(1)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the optimizer's state, one number per parameter; zero at the start."""
        return ()

    @property
    def steady(self) -> bool:
        """Whether the coefficients depend on the rates alone, and not on the step."""
        return False

    def start(self, state: Slots, lr: Tensor) -> None:
        """Fill slots that do not start at zero; `lr` is [K]."""

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """The numbers of step `t` (1-based) for lanes with rates `lr` [K]."""
        raise NotImplementedError

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """Change parameters `p` [K, n] and state in place; `c` are the coefficients as [K, 1]. `g` may be overwritten."""
        raise NotImplementedError

    def torch_state(self, t: int, p: Tensor, slots: Slots, row: int) -> dict[str, Tensor]:
        """What torch's optimizer keeps of parameter `p` of lane `row` after `t` steps; `slots` are that parameter's."""
        return {**slots, "step": torch.tensor(float(t), dtype=scalar_dtype())}

    def resume(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Take what is not in the slots from what torch's optimizer keeps of one parameter, one state a lane."""

    def take(self, index: Tensor) -> None:
        """Only these lanes, in this order; a lane may be named twice."""
        for name, values in self._per_lane.items():
            self._per_lane[name] = values.index_select(0, index.cpu())
            column = self.settings[name]
            self.settings[name] = column.index_select(0, index.to(column.device))

    def _has(self, name: str) -> bool:
        """Whether setting `name` is other than zero for some lane."""
        return name in self._per_lane or self.settings[name] != 0

    def _number(self, name: str) -> Any:
        """Setting `name` for `coefficients`: a number, or float64 [K]."""
        return self._per_lane.get(name, self.settings[name])

    def _decayed(self, p: Tensor, g: Tensor) -> Tensor:
        """The gradient with the coupled (L2) weight decay."""
        return added(g, p, self.settings["weight_decay"]) if self._has("weight_decay") else g


def added(a: Tensor, b: Tensor, factor: Tensor | float) -> Tensor:
    """a += factor b, in place, for one factor or one per lane."""
    return a.addcmul_(b, factor) if isinstance(factor, Tensor) else a.add_(b, alpha=factor)


def scalar_dtype() -> torch.dtype:
    """The type in which torch.optim keeps numbers of its own."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
