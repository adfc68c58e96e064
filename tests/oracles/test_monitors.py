"""Monitors against what can be worked out by hand: a quadratic, a linear chain, layers of every kind in a plain loop."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Problem, ProblemError
from etastar.core.randomness import isolated_randomness
from etastar.core.setup import Setup, set_up
from etastar.errors import DoesNotApply
from etastar.probes.monitors.move_monitor import ROUTES, MoveMonitor
from etastar.probes.monitors.norm_monitor import NormMonitor
from etastar.probes.monitors.sharpness_monitor import SharpnessMonitor
from etastar.probes.monitors.stability_monitor import StabilityMonitor
from etastar.probes.stability import StabilityProbe

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)
SPECTRUM = torch.cat([torch.linspace(-3.0, 2.0, 30), torch.tensor([5.0])]).double()


def setup_of(model, optimizer, loss=F.cross_entropy, batch=(X, Y), **settings) -> Setup:
    problem = Problem(model=model, optimizer=optimizer, loss=loss, train=batch, batch_size=len(X), steps=20, **settings)
    with isolated_randomness():
        return set_up(problem, 1)


def descend(setup: Setup, batch, steps: int = 1) -> None:
    """An ordinary loop."""
    for _ in range(steps):
        setup.optimizer.zero_grad()
        setup.problem.loss(setup.model(batch[0]), batch[1]).backward()
        setup.optimizer.step()


class Bowl(nn.Module):
    """f(h) = 1/2 sum h x^2, whose Hessian is diag(h) wherever x is."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones(len(SPECTRUM), dtype=torch.float64))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return 0.5 * (h * self.x.square()).sum()


def bowl(optimizer) -> tuple[Setup, tuple[torch.Tensor, torch.Tensor]]:
    batch = (SPECTRUM[None], torch.zeros(1, dtype=torch.float64))
    problem = Problem(model=Bowl, optimizer=optimizer, loss=lambda z, _: z, train=batch, batch_size=1, steps=20)
    with isolated_randomness():
        return set_up(problem, 1), batch


@pytest.mark.parametrize(
    ("optimizer", "factor"),
    [
        (lambda m: torch.optim.SGD(m.parameters(), lr=0.1), 2.0),
        (lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9), 3.8),
    ],
)
def test_the_sharpness_of_a_quadratic_is_exact_at_every_look_and_its_edge_ratio_follows_the_rate(optimizer, factor):
    setup, batch = bowl(optimizer)
    monitor = SharpnessMonitor(every=5, products=31)
    state = monitor.init(setup, batch)
    for step, lr in enumerate((0.1, 0.05, 0.0, 0.2)):
        setup.set_lr(lr)
        rows, state = monitor.look(step, setup, state)
        found = {name: value for _, name, value in rows}
        assert found["lambda1"] == pytest.approx(5.0, rel=1e-4) and found["bound"] < 0.06
        assert found["edge_ratio"] == pytest.approx(lr * 5.0 / factor, rel=1e-4)
        assert setup.optimizer.param_groups[0]["lr"] == lr
        descend(setup, batch)


def dense_lambda1(model: nn.Module) -> float:
    """From the whole Hessian."""
    names = [name for name, _ in model.named_parameters()]

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), X), Y)

    blocks = torch.autograd.functional.hessian(loss, tuple(model.parameters()))
    rows = [torch.cat([b.reshape(p.numel(), -1) for b in row], 1) for p, row in zip(model.parameters(), blocks, strict=True)]
    return float(torch.linalg.eigvalsh(torch.cat(rows).double())[-1])


def test_a_few_products_from_the_last_eigenvector_follow_a_network_that_trains():
    """What the bound says holds at every look."""
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), SGD)
    monitor = SharpnessMonitor(every=1)
    state = monitor.init(setup, (X, Y))
    errors = []
    for step in range(12):
        ((_, _, value), (_, _, bound), _), state = monitor.look(step, setup, state)
        truth = dense_lambda1(setup.model)
        errors.append(abs(value / truth - 1))
        assert abs(value - truth) <= bound
        descend(setup, (X, Y), 5)
    assert max(errors) < 5e-3 and max(errors[1:]) < 1e-4


def SGD(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda m: torch.optim.Adam(m.parameters(), lr=1e-2),
        lambda m: torch.optim.SGD([{"params": m[0].parameters()}, {"params": m[2].parameters(), "lr": 0.3}], lr=0.1),
    ],
    ids=["Adam", "groups of different rates"],
)
def test_there_is_a_sharpness_but_no_edge_ratio_where_no_edge_is_known(optimizer):
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), optimizer)
    rows, _ = SharpnessMonitor(every=5).look(0, setup, SharpnessMonitor(every=5).init(setup, (X, Y)))
    found = {name: value for _, name, value in rows}
    assert found["lambda1"] > 0 and math.isnan(found["edge_ratio"])


def test_a_rising_loss_that_is_not_finite_has_no_number_and_is_no_refusal():
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 3)), SGD)
    monitor = SharpnessMonitor(every=5)
    first, state = monitor.look(0, setup, monitor.init(setup, (X, Y)))
    with torch.no_grad():
        setup.model[0].weight.mul_(math.inf)
    rows, after = monitor.look(5, setup, state)
    assert math.isfinite(first[0][2]) and math.isnan(rows[0][2]) and after is state


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


def test_a_loss_without_a_second_derivative_is_refused_with_its_reason():
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 3)), SGD, lambda z, y: F.cross_entropy(OnceOnly.apply(z), y))
    monitor = SharpnessMonitor(every=5)
    with pytest.raises(DoesNotApply, match="no second derivative of this loss: OnceOnly is once differentiable"):
        monitor.look(0, setup, monitor.init(setup, (X, Y)))


def test_narrow_types_are_read_in_float32_and_their_memory_is_not_written_to():
    def half() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).bfloat16()

    batch = (X.bfloat16(), Y)
    setup = setup_of(half, SGD, batch=batch)
    wide = copy.deepcopy(setup.model).float()
    before = [(t.data_ptr(), t.clone()) for t in (*setup.model.parameters(), *setup.model.buffers())]
    twin = Setup(wide, torch.optim.SGD(wide.parameters(), lr=0.1, momentum=0.9), setup.groups, problem=setup.problem)
    for monitor in (SharpnessMonitor(every=5), MoveMonitor(every=5)):
        own, _ = monitor.look(0, setup, monitor.init(setup, batch))
        theirs, _ = monitor.look(0, twin, monitor.init(twin, (batch[0].float(), Y)))
        assert [row[:2] for row in own] == [row[:2] for row in theirs]
        assert [row[2] for row in own] == pytest.approx([row[2] for row in theirs], nan_ok=True)
    after = [(t.data_ptr(), t) for t in (*setup.model.parameters(), *setup.model.buffers())]
    assert all(p == q and torch.equal(a, b) for (p, a), (q, b) in zip(before, after, strict=True))
    descend(setup, batch)


def rms(x: torch.Tensor) -> float:
    return math.sqrt(sum(float(v) ** 2 for v in x.reshape(-1)) / x.numel())


def test_a_linear_chains_moves_are_those_of_its_matrices():
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False)), SGD)
    monitor = MoveMonitor(every=4)
    state = monitor.init(setup, (X, Y))
    a_0, b_0 = (layer.weight.detach().clone() for layer in setup.model)
    descend(setup, (X, Y), 4)
    a, b = (layer.weight.detach() for layer in setup.model)
    rows, after = monitor.look(4, setup, state)
    x_0, x = X @ a_0.T, X @ a.T
    by_hand = {
        ("0", "size"): rms(x), ("0", "moved"): rms(x - x_0),
        ("0", "by_weights"): rms(X @ (a - a_0).T), ("0", "by_inputs"): 0,
        ("1", "size"): rms(x @ b.T), ("1", "moved"): rms(x @ b.T - x_0 @ b_0.T),
        ("1", "by_weights"): rms(x @ (b - b_0).T), ("1", "by_inputs"): rms((x - x_0) @ b_0.T),
    }  # fmt: skip
    assert [(block, name) for block, name, _ in rows] == list(by_hand)
    assert {(block, name): value for block, name, value in rows} == pytest.approx(by_hand, rel=1e-4)
    assert after is state and by_hand["1", "by_inputs"] > 0


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


class Attends(nn.Module):
    """A layer called twice, attention without and a recurrent layer with dropout of its own, and a weight of the root."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, 6))
        self.twice = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.memory = nn.GRU(6, 4, num_layers=2, dropout=0.5, batch_first=True)
        self.scaled = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.twice(torch.relu(self.twice(x + self.shift)))[:, None]
        x, _ = self.attention(x, x, x)
        return self.scaled(self.memory(x)[0][:, -1])


KINDS = {"conv": (conv, ["1", "5"]), "attends": (Attends, ["twice", "attention", "memory", "scaled"])}


@pytest.mark.parametrize("kind", KINDS)
def test_before_training_nothing_has_moved_and_afterwards_the_parts_add_up(kind):
    model, names = KINDS[kind]
    setup = setup_of(model, SGD)
    monitor = MoveMonitor(every=4)
    state = monitor.init(setup, (X, Y))
    still, _ = monitor.look(0, setup, state)
    assert list(dict.fromkeys(block for block, _, _ in still)) == names
    assert all(value == 0 for _, name, value in still if name != "size")
    descend(setup, (X, Y), 4)
    for block in names:
        moved = {name: value for where, name, value in monitor.look(4, setup, state)[0] if where == block}
        assert list(moved) == list(ROUTES) and moved["moved"] > 0 and moved["size"] > 0
        assert moved["moved"] <= (moved["by_weights"] + moved["by_inputs"]) * (1 + 1e-5)
        assert moved["by_weights"] > 0 and (moved["by_inputs"] > 0) == (block != names[0] or block == "twice")


def test_a_model_without_weight_matrices_has_no_layers_to_follow():
    setup, batch = bowl(lambda m: torch.optim.SGD(m.parameters(), lr=0.1))
    with pytest.raises(DoesNotApply, match="calls no module with a weight matrix"):
        MoveMonitor(every=3).init(setup, batch)


def test_norms_are_those_of_a_modules_weights_and_of_its_gradient():
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)), SGD)
    monitor = NormMonitor(every=4)
    _, state = monitor.look(0, setup, monitor.init(setup, (X, Y)))
    before = [torch.cat([p.detach().reshape(-1).clone() for p in layer.parameters()]) for layer in setup.model]
    descend(setup, (X, Y), 4)
    rows, _ = monitor.look(4, setup, state)
    gradients = torch.autograd.grad(F.cross_entropy(setup.model(X), Y), list(setup.model.parameters()))
    by_hand = []
    for i, layer in enumerate(setup.model):
        w = torch.cat([p.detach().reshape(-1) for p in layer.parameters()])
        g = torch.cat([x.reshape(-1) for x in gradients[2 * i : 2 * i + 2]])
        by_hand += [float(w.norm()), float(g.norm()), float((w - before[i]).norm() / w.norm())]
    assert [row[2] for row in rows] == pytest.approx(by_hand, rel=1e-5) and min(by_hand) > 0


def test_stability_is_read_of_two_looks_k_steps_apart_as_a_probe_reads_it():
    setup = setup_of(lambda: nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)), SGD)
    monitor = StabilityMonitor(every=6, k=2, split=True)
    probe = StabilityProbe(setup.model, (X, Y), loss=F.cross_entropy, split=True)
    first, state = monitor.look(0, setup, monitor.init(setup, (X, Y)))
    before = probe.look(step=0)
    descend(setup, (X, Y), 2)
    rows, state = monitor.look(2, setup, state)
    change = probe.change(before, probe.look(step=2))
    found = {(block, name): value for block, name, value in rows}
    for block in change.blocks:
        read = {name: found[block.name, name] for name in ("forward", "backward", "own", "inherited")}
        assert read == {
            "forward": block.forward,
            "backward": block.backward,
            "own": block.split.own,
            "inherited": block.split.inherited,
        }
    assert found["", "kl"] == change.kl > 0 and found["", "loss"] == change.loss
    assert found["2", "size"] == pytest.approx(rms(setup.model(X).detach())) and ("", "kl") not in [row[:2] for row in first]
    descend(setup, (X, Y), 4)
    assert "kl" not in [name for _, name, _ in monitor.look(6, setup, state)[0]]  # four steps later
    with pytest.raises(ProblemError, match="k is 7, and the monitor looks every 6 steps; expected k <= every"):
        StabilityMonitor(every=6, k=7)
