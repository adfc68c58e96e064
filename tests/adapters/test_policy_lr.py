"""`PolicyLR` among torch's schedulers: the same calls, the same rates, exact checkpoints."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler

from adapters.live import NETS
from etastar import ProblemError, Schedule
from etastar.adapters.controller import Controller
from etastar.adapters.torch import PolicyLR
from etastar.policies import Constant
from etastar.policies.named import policy_over
from etastar.policies.policy import rates_over
from etastar.policies.registry import SCHEDULES

X = torch.randn(32, 16, generator=torch.Generator().manual_seed(2))
Y = (X[:, 0] > 0).long()
STEPS = 30


class Loop:
    """An ordinary loop with one of torch's schedulers."""

    def __init__(self, make, *, accumulate: int = 1, overflows: tuple[int, ...] = ()) -> None:
        torch.manual_seed(5)
        self.model, self.accumulate, self.overflows = NETS["mlp"](), accumulate, overflows
        groups = [{"params": self.model[0].parameters()}, {"params": self.model[2].parameters(), "lr": 0.03}]
        self.optimizer = torch.optim.SGD(groups, lr=0.3, momentum=0.9)
        self.scheduler = make(self.optimizer)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        self.rates: list[list[float]] = []

    def train(self, start: int, stop: int, **tell) -> None:
        for t in range(start, stop):
            self.rates.append([group["lr"] for group in self.optimizer.param_groups])
            assert self.scheduler.get_last_lr() == self.rates[-1]
            self.optimizer.zero_grad()
            for part in range(self.accumulate):
                loss = F.cross_entropy(self.model(X[part :: self.accumulate]), Y[part :: self.accumulate])
                self.scaler.scale(loss / self.accumulate).backward()
            if t in self.overflows:
                self.model[0].weight.grad[0] = float("inf")
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.scheduler.step(**({"loss": loss} if tell else {}))


SHAPES = [name for name, policy in SCHEDULES.items() if not policy.reads]


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_a_schedule_gives_every_group_its_share_of_the_rate(name, accumulate):
    loop = Loop(lambda opt: PolicyLR(opt, name, steps=STEPS), accumulate=accumulate)
    loop.train(0, STEPS)
    rates = list(rates_over(policy_over(name, STEPS), 0.3, STEPS))
    assert [row[0] for row in loop.rates] == pytest.approx(rates, rel=1e-12)
    assert [row[1] for row in loop.rates] == pytest.approx([rate / 10 for rate in rates], rel=1e-12)


def test_it_is_torchs_own_scheduler():
    ours = Loop(lambda opt: PolicyLR(opt, "step-decay:every=7,drop=0.5", steps=STEPS))
    torchs = Loop(lambda opt: lr_scheduler.StepLR(opt, 7, 0.5))
    for loop in (ours, torchs):
        loop.train(0, STEPS)
    assert ours.rates == torchs.rates
    assert ours.scheduler.last_epoch == torchs.scheduler.last_epoch == STEPS
    for mine, theirs in zip(ours.model.parameters(), torchs.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_steps_that_the_scaler_skips_do_not_count():
    loop = Loop(lambda opt: PolicyLR(opt, "linear", steps=STEPS), overflows=(0, 4, 5))
    loop.train(0, STEPS + 3)
    taken = [row for t, row in enumerate(loop.rates) if t not in (0, 4, 5)]
    assert [row[0] for row in taken] == pytest.approx(list(rates_over(policy_over("linear", STEPS), 0.3, STEPS)))
    assert loop.scheduler.last_epoch == STEPS


@pytest.mark.filterwarnings("ignore:The epoch parameter in")
@pytest.mark.parametrize("first", ["ours", "torchs"])
def test_it_takes_its_turn_in_a_sequential_scheduler(first):
    linear = lambda opt: lr_scheduler.LinearLR(opt, 0.1, 1.0, 10)
    exponential = lambda opt: lr_scheduler.ExponentialLR(opt, 0.9)
    ours = {
        "ours": lambda opt: [PolicyLR(opt, Schedule(decay=1.0), steps=40), exponential(opt)],
        "torchs": lambda opt: [linear(opt), PolicyLR(opt, "cosine", steps=20)],
    }
    torchs = {
        "ours": lambda opt: [lr_scheduler.LinearLR(opt, 1.0, 0.0, 40), exponential(opt)],
        "torchs": lambda opt: [linear(opt), lr_scheduler.CosineAnnealingLR(opt, 20)],
    }
    make = lambda parts: lambda opt: lr_scheduler.SequentialLR(opt, parts[first](opt), [10])
    loops = [Loop(make(parts)) for parts in (ours, torchs)]
    for loop in loops:
        loop.train(0, STEPS)
    for mine, theirs in zip(loops[0].rates, loops[1].rates, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-15)
    state = io.BytesIO()
    torch.save(loops[0].scheduler.state_dict(), state)
    state.seek(0)
    other = Loop(make(ours))
    other.scheduler.load_state_dict(torch.load(state, weights_only=True))
    assert other.scheduler.get_last_lr() == loops[0].scheduler.get_last_lr()


@pytest.mark.parametrize("stop", [1, 13, 29])
@pytest.mark.parametrize("policy", ["warmup-cosine", "plateau:signal=loss,every=1,patience=0,factor=0.8", "spike-guard"])
def test_saved_and_resumed_it_is_the_same_to_the_bit(policy, stop):
    whole, first, second = (Loop(lambda opt: PolicyLR(opt, policy, steps=STEPS)) for _ in range(3))
    whole.train(0, STEPS, loss=True)
    first.train(0, stop, loss=True)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (first.model, first.optimizer, first.scheduler)], file)
    file.seek(0)
    for part, state in zip(
        (second.model, second.optimizer, second.scheduler), torch.load(file, weights_only=True), strict=True
    ):
        part.load_state_dict(state)
    second.train(stop, STEPS, loss=True)
    assert first.rates + second.rates == whole.rates
    for mine, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_plateau_is_torchs_own_scheduler():
    losses = [3.0, 2.0, 2.0, 2.0, 2.5, 1.0, 1.2, 1.3, 1.3, 1.4]
    rows = []
    for make in (
        lambda opt: PolicyLR(opt, "plateau:signal=loss,every=1,patience=1,factor=0.5"),
        lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=1, factor=0.5, eps=0.0),
    ):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
        scheduler, rates = make(optimizer), []
        for loss in losses:
            optimizer.step()
            scheduler.step(loss=loss) if isinstance(scheduler, PolicyLR) else scheduler.step(loss)
            rates.append(optimizer.param_groups[0]["lr"])
        rows.append(rates)
    assert rows[0] == rows[1] and len(set(rows[0])) > 2


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda o: PolicyLR(o, "polyak"),
            "reads grad_norm, .* after the update; expected a Controller",
        ),
        (lambda o: PolicyLR(o, "cosine"), "no horizon yet"),
        (lambda o: PolicyLR(o, "linear", steps=4).load_state_dict({"last_epoch": 2}), "expected what state_dict"),
        (
            lambda o: PolicyLR(o, Constant()).load_state_dict(PolicyLR(o, "wsd", steps=3).state_dict()),
            r"the state is of the policy Schedule.*; expected one of Constant\(\)",
        ),
        (
            lambda o: told_nothing(PolicyLR(o, "greedy", steps=9)),
            r"reads smoothed_loss; expected scheduler.step\(loss=loss\)",
        ),
    ],
)
def test_mistakes_are_a_sentence(act, sentence):
    with pytest.raises(ProblemError, match=sentence):
        act(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1))


def told_nothing(scheduler):
    scheduler.optimizer.step()
    scheduler.step()


@pytest.mark.parametrize(
    "policy", ["wsd:warmup=0.2,decay=0.5", "greedy:signal=loss,every=1,patience=0,factor=0.7", "hypergradient"]
)
def test_a_fed_scheduler_sets_the_rates_of_a_controller(policy):
    """Asked between backward and update, it may read gradients; `step` then only keeps the books."""
    rates, weights = [], []
    for fed in (True, False):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 1).double()
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        asked = PolicyLR(optimizer, policy, steps=12, fed=True) if fed else Controller(optimizer, policy, steps=12)
        seen = []
        for _ in range(12):
            loss = layer(torch.randn(8, 4, dtype=torch.float64)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            asked.feed(loss) if fed else asked.step(loss)
            seen.append(optimizer.param_groups[0]["lr"])
            assert not fed or asked.get_last_lr() == [seen[-1]]
            optimizer.step()
            if fed:
                asked.step()
        rates.append(seen)
        weights.append(layer.weight.detach())
    assert rates[0] == rates[1] and len(set(rates[0])) > 2
    assert torch.equal(*weights)


def test_a_fed_scheduler_that_nobody_feeds_says_so():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = PolicyLR(optimizer, "greedy:signal=loss", steps=4, fed=True)
    optimizer.step()
    with pytest.raises(ProblemError, match="nobody tells this scheduler; expected its adapter"):
        scheduler.step()


def test_a_policy_beside_an_optimizer_is_followed_and_not_read_off(small):
    """It does not advance without the optimizer: read off, it would be a constant rate."""

    def both(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return optimizer, PolicyLR(optimizer, "linear", steps=40)

    assert small.but(optimizer=both).policy == small.but(schedule="linear").policy
