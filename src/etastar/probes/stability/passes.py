"""One pass of a block: what it was given, what it said, and how to have it say that again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from etastar.arguments import PLAIN
from etastar.core.batch import Batch, map_tensors, tensors_in
from etastar.errors import ProblemError

Given = tuple[Any, Any, Any]
"""(args, kwargs, random state at its entry) of a call."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One call of a block.

    Args:
        name: of the block; its second call is `name#1`.
        block: its name alone.
        output: the first floating-point tensor it returned.
        signal: d loss / d output; None where it is not read, or the loss does not depend on it.
        given: None where it is not kept, or holds an object that the block may write to (a cache of keys and values).
    """

    name: str
    block: str
    output: torch.Tensor
    signal: torch.Tensor | None = None
    given: Given | None = None

    def without_graph(self, signal: torch.Tensor | None = None) -> Pass:
        """As it is kept, with what it was told."""
        return replace(self, output=self.output.detach(), signal=signal)


@contextmanager
def passes_through(blocks: Mapping[str, nn.Module], *, signals: bool, inputs: bool) -> Iterator[list[Pass]]:
    """The passes of `blocks` inside, in the order in which they end. The backward pass has to be done inside as well.

    A block hands on a copy of its output: what comes after it may write to that. Passes during the backward pass
    (activation checkpointing computes a block again) are not listed.

    Args:
        signals: give outputs a place in the graph even where nothing before them is trained.
        inputs: keep what blocks were given.
    """
    seen: list[Pass] = []
    entered: dict[str, list[Given | None]] = {}

    def enter(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        given = each_once(lambda t: t.detach().clone(), (args, kwargs)) if _is_plain((args, kwargs)) else None
        entered.setdefault(name, []).append(given and (*given, random_state()))

    def leave(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        z = spoken(name, output)
        if signals and not z.requires_grad:
            z = z.detach().requires_grad_()
        given = entered[name].pop() if inputs else None
        if not torch._C._current_graph_task_id() >= 0:  # not within a backward pass
            call = sum(one.block == name for one in seen)
            seen.append(Pass(f"{name}#{call}" if call else name, name, z, given=given))
        return _handed_on(output, z)

    hooks = [own.register_forward_hook(partial(leave, name), with_kwargs=True) for name, own in blocks.items()]
    if inputs:
        hooks += [own.register_forward_pre_hook(partial(enter, name), with_kwargs=True) for name, own in blocks.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def spoken(name: str, output: Any) -> torch.Tensor:
    """The first floating-point tensor of what a block returned.

    Raises:
        ProblemError: there is none.
    """
    found = next((t for t in tensors_in(output) if t.is_floating_point()), None)
    if found is None:
        raise ProblemError(
            f"the block {name or 'model'!r} returns a {type(output).__name__} without a tensor of floating-point numbers; "
            "expected one: name other blocks"
        )
    return found


def _handed_on(output: Any, z: torch.Tensor) -> Any:
    """`output` with a copy in the place of its first floating-point tensor."""
    waiting = [z.clone()]
    return map_tensors(lambda t: waiting.pop() if waiting and t.is_floating_point() else t, output)


def each_once(fn: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> Batch:
    """`fn` on every tensor of a batch; where one stands in it twice, so does its image: attention asks `query is key`."""
    images: dict[int, torch.Tensor] = {}
    return map_tensors(lambda t: images[id(t)] if id(t) in images else images.setdefault(id(t), fn(t)), batch)


def _is_plain(given: Any) -> bool:
    """Whether it is tensors, numbers and words all through: asked again, a block is given the same."""
    if isinstance(given, Mapping):
        return all(map(_is_plain, given.values()))
    if isinstance(given, (tuple, list)):
        return all(map(_is_plain, given))
    return isinstance(given, (torch.Tensor, torch.dtype, torch.device, *PLAIN))


def random_state() -> Any:
    """That of the generators that a block draws from."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def weights_of(block: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of its parameters and buffers, by name."""
    return {name: t.detach().clone() for name, t in (*block.named_parameters(), *block.named_buffers())}


def again(
    block: nn.Module, given: Given, weights: Mapping[str, torch.Tensor], signals: Sequence[torch.Tensor] = ()
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """What a block says at `weights` of what it was given, under the same masks; and of each signal J'd at its first input
    that takes a gradient, None where there is none. Call inside `isolated_randomness`.
    """
    args, kwargs, (state, devices) = given
    torch.set_rng_state(state)
    if devices:
        torch.cuda.set_rng_state_all(devices)
    own = {f"block.{name}": t.clone() for name, t in weights.items()}  # a block may write to its statistics
    return torch.func.functional_call(_AskedAgain(block), own, (args, kwargs, signals))


class _AskedAgain(nn.Module):
    """Forward and backward in one call, so that both are at the same weights: a checkpoint computes forward once more."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(
        self, args: Any, kwargs: Any, signals: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        inputs = each_once(lambda t: t.clone().requires_grad_(t.is_floating_point()), (args, kwargs))
        args, kwargs = each_once(lambda t: t.clone(), inputs)  # it may write to its input, too
        z = spoken("", self.block(*args, **kwargs))
        leaves = [t for t in tensors_in(inputs) if t.requires_grad]
        if not leaves or not z.requires_grad:
            return z.detach(), [None] * len(signals)
        back = lambda d: torch.autograd.grad(z, leaves[0], d, retain_graph=True, allow_unused=True)[0]
        return z.detach(), [back(signal) for signal in signals]
