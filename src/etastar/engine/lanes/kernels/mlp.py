"""Fully-connected chains by hand: batched matrix products forward and backward, no autograd.

For layers a_l = phi(z_l), z_l = a_{l-1} W_l' + b_l and the loss's derivative dz_L:

    dW_l = dz_l' a_{l-1},   db_l = sum_b dz_l,   da_{l-1} = dz_l W_l,   dz_{l-1} = phi'(z_{l-1}) da_{l-1}.

Small networks are bound by the cost of calling operations, not by arithmetic; K lanes share every call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from etastar.core.batch import Batch, map_tensors
from etastar.core.chain import Activation, Link, activation_of, chain_of
from etastar.core.problem import Problem
from etastar.engine.lanes.kernels.chain_loss import ChainLoss
from etastar.engine.lanes.kernels.kernel import Scores
from etastar.engine.lanes.rows import Layout, Rows
from etastar.errors import DoesNotApply

LARGE = 2**16
"""Weights per layer from which the gradients of the lanes are computed one by one, in place."""


@dataclass
class _Dense:
    """A linear layer: places of weight and bias among the rows' views, and the activation behind it."""

    weight: int
    bias: int | None
    activation: Activation | None = None


@dataclass
class _Placed:
    """The rows' views a layer needs, made once for as long as the rows stay where they are."""

    weight: torch.Tensor
    transposed: torch.Tensor
    bias: torch.Tensor | None
    grad_weight: torch.Tensor
    grad_bias: torch.Tensor | None


class MLPKernel:
    """Linear layers and elementwise activations."""

    def __init__(self, problem: Problem, model: nn.Module, layout: Layout) -> None:
        self._loss = ChainLoss(problem, model)
        chain = chain_of(model)
        self._layers = _dense_layers(chain, layout)
        self._flattens = isinstance(chain[0].module, nn.Flatten)
        self._views: list[torch.Tensor] = []
        self._placed: list[_Placed] = []

    def gradient(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        with torch.no_grad():
            inputs, targets = self._loss.split(batch)
            placed = self._place(rows)
            ins, outs = self._forward(placed, inputs)
            scores, dz = self._loss.scores_and_gradient(outs[-1][1], targets)
            for index in reversed(range(len(self._layers))):
                activation, own, (z, a) = self._layers[index].activation, placed[index], outs[index]
                if activation is not None:
                    dz = activation.backward(dz, z, a)
                _products(dz, ins[index], own.grad_weight)
                if own.grad_bias is not None:
                    torch.sum(dz, 1, out=own.grad_bias)
                if index:
                    dz = torch.bmm(dz, own.weight)
        return scores

    def evaluate(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        with torch.no_grad():
            k = len(rows)
            inputs, targets = self._loss.split(map_tensors(lambda t: t.expand(k, *t.shape), batch))
            _, outs = self._forward(self._place(rows), inputs)
            return self._loss.scores(outs[-1][1], targets)

    def _place(self, rows: Rows) -> list[_Placed]:
        if self._views is not rows.views:
            self._views = rows.views
            values = [view.detach() for view in rows.views]
            self._placed = [
                _Placed(
                    weight=values[layer.weight],
                    transposed=values[layer.weight].transpose(1, 2),
                    bias=None if layer.bias is None else values[layer.bias].unsqueeze(1),
                    grad_weight=rows.grad_views[layer.weight],
                    grad_bias=None if layer.bias is None else rows.grad_views[layer.bias],
                )
                for layer in self._layers
            ]
        return self._placed

    def _forward(
        self, placed: list[_Placed], x: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]]:
        """Input and (before, after the activation) of every layer."""
        a = x.flatten(2) if self._flattens else x
        if a.dim() != 3:
            raise DoesNotApply("its linear layers see other inputs than [batch, features]")
        ins, outs = [], []
        for layer, own in zip(self._layers, placed, strict=True):
            ins.append(a)
            z = torch.bmm(a, own.transposed) if own.bias is None else torch.baddbmm(own.bias, a, own.transposed)
            a = z if layer.activation is None else layer.activation.forward(z)
            outs.append((z, a))
        return ins, outs


def _products(dz: torch.Tensor, a: torch.Tensor, out: torch.Tensor) -> None:
    """dz' a of every lane into a view of the rows; one by one where a copy would cost more than the calls."""
    if out[0].numel() < LARGE:
        out.copy_(torch.bmm(dz.transpose(1, 2), a))
        return
    for lane in range(len(out)):
        torch.mm(dz[lane].t(), a[lane], out=out[lane])


def _dense_layers(chain: list[Link], layout: Layout) -> list[_Dense]:
    places = {name: i for i, name in enumerate(layout.names)}
    layers: list[_Dense] = []
    for link in chain:
        module, activation = link.module, activation_of(link.module)
        if isinstance(module, nn.Linear):
            needed = [link.prefix + name for name, _ in module.named_parameters()]
            if any(name not in places for name in needed):
                raise DoesNotApply("a layer is frozen or shares its parameters")
            bias = None if module.bias is None else places[link.prefix + "bias"]
            layers.append(_Dense(places[link.prefix + "weight"], bias))
        elif activation is not None and layers and layers[-1].activation is None:
            layers[-1].activation = activation
        elif not (isinstance(module, nn.Flatten) and not layers):
            raise DoesNotApply(f"layer {type(module).__name__} does not belong to a plain fully-connected chain")
    if not layers:
        raise DoesNotApply("it has no linear layer")
    return layers
