"""`example_field` against single gradients in a plain loop; BatchNorm, dropout, branches, and what has no field."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.errors import DoesNotApply
from etastar.probes.stability import example_field
from etastar.probes.stability.field import COORDINATES, ExampleField

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)


def single(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, torch.Tensor]:
    loss = F.cross_entropy(model(x[None]), y[None])
    gradients = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
    return float(loss.detach()), torch.cat([g.reshape(-1) for g in gradients])


class Branching(nn.Module):
    """A branch on data, which torch.func cannot take."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x if float(x.detach().sum()) > 0 else 2 * x)


NETWORKS = {
    "dropout": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 3)),
    "a frozen layer": lambda: nn.Sequential(nn.Linear(6, 8).requires_grad_(False), nn.GELU(), nn.Linear(8, 3)),
    "a branch": Branching,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_losses_and_gradients_are_those_of_every_example_alone(kind):
    torch.manual_seed(0)
    model = NETWORKS[kind]()
    field = example_field(model, (X, Y), loss=F.cross_entropy)
    own = copy.deepcopy(model).eval()
    rows = [single(own, x, y) for x, y in zip(X, Y, strict=True)]
    assert field.losses.tolist() == pytest.approx([loss for loss, _ in rows], rel=1e-5)
    assert torch.allclose(field.gradients, torch.stack([g for _, g in rows]), rtol=1e-4, atol=1e-6)
    assert model.training and all(p.grad is None for p in model.parameters())


def test_batchnorm_takes_the_whole_batchs_statistics_as_constants():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    before = copy.deepcopy(model.state_dict())
    field = example_field(model, (X, Y), loss_fn=lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]))
    own = copy.deepcopy(model).eval()
    h = own[0](X).detach()
    own[1].running_mean, own[1].running_var = h.mean(0), h.var(0, unbiased=False)
    rows = [single(own, x, y) for x, y in zip(X, Y, strict=True)]
    assert field.losses.tolist() == pytest.approx([loss for loss, _ in rows], rel=1e-5)
    assert torch.allclose(field.gradients, torch.stack([g for _, g in rows]), rtol=1e-4, atol=1e-6)
    assert float(field.losses.mean()) == pytest.approx(float(F.cross_entropy(model(X), Y).detach()), rel=1e-5)
    model.load_state_dict(before)
    example_field(model, (X, Y), loss=F.cross_entropy)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))


def test_of_a_large_gradient_some_coordinates_are_kept_and_angles_stay():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 3))
    field = example_field(model, (X[:6], Y[:6]), loss=F.cross_entropy)
    whole = ExampleField(field.losses, torch.stack([single(model, x, y)[1] for x, y in zip(X[:6], Y[:6], strict=True)]))
    assert field.gradients.shape == (6, COORDINATES) and whole.gradients.shape[1] > COORDINATES
    assert field.agreement == pytest.approx(whole.agreement, abs=0.05)


def test_moves_turns_and_agreement_are_what_they_are_called():
    then = ExampleField(torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    now = ExampleField(torch.tensor([1.5, 1.0]), torch.tensor([[0.0, 3.0], [0.0, 1.0]]))
    assert (now.moved(then), now.turned(then)) == (0.75, 0.0) and (then.agreement, now.agreement) == (0.0, 1.0)
    assert then.moved(then) == 0 and then.turned(then) == 1


@pytest.mark.parametrize(
    ("model", "batch", "why"),
    [
        (nn.Linear(6, 3), (X[:1], Y[:1]), "a batch of one example, or whose tensors are not one row an example"),
        (nn.Linear(6, 3), (X, Y[:5]), "a batch of one example, or whose tensors are not one row an example"),
        (nn.Linear(6, 3).requires_grad_(False), (X, Y), "nothing of the model is trained"),
        (nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3)), (X, Y), "ties examples together"),
    ],
)
def test_what_has_no_field_says_why(model, batch, why):
    with pytest.raises(DoesNotApply, match=why):
        example_field(model, batch, loss=F.cross_entropy)
