"""Second derivatives of a loss as products with vectors on the flat vector of parameters; always reverse over reverse.

The graph of the gradient is built once and differentiated again for each product, which costs 1.5-2 gradients instead of
the 2.5-3 of a fresh graph. Forward mode is never used: it is slower, `F.mse_loss` and `F.huber_loss` do not support it, and
`linearize` of the former ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from etastar.errors import DoesNotApply


@dataclass(frozen=True)
class Curvature:
    """A symmetric matrix known by its products.

    Args:
        product: v -> A v, both [dimension].
        dimension: number of parameters.
        dtype, device: of the vectors.
        gradient: of the loss, where it came with the matrix.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> hessian(x.pow(3).sum(), [x])(torch.tensor([1.0, 0.0]))
    tensor([6., 0.])
    """

    product: Callable[[torch.Tensor], torch.Tensor]
    dimension: int
    dtype: torch.dtype
    device: torch.device
    gradient: torch.Tensor | None = None

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        """A v."""
        return self.product(vector)

    def scaled(self, scale: torch.Tensor) -> Curvature:
        """S A S with S = diag(scale): with scale = D^(-1/2) the symmetric form of D^-1 A, which has its eigenvalues."""
        scale = scale.to(dtype=self.dtype, device=self.device)
        return Curvature(lambda v: scale * self.product(scale * v), self.dimension, self.dtype, self.device)


def flat(tensors: Sequence[torch.Tensor | None], like: Sequence[torch.Tensor]) -> torch.Tensor:
    """Tensors one after the other as a vector; None is zero."""
    parts = [torch.zeros_like(p) if t is None else t for t, p in zip(tensors, like, strict=True)]
    return torch.cat([(t.to_dense() if t.is_sparse else t).detach().reshape(-1) for t in parts])


def unflat(vector: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The vector cut into tensors shaped as `like`."""
    pieces = vector.split([p.numel() for p in like])
    return [piece.view(p.shape) for piece, p in zip(pieces, like, strict=True)]


def hessian(loss: torch.Tensor, parameters: Sequence[torch.Tensor]) -> Curvature:
    """H = d^2 loss / d parameters^2.

    Raises:
        DoesNotApply: torch has no second derivative of an operation in the loss (raised by the first product).
    """
    _refuse_once_differentiable(loss)
    gradient = _gradient(loss, parameters)
    rows = [i for i, g in enumerate(gradient) if g.requires_grad]  # a gradient that is constant has no curvature
    terms = [gradient[i] for i in rows]

    def product(v: torch.Tensor) -> torch.Tensor:
        if not rows:
            return torch.zeros_like(v)
        parts = unflat(v, parameters)
        return flat(_again(terms, parameters, [parts[i] for i in rows]), parameters)

    return _curvature(product, parameters, flat(gradient, parameters))


def mean(parts: Sequence[Curvature]) -> Curvature:
    """(A_1 + ... + A_n) / n.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> mean([hessian(x.pow(3).sum(), [x]), hessian(x.pow(2).sum(), [x])])(torch.tensor([1.0, 0.0]))
    tensor([4., 0.])
    """
    first = parts[0]
    product = lambda v: torch.stack([part(v) for part in parts]).mean(0)
    return first if len(parts) == 1 else Curvature(product, first.dimension, first.dtype, first.device)


def gauss_newton(
    outputs: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], parameters: Sequence[torch.Tensor]
) -> Curvature:
    """J' H_out J, with J = d outputs / d parameters and H_out = d^2 loss / d outputs^2.

    J v comes from differentiating J' w, which is linear in w, with respect to w: two reverse passes, both cached.

    Args:
        outputs: of the model, with their graph.
        loss: outputs -> scalar.
    """
    _refuse_once_differentiable(outputs)
    leaf = outputs.detach().requires_grad_(True)
    (slope,) = _gradient(loss(leaf), [leaf])
    dummy = torch.zeros_like(outputs, requires_grad=True)
    try:
        pulled = torch.autograd.grad(outputs, parameters, dummy, create_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise DoesNotApply(f"torch has no second derivative of this loss: {_first_line(error)}") from error
    rows = [i for i, t in enumerate(pulled) if t is not None and t.requires_grad]
    terms = [pulled[i] for i in rows]

    def product(v: torch.Tensor) -> torch.Tensor:
        if not rows or not slope.requires_grad:
            return torch.zeros_like(v)
        parts = unflat(v, parameters)
        (pushed,) = _again(terms, [dummy], [parts[i] for i in rows])
        (bent,) = _again([slope], [leaf], [pushed])
        return flat(_again([outputs], parameters, [bent]), parameters)

    return _curvature(product, parameters)


def _curvature(
    product: Callable[[torch.Tensor], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    gradient: torch.Tensor | None = None,
) -> Curvature:
    size = sum(p.numel() for p in parameters)
    return Curvature(product, size, parameters[0].dtype, parameters[0].device, gradient)


def _gradient(loss: torch.Tensor, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    try:
        gradient = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise DoesNotApply(f"torch has no second derivative of this loss: {_first_line(error)}") from error
    if any(g.is_sparse for g in gradient):
        raise DoesNotApply("a sparse gradient cannot be differentiated again; use dense embeddings")
    return gradient


def _refuse_once_differentiable(value: torch.Tensor) -> None:
    """A custom function whose gradient has no graph looks like one without curvature: torch only objects in some places."""
    seen, stack = set(), [value.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(node, "_forward_cls", None)
        if function is not None and hasattr(function.backward, "__wrapped__"):
            raise DoesNotApply(f"torch has no second derivative of this loss: {function.__name__} is once differentiable")
        stack += [parent for parent, _ in node.next_functions]


def _again(
    terms: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], vectors: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    try:
        return torch.autograd.grad(terms, inputs, vectors, retain_graph=True, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise DoesNotApply(f"torch has no second derivative of this loss: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
