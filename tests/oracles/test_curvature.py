"""Matrix-vector products against matrices written out: Hessian, Gauss-Newton, preconditioned; and torch's traps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.errors import DoesNotApply
from etastar.theory.curvature import Curvature, flat, gauss_newton, hessian, unflat


def dense(curvature: Curvature) -> torch.Tensor:
    return torch.stack([curvature(e) for e in torch.eye(curvature.dimension, dtype=curvature.dtype)])


def torch_hessian(loss_of, parameters) -> torch.Tensor:
    """By torch's own functional API, row by row."""
    start = flat(parameters, parameters)
    return torch.autograd.functional.hessian(lambda v: loss_of(unflat(v, parameters)), start)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, 4, generator=generator, dtype=torch.float64), torch.randint(3, (7,), generator=generator)


def call_with(net, parameters, x):
    names = [name for name, _ in net.named_parameters()]
    return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))


REGRESSION = {
    "mse_loss": F.mse_loss,
    "huber_loss": F.huber_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "binary_cross_entropy_with_logits": lambda z, y: F.binary_cross_entropy_with_logits(z, y.sigmoid()),
    "gaussian_nll_loss": lambda z, y: F.gaussian_nll_loss(z, y, torch.ones_like(z)),
}


@pytest.mark.parametrize("name", REGRESSION)
def test_losses_that_forward_mode_cannot_do(name, net, batch):
    """F.mse_loss raises or ends the process under forward-over-reverse, F.huber_loss has no forward mode at all."""
    x, y = batch[0], torch.randn(7, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parameters = list(net.parameters())
    h = dense(hessian(REGRESSION[name](net(x), y), parameters))
    expected = torch_hessian(lambda p: REGRESSION[name](call_with(net, p, x), y), parameters)
    assert torch.allclose(h, expected, rtol=1e-9, atol=1e-12)
    assert torch.allclose(h, h.mT, atol=1e-12)
    assert float(h.abs().max()) > 0.01


def test_cross_entropy_and_repeated_products_of_one_graph(net, batch):
    x, y = batch
    parameters = list(net.parameters())
    matrix = hessian(F.cross_entropy(net(x), y), parameters)
    expected = torch_hessian(lambda p: F.cross_entropy(call_with(net, p, x), y), parameters)
    assert torch.allclose(dense(matrix), expected, atol=1e-12)
    v = torch.randn(matrix.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.equal(matrix(v), matrix(v))


@pytest.mark.parametrize("loss", [F.cross_entropy, lambda z, y: F.mse_loss(z, F.one_hot(y, 3).double())], ids=["ce", "mse"])
def test_gauss_newton_is_j_transposed_h_j(loss, net, batch):
    x, y = batch
    parameters = list(net.parameters())
    z = net(x)
    jacobian = torch.stack([flat(torch.autograd.grad(o, parameters, retain_graph=True), parameters) for o in z.reshape(-1)])
    h_out = torch.autograd.functional.hessian(lambda o: loss(o.view_as(z), y), z.detach().reshape(-1))
    g = dense(gauss_newton(net(x), lambda o: loss(o, y), parameters))
    assert torch.allclose(g, jacobian.mT @ h_out @ jacobian, rtol=1e-9, atol=1e-12)
    assert float(torch.linalg.eigvalsh(g)[0]) >= -1e-12


def test_the_preconditioned_matrix_has_the_eigenvalues_of_p_inverse_h(net, batch):
    x, y = batch
    parameters = list(net.parameters())
    matrix = hessian(F.cross_entropy(net(x), y), parameters)
    inverse = torch.rand(matrix.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) + 0.1
    scaled = dense(matrix.scaled(inverse.sqrt()))
    plain = torch.linalg.eigvals(inverse[:, None] * dense(matrix)).real.sort().values
    assert torch.allclose(torch.linalg.eigvalsh(scaled), plain, atol=1e-9)


def test_attention_needs_its_form_with_second_derivatives():
    """The fused CPU kernel has none: the refusal says so, and the form a `Point` asks for works (test_point.py)."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 3, 8)
    parameters = list(layer.parameters())
    with pytest.raises(DoesNotApply, match="no second derivative"):
        hessian(layer(x, x, x, need_weights=False)[0].square().sum(), parameters)(
            torch.ones(flat(parameters, parameters).shape)
        )


def test_parameters_that_are_not_used_or_only_linear_have_no_curvature():
    a, b, c = (nn.Parameter(torch.ones(2)) for _ in range(3))
    matrix = hessian(a.square().sum() + b.sum(), [a, b, c])
    assert torch.equal(dense(matrix), torch.diag(torch.tensor([2.0, 2.0, 0.0, 0.0, 0.0, 0.0])))
    assert torch.equal(dense(hessian(b.sum(), [b])), torch.zeros(2, 2))


def test_what_torch_cannot_differentiate_twice_is_a_refusal():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.square().sum()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            return 2 * grad * ctx.saved_tensors[0]

    a = nn.Parameter(torch.ones(2))
    with pytest.raises(DoesNotApply, match="Once is once differentiable"):
        hessian(Once.apply(a), [a])(torch.ones(2))


def test_a_sparse_gradient_is_a_refusal():
    table = nn.Embedding(4, 2, sparse=True)
    with pytest.raises(DoesNotApply, match="sparse"):
        hessian(table(torch.tensor([1, 2])).square().sum(), [table.weight])(torch.ones(8))
