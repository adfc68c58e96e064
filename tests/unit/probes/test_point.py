"""What a probe reads leaves no trace, whatever state the caller's objects are in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import CriticalRate, Point, ProblemError, Sharpness
from etastar.probes.convention import convention
from etastar.probes.directional import UpdateCurvature
from etastar.probes.edge import edge_of
from etastar.probes.first_step import first_change, first_direction
from etastar.probes.sharpness import PreconditionedSharpness


def point(model: nn.Module, batch, *, optimizer=None, **settings) -> Point:
    settings.setdefault("loss", F.cross_entropy)
    make = optimizer or (lambda m: torch.optim.SGD(m.parameters(), lr=0.1))
    return Point(model=model, optimizer=make(model), batch=batch, **settings)


def linear(data, **settings) -> Point:
    torch.manual_seed(0)
    return point(nn.Linear(6, 3), data, **settings)


def test_a_model_in_eval_mode_stays_there_and_is_read_in_it(data):
    """PyHessian leaves the model in eval mode and `.grad` filled."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    values = {}
    for training in (True, False):
        model.train(training)
        model[2].eval()  # modes may differ within a model
        values[training] = Sharpness()(point(model, data)).value
        assert [m.training for m in model] == [training, training, False, training]
    assert values[True] != values[False], "batch statistics and running ones curve differently"
    assert all(p.grad is None for p in model.parameters())
    assert int(model[1].num_batches_tracked) == 0


def test_gradients_of_the_caller_are_kept_as_they_are(data):
    p = linear(data)
    F.cross_entropy(p.model(data[0]), data[1]).backward()
    kept = p.model.weight.grad
    before = kept.clone()
    Sharpness()(p), CriticalRate()(p)
    assert p.model.weight.grad is kept and torch.equal(kept, before)


def test_a_loss_function_that_switches_modes_is_switched_back(data):
    def loss_fn(model, batch):
        model.eval()
        return F.cross_entropy(model(batch[0]), batch[1])

    p = linear(data, loss=None, loss_fn=loss_fn)
    assert Sharpness()(p).ok
    assert p.model.training


def test_dropout_draws_the_same_mask_each_time(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3))
    p = point(model, data)
    assert p.value() == p.value()
    assert p.value() != point(model, data, seed=1).value()
    assert CriticalRate()(p) == CriticalRate()(p)


def test_attention_is_read_in_its_form_with_second_derivatives():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 3))
    x, y = torch.randn(10, 3, 8), torch.randint(3, (10,))
    for training in (True, False):
        model.train(training)
        assert Sharpness()(point(model, (x, y))).ok, "torch's fused kernels would refuse"


def test_recurrent_and_tied_networks_are_read_and_put_back():
    torch.manual_seed(0)

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 8)
            self.lstm = nn.LSTM(8, 8, batch_first=True)
            self.out = nn.Linear(8, 7, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens):
            return self.out(self.lstm(self.embed(tokens))[0]).flatten(0, 1)

    model = Tied()
    tokens = torch.randint(7, (5, 4))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    p = point(model, (tokens, tokens.flatten()), optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3))
    assert Sharpness()(p).ok and CriticalRate()(p).ok
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert model.out.weight is model.embed.weight


def test_inside_no_grad_it_works_as_well(data):
    p = linear(data)
    with torch.no_grad():
        inside = Sharpness()(p)
        assert not torch.is_grad_enabled()
    assert inside == Sharpness()(p)


REFUSED = {
    "detached loss": (lambda m, b: m(b[0]).detach().sum(), "does not depend on any trainable"),
    "without gradients": (torch.no_grad()(lambda m, b: m(b[0]).sum()), "does not depend on any trainable"),
    "inference only": (torch.inference_mode()(lambda m, b: m(b[0]).sum()), "does not depend on any trainable"),
    "infinite gradient": (lambda m, b: (m.weight - m.weight.detach()).abs().sqrt().sum() + m(b[0]).sum(), "not finite"),
    "not finite loss": (lambda m, b: m(b[0]).sum() * float("nan"), "not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_a_reading_with_a_reason(name, data):
    loss_fn, reason = REFUSED[name]
    p = linear(data, loss=None, loss_fn=loss_fn)
    reading = Sharpness()(p)
    assert not reading.ok and reason in reading.estimate.reason
    assert not CriticalRate()(p).ok


def test_all_zero_gradients_are_a_reading_with_a_reason(data):
    p = linear(data, loss=None, loss_fn=lambda m, b: (0 * m(b[0])).sum())
    assert Sharpness()(p).value == 0 and Sharpness()(p).rate is None
    assert "all gradients are zero" in CriticalRate()(p).estimate.reason
    assert "all gradients are zero" in UpdateCurvature()(p).estimate.reason


def test_a_loss_of_the_wrong_shape_is_the_users_mistake(data):
    with pytest.raises(ProblemError, match=r"shape \(96, 3\); expected a real scalar"):
        Sharpness()(linear(data, loss=None, loss_fn=lambda m, b: m(b[0])))
    with pytest.raises(ProblemError, match="exactly one of loss"):
        linear(data, loss=None)
    with pytest.raises(ProblemError, match="no trainable parameter"):
        linear(data, optimizer=lambda m: torch.optim.SGD([{"params": m.parameters(), "lr": 0.0}], lr=0.1))


def test_a_user_error_in_the_loss_is_one_sentence(data):
    def broken(outputs, targets):
        raise KeyError("labels")

    with pytest.raises(ProblemError, match=r"^your code raised KeyError: 'labels' \(.*test_point.py, line \d+, in the loss"):
        Sharpness()(linear(data, loss=broken))


def test_the_convention_is_told_from_the_loss_itself(data):
    assert convention(linear(data)) == "cross_entropy, mean over the samples"
    summed = linear(data, loss=nn.CrossEntropyLoss(reduction="sum"))
    assert convention(summed) == "CrossEntropyLoss, SUM over the samples"
    norm = linear(data, loss=None, loss_fn=lambda m, b: m(b[0]).norm())
    assert convention(norm) == "your loss, neither a mean nor a sum over samples"


def test_the_first_step_in_the_middle_of_a_training_uses_a_copy_of_the_optimizers_state(data):
    p = linear(data, optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=torch.tensor(0.01)))
    for _ in range(3):
        p.optimizer.zero_grad()
        F.cross_entropy(p.model(data[0]), data[1]).backward()
        p.optimizer.step()
    state = {k: {n: t.clone() for n, t in s.items()} for k, s in p.optimizer.state.items()}
    weights = p.model.weight.detach().clone()
    change = first_change(p, 0.01)
    for key, values in p.optimizer.state.items():
        assert all(torch.equal(values[n], t) for n, t in state[key].items())
    assert torch.equal(p.model.weight, weights)
    assert p.optimizer.param_groups[0]["lr"] == p.optimizer.defaults["lr"]
    p.optimizer.zero_grad()
    F.cross_entropy(p.model(data[0]), data[1]).backward()
    p.optimizer.step()
    taken = (p.model.weight.detach() - weights).double().flatten()
    assert torch.equal(change[: taken.numel()], taken), "the step that would have come next"


def test_a_point_follows_the_model_when_it_is_trained_on(data):
    p = linear(data)
    before = Sharpness()(p)
    with torch.no_grad():
        p.model.weight.mul_(3)
    after = Sharpness()(p)
    assert after != before
    assert after == Sharpness()(point(p.model, data))


def test_a_clipped_first_step_has_the_clipped_length(data):
    assert float(first_change(linear(data, clip_grad_norm=0.01), 1.0).norm()) == pytest.approx(0.01, rel=1e-4)


def test_a_step_that_is_not_proportional_to_the_rate_is_seen(data):
    class Saturating(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                p -= torch.tanh(self.param_groups[0]["lr"] * p.grad)

    proportional = linear(data, optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=0.1, weight_decay=0.1))
    saturating = linear(data, optimizer=lambda m: Saturating(m.parameters(), lr=1.0))
    assert first_direction(proportional, 0.1)[1]
    assert not first_direction(saturating, 1.0)[1]
    reading = CriticalRate()(saturating)
    assert "one real step each" in reading.estimate.method


def test_a_first_step_far_below_float32_resolution_still_has_a_direction(data):
    g = linear(data).gradient().double()
    direction, linear_in_rate = first_direction(linear(data), 1e-9)
    assert linear_in_rate
    assert float(-(direction @ g) / (direction.norm() * g.norm())) == pytest.approx(1.0, abs=1e-6)


def test_an_unknown_optimizer_says_so(data):
    reading = PreconditionedSharpness()(linear(data, optimizer=lambda m: torch.optim.Rprop(m.parameters(), lr=0.1)))
    assert reading.ok and reading.rate is None
    assert "Rprop's preconditioner is not known" in reading.says


def test_groups_that_differ_in_momentum_have_no_common_edge(data):
    model = nn.Linear(6, 3)
    groups = [{"params": [model.weight], "momentum": 0.5}, {"params": [model.bias]}]
    assert edge_of(torch.optim.SGD(groups, lr=0.1)).factor is None


def test_eta_c_from_far_away_returns_the_side_it_knows(data):
    e = CriticalRate(guess=1e-9)(linear(data)).estimate
    assert (e.value, e.high) == (None, None) and e.low >= 1e-9
    assert "only known to lie above" in e.reason
    wide = CriticalRate(max_forwards=2 + 4)(linear(data, optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=0.1)))
    assert not wide.ok or wide.estimate.low < wide.estimate.high


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sharpness(tolerance=0), "tolerance is 0"),
        (lambda: Sharpness(max_products=0), "max_products is 0"),
        (lambda: CriticalRate(guess=-1), "guess is -1"),
        (lambda: CriticalRate(max_forwards=1), "max_forwards is 1"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ProblemError, match=message):
        make()
