"""The stability probe against what is known: nothing at equal weights, retain_grad, orders in the rate, a linear chain."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from etastar.probes.stability import StabilityProbe
from etastar.probes.stability.change import BlockStability
from etastar.problems.resnet18 import ResNet18

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(48, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)
PICTURES = torch.randn(8, 3, 8, 8, generator=GENERATOR)
LABELS = torch.arange(8) % 3


def mlp(activation=nn.GELU, depth: int = 3) -> nn.Module:
    hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(16, 16), activation())]
    return nn.Sequential(nn.Linear(6, 16), activation(), *hidden, nn.Linear(16, 3))


class Wild(nn.Module):
    """A layer called twice, an activation in place after a block, dropout, BatchNorm, a checkpoint, a frozen stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8).requires_grad_(False)
        self.norm = nn.BatchNorm1d(8)
        self.twice = nn.Linear(8, 8)
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), nn.Linear(8, 8))
        self.frozen = nn.BatchNorm1d(8).eval()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu_(self.norm(F.relu_(self.stem(x))))
        x = F.relu_(self.twice(F.dropout(self.twice(x), 0.2, self.training)))
        x = checkpoint(self.inner, x, use_reentrant=False)
        return self.fc(self.frozen(x))


class Layer(nn.Module):
    """A layer of a transformer that computes itself twice, with dropout of its own, on inputs that are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(6), nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)
        self.mix = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self._once, x, use_reentrant=False)

    def _once(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norm(x)
        return x + F.dropout(self.mix(self.attention(z, z, z)[0]), 0.2, self.training)


def transformer() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 6)), Layer(), Layer(), nn.Flatten(), nn.Linear(6, 3))


NETWORKS = {
    "mlp": (mlp, X, Y),
    "transformer": (transformer, X, Y),
    "wild": (Wild, X, Y),
    "resnet18": (lambda: ResNet18(8, 3)(), PICTURES, LABELS),
}


def made(kind: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network, inputs, targets = NETWORKS[kind]
    return network(), inputs, targets


def step(model: nn.Module, rate: float, inputs=X, targets=Y) -> None:
    """One step of gradient descent."""
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(F.cross_entropy(model(inputs), targets), trained)
    with torch.no_grad():
        for p, g in zip(trained, gradients, strict=True):
            p -= rate * g


def numbers(block: BlockStability) -> list[float]:
    split = vars(block.split).values() if block.split else ()
    return [x for x in (block.forward, block.backward, *split) if not math.isnan(x)]


@pytest.mark.parametrize("kind", NETWORKS)
def test_at_the_same_weights_nothing_differs_and_no_trace_is_left(kind):
    model, inputs, targets = made(kind)
    probe = StabilityProbe(model, (inputs, targets), loss=F.cross_entropy, split=True)
    before = copy.deepcopy(model.state_dict()), torch.get_rng_state(), [m.training for m in model.modules()]
    first = probe.look(step=3)
    torch.rand(7)
    torch.set_rng_state(before[1])
    model.eval()
    change = probe.change(first, probe.look(step=5, rate=0.1))
    assert (change.k, change.rate, change.kl) == (2, 0.1, 0.0) and not any(m.training for m in model.modules())
    assert [numbers(block) for block in change.blocks] == [[0.0] * len(numbers(block)) for block in change.blocks]
    assert all(block.backward_cosine == 1.0 for block in change.blocks)
    assert all(torch.equal(a, b) for a, b in zip(before[0].values(), model.state_dict().values(), strict=True))
    assert torch.equal(before[1], torch.get_rng_state()) and all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_signals_are_bit_equal_to_what_retain_grad_says():
    model = mlp(nn.ReLU)
    look = StabilityProbe(model, (X, Y), loss=F.cross_entropy).look()
    h, kept = X, {}
    for name, layer in model.named_children():
        h = layer(h)
        h.retain_grad()
        kept[name] = h
    F.cross_entropy(h, Y).backward()
    assert [own.name for own in look.passes] == ["0", "2", "4", "6"]
    for own in look.passes:
        assert torch.equal(own.output, kept[own.name]) and torch.equal(own.signal, kept[own.name].grad)
        weights = [p.grad.reshape(-1) for p in model.get_submodule(own.name).parameters()]
        assert torch.equal(torch.cat([g.reshape(-1) for g in look.gradients[own.name]]), torch.cat(weights))


def slopes(model: nn.Module, rates: list[float], x, y) -> tuple[list[float], list[float]]:
    """Of log A and log B of every block against the log of the rate of one step, by least squares."""
    changes = []
    for rate in rates:
        own = copy.deepcopy(model)
        probe = StabilityProbe(own, (x, y), loss=F.cross_entropy)
        before = probe.look()
        step(own, rate, x, y)
        changes.append(probe.change(before, probe.look()).blocks)
    logs = torch.tensor(rates).double().log()
    logs -= logs.mean()
    slope = lambda values: float((torch.tensor(values).double().log() * logs).sum() / logs.square().sum())
    per = list(zip(*changes, strict=True))
    return [slope([b.forward for b in of]) for of in per], [slope([b.backward for b in of]) for of in per]


def test_over_three_decades_of_the_rate_both_grow_in_proportion_in_a_smooth_network():
    torch.manual_seed(0)
    forward, backward = slopes(mlp(nn.GELU).double(), [10 ** (-4 + 0.5 * i) for i in range(7)], X.double(), Y)
    assert forward + backward == pytest.approx([1.0] * 8, abs=0.01)


def test_behind_a_relu_signals_change_by_the_root_of_the_rate():
    """A signal changes where a ReLU after its block flips: a share of the units in proportion to the rate."""
    torch.manual_seed(1)
    hidden = [layer for _ in range(4) for layer in (nn.Linear(256, 256), nn.ReLU())]
    model = nn.Sequential(nn.Linear(6, 256), nn.ReLU(), *hidden, nn.Linear(256, 3)).double()
    for layer in model[::2]:
        nn.init.kaiming_normal_(layer.weight)
    x = torch.randn(256, 6, generator=torch.Generator().manual_seed(1)).double()
    y = torch.arange(256) % 3
    forward, backward = slopes(model, [10 ** (-4.5 + 0.5 * i) for i in range(7)], x, y)
    assert forward == pytest.approx([1.0] * 6, abs=0.01)
    assert min(backward[:5]) >= 0.5 and max(backward[:5]) <= 0.7 and backward[5] == pytest.approx(1.0, abs=0.1)


def test_the_first_block_changes_by_itself_and_a_linear_chain_splits_as_its_matrices_do():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False)).double()
    x = X.double()
    a_0, b_0 = (p.detach().clone() for p in model.parameters())
    probe = StabilityProbe(model, (x, Y), loss=F.cross_entropy, split=True)
    before = probe.look()
    step(model, 0.3, x)
    a, b = (p.detach() for p in model.parameters())
    first, second = probe.change(before, probe.look()).blocks
    d_0, d = (
        torch.autograd.grad(F.cross_entropy(z, Y), z)[0]
        for z in (z.requires_grad_() for z in (x @ a_0.T @ b_0.T, x @ a.T @ b.T))
    )
    share = lambda change, of: float(change.norm() / of.norm())
    assert first.split.own == first.forward and first.split.inherited == 0
    assert second.split.own == pytest.approx(share(x @ a.T @ (b - b_0).T, x @ a_0.T @ b_0.T))
    assert second.split.inherited == pytest.approx(share(x @ (a - a_0).T @ b_0.T, x @ a_0.T @ b_0.T))
    assert second.split.back_own == pytest.approx(share(d @ (b - b_0), d_0 @ b_0)) and second.split.back_below == 0
    assert second.split.back_above == pytest.approx(share((d - d_0) @ b_0, d_0 @ b_0))
    assert second.backward == pytest.approx(share(d - d_0, d_0))
