"""Recognise a chain: a network whose layers follow one another, known layers all, whatever class it is written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from etastar.errors import DoesNotApply

aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An elementwise function: a = forward(z); dz = backward(da, z, a)."""

    forward: Callable[[torch.Tensor], torch.Tensor]
    backward: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


RELU = Activation(torch.relu, lambda da, z, a: aten.threshold_backward(da, a, 0))
ACTIVATIONS: dict[Any, Activation] = {
    nn.ReLU: RELU,
    nn.Tanh: Activation(torch.tanh, lambda da, z, a: aten.tanh_backward(da, a)),
    nn.Sigmoid: Activation(torch.sigmoid, lambda da, z, a: aten.sigmoid_backward(da, a)),
    nn.SiLU: Activation(F.silu, lambda da, z, a: aten.silu_backward(da, z)),
}
GELUS = {kind: Activation(*_pair) for kind, _pair in {
    approximate: (
        lambda z, approximate=approximate: F.gelu(z, approximate=approximate),
        lambda da, z, a, approximate=approximate: aten.gelu_backward(da, z, approximate=approximate),
    )
    for approximate in ("none", "tanh")
}.items()}  # fmt: skip
FUNCTIONS: dict[Any, type[nn.Module]] = {
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    F.silu: nn.SiLU,
}
METHODS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Unflatten, nn.GELU)


@dataclass(frozen=True)
class Link:
    """One layer of a chain: the module (whose settings count, not its weights) and the prefix of its parameters."""

    module: nn.Module
    prefix: str


def chain_of(model: nn.Module) -> list[Link]:
    """The layers of `model` in order.

    Raises:
        DoesNotApply: it is not a chain of the layers known here.
    """
    if any(_hooks(module) for module in model.modules()):
        raise DoesNotApply("a module has hooks")
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # tracing runs the user's forward on proxies: anything may happen
        raise DoesNotApply("its forward cannot be traced") from error
    links: list[Link] = []
    last: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "output":
            if node.args[0] is not last:
                raise DoesNotApply("its output is not its last layer's")
            continue
        if node.op == "placeholder":
            if last is not None:
                raise DoesNotApply("it takes several inputs")
        elif not node.args or node.args[0] is not last or len(node.all_input_nodes) != 1:
            raise DoesNotApply("its layers do not follow one another")
        else:
            links.append(_link(model, node))
        last = node
    prefixes = [link.prefix for link in links if list(link.module.parameters())]
    if len(set(prefixes)) != len(prefixes):
        raise DoesNotApply("a layer is used twice")
    known = {link.prefix + name for link in links for name, _ in link.module.named_buffers()}
    if unknown := [name for name, _ in model.named_buffers() if name not in known]:
        raise DoesNotApply(f"its buffer {unknown[0]} belongs to no layer known here")
    return [link for link in links if not isinstance(link.module, nn.Identity)]


def _link(model: nn.Module, node: fx.Node) -> Link:
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if type(module) is nn.Dropout and module.p == 0:
            module = nn.Identity()
        known = type(module) in LAYERS or type(module) in ACTIVATIONS or type(module) is nn.Identity
        if known and len(node.args) == 1 and not node.kwargs and _plain(module):
            return Link(module, f"{node.target}.")
        raise DoesNotApply(f"layer {type(module).__name__} has no lane version")
    if node.op in ("call_function", "call_method"):
        found = FUNCTIONS.get(node.target) if node.op == "call_function" else METHODS.get(str(node.target))
        if found is not None and len(node.args) == 1 and node.kwargs.get("inplace", False) is False:
            return Link(found(), "")
        is_flatten = node.target is torch.flatten or node.target == "flatten"
        if is_flatten and node.args[1:] == (1,) and not node.kwargs:
            return Link(nn.Flatten(), "")
    name = getattr(node.target, "__name__", node.target)
    raise DoesNotApply(f"operation {name} has no lane version")


def _plain(module: nn.Module) -> bool:
    """Whether the layer's settings are those its lane version knows."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    if isinstance(module, nn.BatchNorm2d):
        return module.momentum is not None and module.affine and module.track_running_stats
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if isinstance(module, nn.Unflatten):
        return module.dim == 1 and isinstance(module.unflattened_size, tuple) and _are_ints(module.unflattened_size)
    if isinstance(module, nn.MaxPool2d):
        return not module.return_indices
    return True


def _are_ints(values: tuple[Any, ...]) -> bool:
    return all(isinstance(v, int) and v > 0 for v in values)


def activation_of(module: nn.Module) -> Activation | None:
    """The activation a module is, if it is one."""
    if isinstance(module, nn.GELU):
        return GELUS[module.approximate]
    return ACTIVATIONS.get(type(module))


def _hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks)
