"""What `Controller` does in the loops people write: accumulation, GradScaler, groups, other optimizers, mistakes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adapters.live import LR, NETS, Live
from etastar import PerGroup, ProblemError, Schedule, Times
from etastar.adapters.controller import Controller
from etastar.policies import Constant, Every
from etastar.policies.hypergradient import Hypergradient
from etastar.policies.plateau import Plateau
from etastar.policies.polyak import Polyak

X = torch.randn(32, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
Y = (X[:, 0] > 0).long()


def model_and(optimizer=None):
    torch.manual_seed(5)
    model = NETS["mlp"]().double()
    return model, (optimizer or (lambda m: torch.optim.SGD(m.parameters(), lr=LR)))(model)


def backward(model, x=X, y=Y, scale=1.0):
    loss = F.cross_entropy(model(x), y)
    (loss * scale).backward()
    return loss


class Seen:
    """A constant rate; writes down what it sees."""

    def __init__(self, *reads):
        self.reads, self.seen = reads, []

    def init(self, lr):
        return lr

    def step(self, observation, state):
        self.seen.append({name: float(value) for name, value in observation.signals.items()})
        return state, state


def test_signals_are_those_of_the_whole_accumulated_gradient_before_clipping():
    model, optimizer = model_and()
    policy = Seen("loss", "grad_norm", "grad_cosine", "update_norm", "param_norm", "smoothed_loss")
    controller = Controller(optimizer, policy)
    gradients, places, losses = [], [], []
    for _ in range(3):
        optimizer.zero_grad()
        halves = [backward(model, X[i::2], Y[i::2], scale=0.5) for i in range(2)]
        losses.append(float(sum(half.detach() for half in halves)) / 2)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]).clone())
        places.append(torch.cat([p.detach().flatten() for p in model.parameters()]).clone())
        controller.step(loss=sum(halves) / 2)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()
    smooth = weight = 0.0
    for t, seen in enumerate(policy.seen):
        smooth, weight = 0.9 * smooth + 0.1 * losses[t], 0.9 * weight + 0.1
        assert seen["loss"] == pytest.approx(losses[t], rel=1e-12)
        assert seen["smoothed_loss"] == pytest.approx(smooth / weight, rel=1e-12)
        assert seen["grad_norm"] == pytest.approx(float(gradients[t].norm()), rel=1e-12)
        assert seen["param_norm"] == pytest.approx(float(places[t].norm()), rel=1e-12)
        if t:
            cosine = F.cosine_similarity(gradients[t], gradients[t - 1], dim=0)
            assert seen["grad_cosine"] == pytest.approx(float(cosine), rel=1e-12)
            assert seen["update_norm"] == pytest.approx(float((places[t] - places[t - 1]).norm()), rel=1e-10)


STEPPED = {
    "skipped by the scaler": lambda m: torch.optim.SGD(m.parameters(), lr=LR),
    "skipped by a fused step": lambda m: torch.optim.Adam(m.parameters(), lr=LR, fused=True),
}


def scaled_loop(policy, optimizer, overflows: set[int], steps: int = 8):
    """A loop with a real GradScaler on the CPU, whose gradients overflow at some steps; rates and weights of every step."""
    model, optimizer = model_and(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    controller = Controller(optimizer, policy, scaler=scaler)
    rows = []
    for t in range(steps + len(overflows)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        scaler.scale(loss).backward()
        if t in overflows:
            next(model.parameters()).grad[0] = float("inf")
        scaler.unscale_(optimizer)
        rate = controller.step(loss=loss)
        scaler.step(optimizer)
        scaler.update()
        if t not in overflows:
            rows.append((rate, [p.detach().clone() for p in model.parameters()]))
    assert controller.taken == steps
    return rows


GUIDED = [Schedule(decay=1.0, steps=8), Hypergradient(beta=0.3), Polyak(), Plateau("smoothed_loss", 1, patience=0)]


@pytest.mark.parametrize("optimizer", STEPPED)
@pytest.mark.parametrize("policy", GUIDED, ids=repr)
def test_a_step_that_is_skipped_for_an_overflow_does_not_advance_the_policy(policy, optimizer):
    calm, broken = (scaled_loop(policy, STEPPED[optimizer], overflows) for overflows in (set(), {2, 3, 6}))
    assert [rate for rate, _ in calm] == [rate for rate, _ in broken]
    for (_, ones), (_, others) in zip(calm, broken, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ones, others, strict=True))


def test_a_policy_that_reads_scaled_gradients_is_refused():
    model, optimizer = model_and()
    scaler = torch.amp.GradScaler("cpu")
    controller = Controller(optimizer, Polyak(), scaler=scaler)
    scaler.scale(F.cross_entropy(model(X), Y)).backward()
    with pytest.raises(ProblemError, match=r"has not yet divided .* expected scaler.unscale_\(optimizer\) before"):
        controller.step(loss=1.0)
    scaler.unscale_(optimizer)
    controller.step(loss=1.0)


@pytest.mark.parametrize("optimizer", STEPPED)
@pytest.mark.parametrize("unscaled", [True, False])
def test_scaled_gradients_are_seen_at_the_first_step_where_nobody_told_of_a_scaler(unscaled, optimizer):
    model, optimizer = model_and(STEPPED[optimizer])
    scaler = torch.amp.GradScaler("cpu")
    controller = Controller(optimizer, Polyak())
    scaler.scale(F.cross_entropy(model(X), Y)).backward()
    if unscaled:
        scaler.unscale_(optimizer)
    controller.step(loss=1.0)
    if unscaled:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        scaler.step(optimizer)
        assert controller.taken == 1
        return
    with pytest.raises(ProblemError, match=r"scaler.unscale_\(optimizer\) before controller.step\(\), and Controller\("):
        scaler.step(optimizer)


def test_groups_keep_their_multiples_and_a_tensor_rate_is_filled_in_place():
    model = NETS["mlp"]()
    lr = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.Adam([{"params": model[0].parameters(), "lr": lr}, {"params": model[2].parameters()}], lr=0.1)
    optimizer.param_groups[1]["lr"] = 0.02
    controller = Controller(optimizer, Schedule(decay=1.0), lr=0.4, steps=4)
    for t in range(3):
        backward(model, X.float())
        assert controller.step() == pytest.approx(0.4 * (1 - t / 4))
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] is lr
        assert float(lr) == pytest.approx(0.4 * (1 - t / 4))
        assert optimizer.param_groups[1]["lr"] == pytest.approx(0.08 * (1 - t / 4))


def test_groups_of_a_policy_by_name_and_by_prefix():
    model, optimizer = model_and()
    policy = PerGroup({"2": Times(Constant(), 0.1), "0.bias": Times(Constant(), 0.0)})
    bias = model[0].bias.detach().clone()
    with pytest.raises(ProblemError, match=r"names '0.bias', which none .* is called; expected one of group_0, or model="):
        Controller(optimizer, policy)
    controller = Controller(optimizer, policy, model=model)
    backward(model)
    controller.step()
    optimizer.step()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(p)] for p in model.parameters()] == pytest.approx([0.1, 0.0, 0.01, 0.01])
    assert torch.equal(model[0].bias, bias)


def test_lbfgs_is_asked_before_its_closure():
    model, optimizer = model_and(lambda m: torch.optim.LBFGS(m.parameters(), lr=0.5, max_iter=3))
    controller, last = Controller(optimizer, "plateau:signal=loss,every=1,patience=0", steps=5), None
    for _ in range(5):
        rate = controller.propose(None) if last is None else controller.step(loss=last)

        def closure():
            optimizer.zero_grad()
            return backward(model)

        last = optimizer.step(closure)
        assert optimizer.param_groups[0]["lr"] == rate
    assert controller.taken == 5


def test_a_validation_loss_counts_until_the_next_one_and_must_be_told_in_time():
    model, optimizer = model_and()
    controller = Controller(optimizer, Plateau("valid_loss", every=3, patience=0, factor=0.5))
    told, rates = {2: 1.0, 4: 1.5, 9: 0.5}, []
    for t in range(13):
        optimizer.zero_grad()
        backward(model)
        rates.append(controller.step(valid_loss=told.get(t)))
        optimizer.step()
    assert rates == pytest.approx([0.1] * 6 + [0.05] * 6 + [0.025])
    late = Controller(optimizer, Plateau("valid_loss", every=2))
    for _ in range(2):
        late.step()
        optimizer.step()
    with pytest.raises(ProblemError, match=r"reads valid_loss; expected controller.step\(valid_loss=valid_loss\)"):
        late.step()


def test_a_step_without_finite_signals_leaves_rate_and_policy():
    model, optimizer = model_and()
    controller = Controller(optimizer, Polyak())
    backward(model)
    before = controller.step(loss=0.3)
    optimizer.step()
    assert controller.step(loss=float("nan")) == before


@pytest.mark.parametrize(("policy", "said"), [("linear", 1), ("warmup-cosine:floor=0.1", 1), ("constant", 0), ("greedy", 0)])
def test_a_step_beyond_the_horizon_is_told_once(policy, said, caplog):
    """A linear decay stands at 0 from there on, and nothing is trained."""
    model, optimizer = model_and()
    controller = Controller(optimizer, policy, steps=4)
    for step in range(7):
        backward(model)
        controller.step(loss=1.0)
        optimizer.step()
        assert len(caplog.records) == (said if step >= 4 else 0)


def test_groups_that_are_added_later_are_refused_in_a_sentence():
    _, optimizer = model_and()
    controller = Controller(optimizer, "linear", steps=4)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    with pytest.raises(ProblemError, match=r"has \d parameter groups, and had \d when .* add all groups before"):
        controller.step()


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda o: Controller(o, "cosine"), "'cosine' has no horizon yet; expected steps=... beside it"),
        (lambda o: Controller(None, "cosine", steps=3), "the optimizer is None; expected a torch.optim.Optimizer"),
        (lambda o: Controller(o, lambda opt: None), "the policy is a function without steps"),
        (lambda o: Controller(o, "cosin", steps=3), "expected one of constant"),
        (lambda o: Controller(o, Plateau()).step(), r"reads smoothed_loss; expected controller.step\(loss=loss\)"),
        (lambda o: Controller(o, Seen("accuracy")).step(), r"reads accuracy; expected controller.step\(accuracy=accuracy\)"),
        (lambda o: Controller(o, Seen("volume")), "reads 'volume'; expected signals of"),
        (lambda o: Controller(o, Seen(Every("loss", 0))), "every 0 steps"),
        (lambda o: Controller(o, Constant()).rollback(), "there is no snapshot to go back to"),
        (lambda o: Controller(o, Constant()).rollback(factor=0), "rollback's factor is 0; expected a finite number > 0"),
        (lambda o: Controller(o, Constant(), lr=0), "lr is 0; expected a learning rate > 0"),
        (lambda o: Controller(o, Constant(), keep=-1), "keep is -1; expected an integer >= 0"),
        (
            lambda o: Controller(o, Plateau("loss", 1)).step(loss=torch.ones(3)),
            r"a tensor of shape \(3,\); expected one number",
        ),
        (lambda o: Controller(o, Plateau("loss", 1)).step(loss="low"), "loss is 'low'; expected one number"),
        (lambda o: Controller(o, Constant()).load_state_dict({}), "expected what state_dict"),
        (
            lambda o: Controller(o, "linear", steps=9).load_state_dict(Controller(o, "cosine", steps=9).state_dict()),
            r"the state is of the policy Schedule\(.*curve='cosine'.*; expected one of Schedule\(.*curve='linear'",
        ),
        (lambda o: Controller(torch.optim.Adagrad([nn.Parameter(torch.ones(1))], lr=0.0), Constant()), "default lr is 0.0"),
    ],
)
def test_mistakes_are_a_sentence(act, sentence):
    with pytest.raises(ProblemError, match=sentence):
        act(model_and()[1])


def test_a_state_of_other_groups_is_refused():
    model, optimizer = model_and()
    other = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    state = Controller(other, Constant()).state_dict()
    with pytest.raises(ProblemError, match="the state is of 2 parameter groups; expected one of the optimizer's 1"):
        Controller(optimizer, Constant()).load_state_dict(state)


def test_a_checkpoint_of_the_optimizer_may_be_loaded_before_or_after_the_controller_is_made():
    whole = Live("mlp", "SGD", "cosine", steps=20)
    whole.train(0, 12)
    state = whole.optimizer.state_dict()
    for early in (True, False):
        model, optimizer = model_and(lambda m: torch.optim.SGD(m.parameters(), lr=LR, momentum=0.9))
        if early:
            optimizer.load_state_dict(state)
        controller = Controller(optimizer, "cosine", steps=20)
        optimizer.load_state_dict(state)
        controller.load_state_dict(whole.controller.state_dict())
        backward(model)
        assert controller.step() == pytest.approx(0.05 * (1 - torch.cos(torch.tensor(torch.pi * 8 / 20)).item()))
        assert optimizer.param_groups[0]["lr"] == controller.lr
