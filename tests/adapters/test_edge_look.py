"""`EdgeLook`: its number against a dense Hessian, and that nobody notices it."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.adapters.edge_look import FLOOR, EdgeLook, EdgeRatio
from etastar.errors import DoesNotApply, ProblemError

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(24, 5, generator=GENERATOR), torch.randint(3, (24,), generator=GENERATOR)


def net(*extra: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), *extra, nn.Tanh(), nn.Linear(4, 3))


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X.to(next(model.parameters()))), Y).backward()
        optimizer.step()


def dense(model: nn.Module) -> torch.Tensor:
    """The Hessian of the loss on all of X, by torch's own function."""
    names = [name for name, _ in model.named_parameters()]
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = [t.view(shape) for t, shape in zip(flat.split(sizes), shapes, strict=True)]
        return F.cross_entropy(torch.func.functional_call(model, dict(zip(names, parts, strict=True)), (X.to(flat),)), Y)

    return torch.autograd.functional.hessian(loss, torch.cat([p.detach().reshape(-1) for p in model.parameters()]))


def test_under_sgd_it_is_rate_times_lambda1_over_the_edge_of_its_momentum():
    model = net().double()
    groups = [{"params": model[0].parameters(), "lr": 0.3}, {"params": model[2].parameters()}]
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    rates = torch.cat(
        [torch.full((p.numel(),), 0.3 if p in set(model[0].parameters()) else 0.1) for p in model.parameters()]
    )
    root = rates.double().sqrt()
    truth = torch.linalg.eigvalsh(root[:, None] * dense(model) * root)[-1] / (2 * 1.9)
    look = EdgeLook(sgd, model, lambda: F.cross_entropy(model(X.double()), Y), products=30)
    edge = look()
    assert edge.top == pytest.approx(float(truth), rel=1e-2)
    assert edge.along == pytest.approx(along(root, dense(model), slope_of(model)) / (2 * 1.9), rel=1e-6)


def slope_of(model: nn.Module) -> torch.Tensor:
    slopes = torch.autograd.grad(F.cross_entropy(model(X.double()), Y), list(model.parameters()))
    return torch.cat([g.reshape(-1) for g in slopes])


def along(root: torch.Tensor, bent: torch.Tensor, slope: torch.Tensor) -> float:
    """The Rayleigh quotient of R^1/2 H R^1/2 along R^1/2 g."""
    d = root * slope
    return float(d @ (root[:, None] * bent * root) @ d / (d @ d))


@pytest.mark.parametrize("amsgrad", [False, True])
def test_under_adam_the_hessian_is_preconditioned_by_the_second_moment(amsgrad):
    model = net().double()
    adam = torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=amsgrad)
    trained(model, adam)
    name = "max_exp_avg_sq" if amsgrad else "exp_avg_sq"
    square, slope = torch.cat([adam.state[p][name].reshape(-1) for p in model.parameters()]), slope_of(model)
    size = ((0.999 * square + 0.001 * slope**2) / (1 - 0.999**6)).sqrt()
    lowest = FLOOR * size.square().mean().sqrt()
    assert (size < lowest).any()
    root = (0.01 / (torch.maximum(size, lowest) + 1e-8)).sqrt()
    truth = torch.linalg.eigvalsh(root[:, None] * dense(model) * root)[-1] / 38
    edge = EdgeLook(adam, model, lambda: F.cross_entropy(model(X.double()), Y), products=30)()
    assert edge.top == pytest.approx(float(truth), rel=1e-2)
    assert edge.along == pytest.approx(along(root, dense(model), slope) / 38, rel=1e-5)


def test_before_adams_first_step_the_second_moment_is_that_of_the_kept_batch():
    x = nn.Parameter(torch.tensor([1.0, 2.0]))
    adam = torch.optim.Adam([x], lr=0.5)
    h = torch.tensor([4.0, 1.0])  # the gradient is h x: 4 and 2; so P^-1 H is diag(4 / 4, 1 / 2)
    look = EdgeLook(adam, nn.ParameterList([x]), lambda: 0.5 * (h * x**2).sum())
    assert look().top == pytest.approx(0.5 * 1.0 / 38, rel=1e-5)


def test_four_warm_products_follow_a_curvature_that_moves():
    model = net().double()
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    look = EdgeLook(sgd, model, lambda: F.cross_entropy(model(X.double()), Y))
    for _ in range(4):
        look()
        trained(model, sgd, 10)
    truth = 0.5 * torch.linalg.eigvalsh(dense(model))[-1] / 2
    assert look().top == pytest.approx(float(truth), rel=0.03)


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_a_training_goes_on_bit_for_bit_as_if_nobody_had_looked(kind):
    def train(*, looking: bool) -> list[torch.Tensor]:
        model = net(nn.BatchNorm1d(4), nn.Dropout(0.3))
        optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.05)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(2)
        look = EdgeLook(optimizer, model, lambda: F.cross_entropy(model(X), Y))
        drawn = []
        for step in range(6):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            if looking:
                grads = [p.grad.clone() for p in model.parameters()]
                if step == 3:
                    model[1].eval()
                look()
                assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
                assert [m.training for m in model] == [True, step != 3, True, True, True]
                model.train()
            optimizer.step()
            drawn.append(torch.tensor([random.random(), np.random.rand()]))
        slots = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
        return [*(p.detach() for p in model.parameters()), *model.buffers(), *slots, *drawn, torch.rand(3)]

    assert all(torch.equal(a, b) for a, b in zip(train(looking=True), train(looking=False), strict=True))


def test_a_look_sees_the_same_masks_each_time_and_no_autocast():
    model = net(nn.Dropout(0.5))
    seen = []
    model[0].register_forward_hook(lambda *given: seen.append(given[-1].dtype))
    look = EdgeLook(torch.optim.SGD(model.parameters(), lr=0.1), model, lambda: F.cross_entropy(model(X), Y), products=40)
    with torch.autocast("cpu", torch.bfloat16):
        assert look().top == pytest.approx(look().top, rel=1e-3)
    assert seen == [torch.float32] * 2


def test_a_rate_of_zero_is_no_edge_and_a_loss_that_is_not_finite_none_at_all():
    x = nn.Parameter(torch.ones(2))
    sgd = torch.optim.SGD([x], lr=0.1)
    sgd.param_groups[0]["lr"] = 0.0
    assert EdgeLook(sgd, nn.ParameterList([x]), lambda: (x**2).sum())() == EdgeRatio(0.0, 0.0)
    assert np.isnan(EdgeLook(sgd, nn.ParameterList([x]), lambda: (x / 0).square().sum())().top)


def test_what_has_no_edge_is_refused():
    model = net()
    loss = lambda: F.cross_entropy(model(X), Y)
    with pytest.raises(DoesNotApply, match="the edge of Adagrad is not known"):
        EdgeLook(torch.optim.Adagrad(model.parameters()), model, loss)
    narrow = copy.deepcopy(model).bfloat16()
    with pytest.raises(DoesNotApply, match=r"float32 or wider, not torch\.bfloat16"):
        EdgeLook(torch.optim.SGD(narrow.parameters(), lr=0.1), narrow, loss)
    with pytest.raises(ProblemError, match=r"the loss has shape \(24,\)"):
        EdgeLook(
            torch.optim.SGD(model.parameters(), lr=0.1), model, lambda: F.cross_entropy(model(X), Y, reduction="none")
        )()
