"""Convolutional chains: the lanes' channels side by side in one grouped convolution, channels last.

A batch [K, B, C, H, W] becomes one image batch [B, K C, H, W]; convolution with `groups = K` keeps the lanes apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.batch import Batch, map_tensors
from etastar.core.chain import Link, activation_of, chain_of
from etastar.core.problem import Problem
from etastar.engine.lanes.kernels.chain_loss import ChainLoss
from etastar.engine.lanes.kernels.kernel import Scores
from etastar.engine.lanes.rows import Layout, Rows
from etastar.errors import DoesNotApply


class ConvNetKernel:
    """Convolutions, batch normalisation, pooling, linear layers, elementwise activations; gradients by autograd."""

    def __init__(self, problem: Problem, model: nn.Module, layout: Layout) -> None:
        self._loss = ChainLoss(problem, model)
        self._chain = chain_of(model)
        if not any(isinstance(link.module, nn.Conv2d) for link in self._chain):
            raise DoesNotApply("it has no convolution")
        known = {*layout.names, *layout.frozen}
        for link in self._chain:
            if any(link.prefix + name not in known for name, _ in link.module.named_parameters()):
                raise DoesNotApply("layers share their parameters")

    def gradient(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        inputs, targets = self._loss.split(batch)
        with torch.enable_grad():
            loss, share = self._loss.scores(self._outputs(rows, inputs, training=True), targets)
            rows.set_gradients(torch.autograd.grad(loss.sum(), rows.views, allow_unused=True))
        return loss.detach(), share

    def evaluate(self, rows: Rows, batch: Batch) -> Scores:
        """See `Kernel`."""
        with torch.no_grad():
            inputs, targets = self._loss.split(map_tensors(lambda t: t.expand(len(rows), *t.shape), batch))
            return self._loss.scores(self._outputs(rows, inputs, training=False), targets)

    def _outputs(self, rows: Rows, x: torch.Tensor, *, training: bool) -> torch.Tensor:
        """[K, B, C] from [K, B, ...]."""
        own = rows.parameters()
        k, images = len(rows), x.dim() == 5
        x = _side_by_side(x) if images else x
        for link in self._chain:
            module = link.module
            get = lambda name, link=link: own.get(link.prefix + name)
            if isinstance(module, nn.Unflatten):
                x, images = _side_by_side(x.unflatten(2, module.unflattened_size)), True
            elif isinstance(module, nn.Flatten):
                x, images = (_apart(x, k) if images else x).flatten(2), False
            elif isinstance(module, nn.Linear):
                x = _linear(_apart(x, k) if images else x, get("weight"), get("bias"))
            elif isinstance(module, nn.Conv2d):
                x = _convolve(x, module, get("weight"), get("bias"), k)
            elif isinstance(module, nn.BatchNorm2d):
                x = _normalise(x, link, get("weight"), get("bias"), rows.buffers, training=training)
            elif (activation := activation_of(module)) is not None:
                x = activation.forward(x)
            else:
                x = module(x)  # pooling works on each channel by itself
        return _apart(x, k) if images else x


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """[K, B, C, H, W] -> [B, K C, H, W], channels last."""
    if x.dim() != 5:
        raise DoesNotApply("its convolutions do not see images [B, C, H, W]")
    return x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _apart(x: torch.Tensor, k: int) -> torch.Tensor:
    """[B, K C, H, W] -> [K, B, C, H, W]."""
    return x.unflatten(1, (k, -1)).transpose(0, 1)


def _linear(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    assert weight is not None
    if x.dim() != 3:
        raise DoesNotApply("a linear layer sees more than two dimensions")
    transposed = weight.transpose(1, 2)
    return torch.bmm(x, transposed) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, transposed)


def _convolve(
    x: torch.Tensor, module: nn.Conv2d, weight: torch.Tensor | None, bias: torch.Tensor | None, k: int
) -> torch.Tensor:
    assert weight is not None
    flat = None if bias is None else bias.flatten()
    return F.conv2d(x, weight.flatten(0, 1), flat, module.stride, module.padding, module.dilation, groups=k)


def _normalise(
    x: torch.Tensor,
    link: Link,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    buffers: dict[str, torch.Tensor],
    *,
    training: bool,
) -> torch.Tensor:
    """Batch normalisation of all lanes' channels; running statistics are updated in place."""
    module = link.module
    assert isinstance(module, nn.BatchNorm2d) and weight is not None and bias is not None
    mean, variance = (buffers[f"{link.prefix}running_{name}"].flatten() for name in ("mean", "var"))
    training = training and module.training  # a frozen one stays as it is
    if training:
        buffers[f"{link.prefix}num_batches_tracked"].add_(1)
    momentum = 0.0 if module.momentum is None else module.momentum
    return F.batch_norm(x, mean, variance, weight.flatten(), bias.flatten(), training, momentum, module.eps)
