"""One pass of a block: what it was given, what it said, and how to have it say that again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from etastar.core.batch import Batch, map_tensors, tensors_in
from etastar.errors import ProblemError


@dataclass(frozen=True, eq=False)
class Pass:
    """One call of a block.

    Args:
        name: of the block; its second call is `name#1`.
        block: its name alone.
        output: the first floating-point tensor it returned.
        signal: d loss / d output; None where it is not read, or the loss does not depend on it.
        given: (args, kwargs, random state at its entry); None where they are not kept.
    """

    name: str
    block: str
    output: torch.Tensor
    signal: torch.Tensor | None = None
    given: tuple[Any, Any, Any] | None = None

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
    entered: dict[str, list[tuple[Any, Any, Any]]] = {}

    def enter(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        given = each_once(lambda t: t.detach().clone(), (args, kwargs))
        entered.setdefault(name, []).append((*given, random_state()))

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


def random_state() -> Any:
    """That of the generators that a block draws from."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def weights_of(block: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of its parameters and buffers, by name."""
    return {name: t.detach().clone() for name, t in (*block.named_parameters(), *block.named_buffers())}


def again(block: nn.Module, given: tuple[Any, Any, Any], weights: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, Batch]:
    """What a block says at `weights` of what it was given, under the same masks; and the inputs with which it has a graph.

    Call inside `isolated_randomness`.
    """
    args, kwargs, (state, devices) = given
    inputs = each_once(lambda t: t.clone().requires_grad_(t.is_floating_point()), (args, kwargs))
    passed = each_once(lambda t: t.clone(), inputs)  # a block may write to its input
    torch.set_rng_state(state)
    if devices:
        torch.cuda.set_rng_state_all(devices)
    own = {name: t.clone() for name, t in weights.items()}  # and to its statistics
    return spoken("", torch.func.functional_call(block, own, *passed)), inputs
