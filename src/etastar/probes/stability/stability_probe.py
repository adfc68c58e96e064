"""`StabilityProbe`: looks at a network on a kept batch, and says by how much two looks differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from etastar.arguments import shown
from etastar.core.batch import Batch, map_tensors
from etastar.core.objective import check_scalar, split, without_graph
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.traceless import traceless
from etastar.errors import ProblemError, call
from etastar.probes.stability.blocks import blocks_of, unwrapped
from etastar.probes.stability.change import Stability, change_of, divergence
from etastar.probes.stability.look import StabilityLook, log_probabilities
from etastar.probes.stability.passes import Pass, passes_through, weights_of
from etastar.probes.stability.split import splits
from etastar.probes.wide import wide, widened

Gradients = dict[str, list[torch.Tensor]]


class StabilityProbe:
    """Reads how much training changes what each block b of a network says (h_b) and is told (d_b = d loss / d h_b),

        A_b = |h_b - h_b0| / |h_b0|,    B_b = |d_b - d_b0| / |d_b0|,    F = mean KL(p || p_0),

    on a batch that is kept. A look is one forward and one backward pass: in float32 whatever training uses, under the same
    masks each time, in the modes that modules were in when the probe was made. It leaves parameters, `.grad`, buffers,
    modes and random state bit-identical; at the same weights A = B = F = 0 exactly.

    Args:
        model: any module; compiled and distributed ones are unwrapped.
        batch: (inputs, targets), or any batch for `loss_fn`; a copy is kept.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.
        blocks: names or globs of modules; None: automatic, see `blocks_of`.
        gradients: read B and the weights' gradients, too; without, a look is one forward pass.
        split: also by which route a block changed, see `Split`; takes the weights' memory once more, and about three
            passes a comparison.
        seed: of the masks.

    Raises:
        ProblemError: neither or both of `loss` and `loss_fn`, or a block that does not exist.

    >>> net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> probe = StabilityProbe(net, (torch.ones(4, 1).double(), torch.zeros(4, 1).double()), loss=nn.functional.mse_loss)
    >>> before = probe.look()
    >>> _ = net.weight.data.mul_(1.5)
    >>> [(round(b.forward, 12), round(b.backward, 12)) for b in probe.change(before, probe.look()).blocks]
    [(0.5, 0.5)]
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        *,
        loss: Callable[[Any, Any], torch.Tensor] | None = None,
        loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None,
        blocks: str | Sequence[str] | None = None,
        gradients: bool = True,
        split: bool = False,
        seed: int = 0,
    ) -> None:
        if (loss is None) == (loss_fn is None):
            raise ProblemError("expected exactly one of loss(outputs, targets) and loss_fn(model, batch)")
        if not isinstance(model, nn.Module):
            raise ProblemError(f"a StabilityProbe got {shown(model)}; expected an nn.Module")
        self.model, self.gradients, self.split = unwrapped(model), gradients, split
        self.blocks = {name: self.model.get_submodule(name) for name in blocks_of(self.model, blocks)}
        self._batch = wide(map_tensors(lambda t: t.detach().clone(), batch))
        self._loss, self._loss_fn, self._seed = loss, loss_fn, seed
        self._modes = {module: module.training for module in self.model.modules()}

    def look(self, *, step: int = 0, rate: float = math.nan) -> StabilityLook:
        """The network as it is.

        Args:
            step: optimizer steps taken, for the record.
            rate: in use, for the record.

        Raises:
            ProblemError: a block returns no tensor, or gradients are read of a loss that has none.
        """
        with self._still():
            seen, gradients, loss, log_p = self._pass() if self.gradients else without_graph(self._pass)
            weights = {name: weights_of(own) for name, own in self.blocks.items()} if self.split else {}
        return StabilityLook(step, rate, loss, seen, gradients, weights, log_p)

    def change(self, before: StabilityLook, after: StabilityLook) -> Stability:
        """By how much `after` differs from `before`.

        Raises:
            ProblemError: one of them has no gradients where this probe reads them.
        """
        if self.gradients and not (before.has_gradients and after.has_gradients):
            raise ProblemError("a look has no gradients, and B is asked for; expected looks of a probe with gradients=True")
        blocks = change_of(before, after)
        if self.split:
            with self._still():
                parts = splits(self.blocks, before, after)
            blocks = tuple(replace(block, split=parts.get(block.name)) for block in blocks)
        kl = divergence(before, after)
        return Stability(after.step, after.step - before.step, after.rate, after.loss, kl, blocks)

    def _pass(self) -> tuple[list[Pass], Gradients, float, torch.Tensor | None]:
        """Passes of the blocks, gradients of their weights, the loss, and log-probabilities where there are any."""
        with passes_through(self.blocks, signals=self.gradients, inputs=self.split) as seen:
            loss, log_p = self._objective()
            if not seen:
                raise ProblemError(
                    f"no block was called, of {', '.join(self.blocks)}; expected blocks the loss runs through"
                )
            signals, gradients = self._backward(loss, seen) if self.gradients else ([None] * len(seen), {})
        passes = [own.without_graph(signal) for own, signal in zip(seen, signals, strict=True)]
        return passes, gradients, float(loss.detach()), log_p

    def _objective(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss on the kept batch, and log-probabilities where there are any."""
        batch, said = map_tensors(lambda t: t.clone(), self._batch), list[Any]()
        hook = self.model.register_forward_hook(lambda module, args, output: said.append(output))
        try:
            if self._loss_fn is not None:
                loss, targets = call("the loss", self._loss_fn, self.model, batch), None
            else:
                assert self._loss is not None
                inputs, targets = split(batch)
                loss = call("the loss", self._loss, call("the model", self.model, inputs), targets)
        finally:
            hook.remove()
        check_scalar(loss)
        return loss.reshape(()), log_probabilities(said[0], targets) if said else None

    def _backward(self, loss: torch.Tensor, seen: Sequence[Pass]) -> tuple[list[torch.Tensor | None], Gradients]:
        """d loss / d output of every pass, d loss / d weights of every block."""
        if not loss.requires_grad:
            raise ProblemError(
                "the loss has no gradient (detached, or computed without gradients), and B is asked for; expected a loss "
                "with its graph, or gradients=False"
            )
        own = {name: [p for p in block.parameters() if p.requires_grad] for name, block in self.blocks.items()}
        wanted = list({id(p): p for ps in own.values() for p in ps}.values())
        found = torch.autograd.grad(loss, [*(one.output for one in seen), *wanted], allow_unused=True)
        at = {id(p): torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found[len(seen) :], strict=True)}
        return list(found[: len(seen)]), {name: [at[id(p)] for p in ps] for name, ps in own.items() if ps}

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Nothing is left behind; the same masks, modes and precision each time; compiled parts run as they are written."""
        compiled = any("_orig_mod" in module._modules for module in self.model.modules())
        eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
        judges = [own for own in (self._loss, self._loss_fn) if own is not None]
        with isolated_randomness(), torch.enable_grad(), widened(self.model), traceless(self.model, *judges), eager:
            for module, training in self._modes.items():
                module.training = training
            seed_everything(derive_seed(self._seed, "mask", 0, 0))
            yield
