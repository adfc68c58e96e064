"""Lanes as rows of matrices: one row holds all trainable parameters of one lane, another its gradient, and so on.

A row makes everything that is done to "a lane" one operation for all of them: an optimizer's update, a gradient norm,
clipping, and dropping lanes that are decided.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from etastar.core.setup import Setup
from etastar.engine.lanes.rules.rule import UpdateRule
from etastar.engine.lanes.rules.rules import rule_for
from etastar.errors import DoesNotApply

ALIGN = 64
"""Rows are padded to a multiple of this many numbers: what a lane computes then never depends on how many lanes there are
(the last few numbers of an array take another, differently rounded path through the processor)."""


@dataclass(frozen=True)
class ParameterGroup:
    """Columns [start, stop) of a row: one of the optimizer's groups, its update rule and its multiple of the lane's rate."""

    start: int
    stop: int
    rule: UpdateRule
    multiplier: float
    lr_dtype: torch.dtype | None = None

    def lr(self, lr: torch.Tensor) -> torch.Tensor:
        """The group's rates for the lanes' rates, [K]: float64, or the type of the optimizer's lr where that is a tensor."""
        own = lr * self.multiplier
        return own if self.lr_dtype is None else own.to(self.lr_dtype)


@dataclass(frozen=True)
class Layout:
    """Where everything lies in a row.

    Args:
        names: trainable parameters that the optimizer holds, in the order of its groups.
        shapes: their shapes.
        groups: the optimizer's groups.
        frozen: parameters it does not hold (or that want no gradient), kept beside the rows.
        buffers: names of the model's buffers.
        dtype: of parameters and rows.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    groups: tuple[ParameterGroup, ...]
    frozen: tuple[str, ...]
    buffers: tuple[str, ...]
    dtype: torch.dtype

    @property
    def used(self) -> int:
        """Columns in use."""
        return sum(math.prod(s) for s in self.shapes)

    @property
    def width(self) -> int:
        """Columns in all."""
        return -(-self.used // ALIGN) * ALIGN

    def names_of(self, group: ParameterGroup) -> list[str]:
        """The parameters of a group."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        return [name for name, end in zip(self.names, ends, strict=True) if group.start < end <= group.stop]

    def views(self, matrix: torch.Tensor) -> list[torch.Tensor]:
        """The parameters of all lanes, [K, *shape] each, as views of a matrix of rows [K, width]."""
        views, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            views.append(matrix[:, start : start + size].unflatten(1, shape) if shape else matrix[:, start])
            start += size
        return views


def layout_of(setup: Setup) -> Layout:
    """The layout of a model and its optimizer.

    Raises:
        DoesNotApply: the optimizer's update is not known row by row, or parameters are of several types.
    """
    names = {id(p): name for name, p in setup.model.named_parameters()}
    trainable: list[torch.nn.Parameter] = []
    groups: list[ParameterGroup] = []
    start = 0
    for group, settings in zip(setup.groups, setup.optimizer.param_groups, strict=True):
        members = [p for p in settings["params"] if p.requires_grad]
        stop = start + sum(p.numel() for p in members)
        lr = settings["lr"]
        lr_dtype = lr.dtype if isinstance(lr, torch.Tensor) else None
        groups.append(ParameterGroup(start, stop, rule_for(setup.optimizer, settings), group.multiplier, lr_dtype))
        trainable += members
        start = stop
    kinds = {p.dtype for p in trainable}
    if len(kinds) != 1 or not next(iter(kinds)).is_floating_point:
        raise DoesNotApply(f"its trainable parameters are of types {sorted(map(str, kinds))}; lanes need one real type")
    held = {id(p) for p in trainable}
    return Layout(
        names=tuple(names[id(p)] for p in trainable),
        shapes=tuple(p.shape for p in trainable),
        groups=tuple(groups),
        frozen=tuple(name for name, p in setup.model.named_parameters() if id(p) not in held),
        buffers=tuple(name for name, _ in setup.model.named_buffers()),
        dtype=next(iter(kinds)),
    )


@dataclass
class Rows:
    """The state of K lanes.

    Args:
        params, grad: [K, width].
        state: per group, the optimizer's slots, [K, columns of the group] each.
        frozen, buffers: name -> [K, *shape].
        t: optimizer steps taken.
    """

    layout: Layout
    params: torch.Tensor
    grad: torch.Tensor
    state: list[dict[str, torch.Tensor]]
    frozen: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    t: int = 0
    views: list[torch.Tensor] = field(init=False)
    """Leaves for autograd, one per parameter, [K, *shape]: they share memory with `params`."""
    grad_views: list[torch.Tensor] = field(init=False)
    """Where each parameter's gradient goes, [K, *shape]."""
    _lr: torch.Tensor | None = field(init=False, default=None)
    _steady: dict[int, list[torch.Tensor]] = field(init=False, default_factory=dict)
    """Coefficients of steady groups for these very rates."""

    def __post_init__(self) -> None:
        self._make_views()

    @classmethod
    def of(cls, setups: Mapping[int, Setup], keys: Sequence[int], layout: Layout, t: int = 0) -> Rows:
        """Rows for lanes, each from the setup of its key, after `t` steps.

        Raises:
            DoesNotApply: the optimizer's settings differ from setup to setup.
        """
        first = next(iter(setups.values()))
        device = next(first.model.parameters()).device
        settings = _settings(first)
        for setup in setups.values():
            if _settings(setup) != settings:
                raise DoesNotApply("optimizer(model) gives other settings for other seeds")
        own = {seed: dict(setup.model.named_parameters()) for seed, setup in setups.items()}
        buffers = {seed: dict(setup.model.named_buffers()) for seed, setup in setups.items()}
        k = len(keys)
        with torch.no_grad():
            params = torch.zeros(k, layout.width, dtype=layout.dtype, device=device)
            flat = {key: torch.cat([p[name].reshape(-1) for name in layout.names]) for key, p in own.items()}
            for row, key in enumerate(keys):
                params[row, : layout.used] = flat[key]
            state = [
                {slot: params.new_zeros(k, group.stop - group.start) for slot in group.rule.slots} for group in layout.groups
            ]
            frozen = {name: torch.stack([own[key][name].detach() for key in keys]) for name in layout.frozen}
            stacked = {name: torch.stack([buffers[key][name] for key in keys]) for name in layout.buffers}
        rows = cls(layout, params, torch.zeros_like(params), state, frozen, stacked, t)
        if t:
            rows._fill([setups[key] for key in keys])
        return rows

    def _fill(self, setups: Sequence[Setup]) -> None:
        """The slots of every row, from what an ordinary optimizer keeps."""
        parameters = dict(setups[0].model.named_parameters())
        for group, slots in zip(self.layout.groups, self.state, strict=True):
            names = self.layout.names_of(group)
            states = [_states(setup, names) for setup in setups]
            for slot, target in slots.items():
                for row, own in enumerate(states):
                    start = 0
                    for name, state in zip(names, own, strict=True):
                        stop = start + parameters[name].numel()
                        if slot in state:  # the loop's optimizer has none for a parameter the loss does not use
                            target[row, start:stop] = state[slot].reshape(-1)
                        start = stop
            known = [state for own in states if (state := next(filter(None, own), None)) is not None]
            if len(known) == len(states):
                group.rule.resume(known)

    def put(self, row: int, setup: Setup) -> None:
        """Make an ordinary model and optimizer of the same problem and groups what this row is."""
        model = dict(setup.model.named_parameters()) | dict(setup.model.named_buffers())
        own = dict(zip(self.layout.names, self.views, strict=True)) | self.frozen | self.buffers
        with torch.no_grad():
            for name, tensor in model.items():
                tensor.copy_(own[name][row])
        for group, slots in zip(self.layout.groups, self.state, strict=True) if self.t else ():
            start = 0
            for name in self.layout.names_of(group):
                p = model[name]
                columns, start = slice(start, start + p.numel()), start + p.numel()
                cut = {slot: values[row, columns].view(p.shape).clone() for slot, values in slots.items()}
                setup.optimizer.state[p] = group.rule.torch_state(self.t, p.detach(), cut, row)

    def __len__(self) -> int:
        return len(self.params)

    def take(self, index: torch.Tensor) -> None:
        """Only these lanes, in this order; a lane may be named twice."""
        index = index.to(self.params.device)
        self.params = self.params.index_select(0, index)
        self.grad = torch.zeros_like(self.params)
        self.state = [{slot: x.index_select(0, index) for slot, x in slots.items()} for slots in self.state]
        self.frozen = {name: x.index_select(0, index) for name, x in self.frozen.items()}
        self.buffers = {name: x.index_select(0, index) for name, x in self.buffers.items()}
        for group in self.layout.groups:
            group.rule.take(index)
        self._make_views()

    def parameters(self) -> dict[str, torch.Tensor]:
        """Name -> [K, *shape] of every parameter; the trainable ones are leaves for autograd."""
        return dict(zip(self.layout.names, self.views, strict=True)) | self.frozen

    def set_gradients(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Copy the gradients of `views` into `grad`; None (a parameter the loss does not use) counts as zero."""
        with torch.no_grad():
            for target, gradient in zip(self.grad_views, gradients, strict=True):
                target.zero_() if gradient is None else target.copy_(gradient)

    def grad_norms(self) -> torch.Tensor:
        """|g| of every lane, [K]."""
        return torch.linalg.vector_norm(self.grad[:, : self.layout.used], dim=1)

    def alive(self) -> torch.Tensor:
        """Gradients of every lane that are not exactly zero, [K]."""
        return self.grad[:, : self.layout.used].count_nonzero(dim=1)

    def clip(self, norms: torch.Tensor, max_norm: float) -> None:
        """g *= min(1, max_norm / (|g| + 1e-6)), as `torch.nn.utils.clip_grad_norm_`."""
        self.grad.mul_((max_norm / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1))

    def step(self, lr: torch.Tensor) -> None:
        """One optimizer step of every lane at its own rate.

        Args:
            lr: float64 [K], or [K, groups], on the CPU.
        """
        if lr is not self._lr:
            self._lr, self._steady = lr, {}
        for index, (group, slots) in enumerate(zip(self.layout.groups, self.state, strict=True)):
            columns, own = slice(group.start, group.stop), lr if lr.dim() == 1 else lr[:, index]
            if self.t == 0:
                group.rule.start(slots, group.lr(own))
            coefficients = self._steady.get(index)
            if coefficients is None:
                coefficients = self._columns(group.rule.coefficients(self.t + 1, group.lr(own)))
                if group.rule.steady:
                    self._steady[index] = coefficients
            group.rule.update(self.params[:, columns], self.grad[:, columns], slots, coefficients)
        self.t += 1

    def _columns(self, coefficients: Sequence[torch.Tensor | float]) -> list[torch.Tensor]:
        """Per-lane numbers, computed in float64, as columns [K, 1] in the rows' type: moved in one copy."""
        k = len(self)
        table = torch.stack([torch.as_tensor(c, dtype=torch.float64).expand(k) for c in coefficients])
        return list(table.to(device=self.params.device, dtype=self.params.dtype).unsqueeze(-1))

    def _make_views(self) -> None:
        self.views = [v.detach().requires_grad_() for v in self.layout.views(self.params)]
        self.grad_views = self.layout.views(self.grad)


def _states(setup: Setup, names: Sequence[str]) -> list[Mapping[str, torch.Tensor]]:
    """What the optimizer keeps of these parameters."""
    parameters = dict(setup.model.named_parameters())
    return [setup.optimizer.state[parameters[name]] for name in names]


def _settings(setup: Setup) -> list[Any]:
    """What decides the update of every group, but for the rate."""
    own = [{k: repr(v) for k, v in g.items() if k not in ("params", "lr")} for g in setup.optimizer.param_groups]
    return [own, setup.groups]
