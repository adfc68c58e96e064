"""`Point`: a model at its parameters, a batch and an optimizer: what a probe reads, and leaves bit-identical."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from etastar.core.batch import Batch, tensors_in
from etastar.core.groups import MAXIMISES
from etastar.core.objective import split, without_graph
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.traceless import twice_differentiable
from etastar.errors import DoesNotApply, ProblemError, as_problem, call
from etastar.theory.curvature import Curvature, flat, gauss_newton, hessian


@dataclass(kw_only=True, eq=False)
class Point:
    """Where a probe reads: parameters, batch, loss, and the optimizer that would take the next step.

    The model stays in the mode it is in. Every forward pass draws the same masks and sees the same buffers, and no pass
    leaves a trace: parameters, buffers, `.grad`, optimizer state and random state are bit-identical afterwards.

    Args:
        model: with its parameters.
        optimizer: of the model, at any step; its default rate is "your rate", groups keep their ratios to it.
        batch: (inputs, targets), or any batch for `loss_fn`.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.
        clip_grad_norm: maximum global gradient norm before the optimizer steps.
        seed: of the masks and of random directions.

    Raises:
        ProblemError: neither or both of `loss` and `loss_fn`, or the optimizer trains nothing of this model.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Batch
    loss: Callable[[Any, Any], torch.Tensor] | None = None
    loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None
    clip_grad_norm: float | None = None
    seed: int = 0
    _gradients: list[torch.Tensor | None] | None = field(init=False, default=None, repr=False)
    _hessian: Curvature | None = field(init=False, default=None, repr=False)
    _versions: list[int] = field(init=False, default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if (self.loss is None) == (self.loss_fn is None):
            raise ProblemError("expected exactly one of loss(outputs, targets) and loss_fn(model, batch)")
        default = self.optimizer.defaults.get("lr")
        if default is None or not float(default) > 0:
            raise ProblemError(f"the optimizer's default lr is {default!r}; expected a number > 0")
        if not self.parameters:
            raise ProblemError("the optimizer has no trainable parameter (requires_grad and lr > 0); unfreeze at least one")

    @property
    def lr(self) -> float:
        """The optimizer's default rate."""
        return float(self.optimizer.defaults["lr"])

    @property
    def stepped(self) -> list[torch.Tensor]:
        """Every parameter that gets a gradient, those of rate 0 included: clipping counts them."""
        found = {id(p): p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad}
        return list(found.values())

    @property
    def parameters(self) -> list[torch.Tensor]:
        """The trainable parameters, in the optimizer's order; the flat vectors of all probes follow it."""
        moving = {id(p) for group in self.optimizer.param_groups if float(group["lr"]) > 0 for p in group["params"]}
        return [p for p in self.stepped if id(p) in moving]

    @property
    def names(self) -> list[str]:
        """The name of each of `parameters` in the model."""
        known = {id(p): name for name, p in self.model.named_parameters()}
        return [known.get(id(p), f"parameter_{i}") for i, p in enumerate(self.parameters)]

    @property
    def multipliers(self) -> torch.Tensor:
        """The group rate of each coordinate as a multiple of the default rate, [dimension]."""
        of = {id(p): float(g["lr"]) / self.lr for g in self.optimizer.param_groups for p in g["params"]}
        return torch.cat([torch.full((p.numel(),), of[id(p)], dtype=p.dtype, device=p.device) for p in self.parameters])

    @property
    def refusal(self) -> str | None:
        """Why no probe can read here; None where they can."""
        if any(p.is_complex() for p in self.stepped):
            return "it has complex parameters, and probes read real ones; hold real and imaginary parts in real parameters"
        return MAXIMISES if any(group.get("maximize") for group in self.optimizer.param_groups) else None

    @property
    def samples(self) -> int:
        """Length of the batch's tensors along their first dimension; 1 where there is none."""
        lengths = [len(t) for t in tensors_in(self.batch) if t.dim() > 0]
        return lengths[0] if lengths else 1

    @property
    def loss_name(self) -> str:
        """What the loss is called; its setting where it says one."""
        loss = self.loss or self.loss_fn
        name = getattr(loss, "__name__", type(loss).__name__)
        return "your loss" if name == "<lambda>" else name

    def value(self, batch: Batch = None) -> float:
        """The loss, without a graph; NaN and inf are returned as they are."""
        return float(without_graph(self.objective, batch).detach())

    def gradients(self, batch: Batch = None) -> list[torch.Tensor | None]:
        """d loss / d p for each of `stepped`; None where p is not used. Those of the whole batch are kept."""
        if batch is not None:
            return self._gradients_of(batch)
        self._notice_training()
        if self._gradients is None:
            self._gradients = self._gradients_of(self.batch)
        return self._gradients

    def gradient(self, batch: Batch = None) -> torch.Tensor:
        """The gradient as a vector [dimension], before clipping.

        Raises:
            DoesNotApply: it is not finite, or there is none.
        """
        at = {id(p): g for p, g in zip(self.stepped, self.gradients(batch), strict=True)}
        vector = flat([at[id(p)] for p in self.parameters], self.parameters)
        if not torch.isfinite(vector).all():
            raise DoesNotApply("the gradient is not finite")
        return vector

    def hessian(self) -> Curvature:
        """The Hessian of the loss; its graph is kept until a parameter is written to."""
        self._notice_training()
        if self._hessian is None:
            self._hessian = hessian(self._differentiable(self.objective()), self.parameters)
        return self._hessian

    def gauss_newton(self) -> Curvature:
        """The Gauss-Newton matrix of the loss; it needs `loss`, because `loss_fn` hides the outputs."""
        if self.loss is None:
            raise DoesNotApply("the Gauss-Newton matrix needs loss(outputs, targets); loss_fn hides the outputs")
        loss = self.loss
        with self._forward():
            inputs, targets = split(self.batch)
            outputs = call("the model", self.model, inputs)
            if not isinstance(outputs, torch.Tensor):
                raise DoesNotApply(
                    f"the Gauss-Newton matrix needs one tensor of outputs; the model returns a {_kind(outputs)}"
                )
            self._differentiable(outputs)
            return gauss_newton(outputs, lambda z: call("the loss", loss, z, targets).reshape(()), self.parameters)

    def put_back(self) -> None:
        """To be called when a probe has written to the parameters and put them back: torch refuses the old graph then."""
        self._hessian = None
        self._versions = [p._version for p in self.stepped]

    def _notice_training(self) -> None:
        """Forget what was kept when someone else has moved the parameters."""
        versions = [p._version for p in self.stepped]
        if versions != self._versions:
            self._gradients, self._hessian, self._versions = None, None, versions

    def _gradients_of(self, batch: Batch) -> list[torch.Tensor | None]:
        loss = self._differentiable(self.objective(batch))
        try:
            return list(torch.autograd.grad(loss, self.stepped, allow_unused=True))
        except RuntimeError as error:
            if (problem := as_problem(error)) is not None:
                raise problem from error
            raise DoesNotApply(f"torch has no gradient of this loss: {str(error).strip().splitlines()[0]}") from error

    def objective(self, batch: Batch = None) -> torch.Tensor:
        """The loss with its graph."""
        batch = self.batch if batch is None else batch
        with self._forward():
            if self.loss_fn is not None:
                loss = call("the loss", self.loss_fn, self.model, batch)
            else:
                inputs, targets = split(batch)
                assert self.loss is not None
                loss = call("the loss", self.loss, call("the model", self.model, inputs), targets)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or loss.is_complex():
            raise ProblemError(f"the loss is {_kind(loss)}; expected a real scalar: reduce it, e.g. reduction='mean'")
        return loss.reshape(())

    def model_outputs(self, inputs: Any) -> Any:
        """What the model says of `inputs`, leaving no trace."""
        with self._forward():
            return call("the model", self.model, inputs)

    @staticmethod
    def _differentiable(value: torch.Tensor) -> torch.Tensor:
        if not value.requires_grad:
            raise DoesNotApply(
                "the loss does not depend on any trainable parameter (detached, or computed without gradients)"
            )
        return value

    @contextmanager
    def _forward(self) -> Iterator[None]:
        """The same masks each time; buffers, modes and the loss's state as before; attention with second derivatives."""
        seed_everything(derive_seed(self.seed, "mask", 0, 0))
        with twice_differentiable(self.model, self.loss, self.loss_fn):
            yield


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
