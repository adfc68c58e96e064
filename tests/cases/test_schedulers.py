"""Schedulers as users have them: beside the optimizer, inside its factory, per group, with floors, with cycled momentum."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import lr_scheduler as S
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from etastar import Options, Problem, ProblemError, find
from etastar.core.data import stream
from etastar.core.lane import Lane, Until
from etastar.core.named_groups import split
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import set_up
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import preflight
from etastar.policies import Constant, Observation
from etastar.policies.compose import each, groups_named

STEPS = 24
DRAW = torch.Generator().manual_seed(3)
X = torch.randn(96, 5, generator=DRAW)
Y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0.5).long()


def net():
    return nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 3))


def sgd(model, lr=0.3, **settings):
    return torch.optim.SGD(model.parameters(), lr=lr, **settings)


def two_rates(model):
    return torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.05}, {"params": model[2].parameters()}], lr=0.2)


def problem(optimizer=sgd, **changes) -> Problem:
    given = {
        "model": net,
        "optimizer": optimizer,
        "loss": F.cross_entropy,
        "train": (X, Y),
        "batch_size": 16,
        "steps": STEPS,
    }
    return Problem(**{**given, **changes})


def rates_in_torch(made, steps=STEPS, every=1):
    """Rates of every group at each step of an ordinary loop that steps the schedulers every `every` steps."""
    optimizers, schedulers = made
    rates = []
    for t in range(steps):
        rates.append([g["lr"] for o in optimizers for g in o.param_groups])
        for o in optimizers:
            o.step()
        if (t + 1) % every == 0 and t < steps - 1:
            for s in schedulers:
                s.step()
    return rates


def rates_in_lanes(p: Problem, lr: float, steps=STEPS):
    """Rates of every group at each step of a lane at `lr`."""
    with isolated_randomness():
        setup = split(set_up(p, 1), groups_named(p.policy))
    state, rates = p.policy.init(torch.tensor(lr, dtype=torch.float64)), []
    for t in range(steps):
        rate, state = p.policy.step(Observation(t), state)
        setup.set_rates(each(float, rate))
        rates.append([float(g["lr"]) for g in setup.optimizer.param_groups])
    return rates


def close(a, b):
    return [x for row in a for x in row] == pytest.approx([x for row in b for x in row], rel=1e-9, abs=1e-12)


def losses_in_torch(p: Problem, seed, make):
    """Losses of an ordinary loop from the lane's weights and batches; `make` gives (optimizers, schedulers)."""
    with isolated_randomness():
        seed_everything(derive_seed(seed, "init"))
        model = net()
        optimizers, schedulers = make(model)
        batches, losses = stream(p.batches, seed), []
        for _ in range(STEPS):
            x, y = next(batches)
            model.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            for part in (*optimizers, *schedulers):
                part.step()
            losses.append(loss.item())
    return losses


FORMS = {
    "dict, by step": (lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "interval": "step"}}, 1),
    "dict, every third step": (
        lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "interval": "step", "frequency": 3}},
        3,
    ),
    "dict, by epoch": (lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "interval": "epoch"}}, 6),
    "dict that does not say": (lambda o, s: {"optimizer": o, "lr_scheduler": s}, 6),
    "lists": (lambda o, s: ([o], [{"scheduler": s, "interval": "step"}]), 1),
    "lists that do not say": (lambda o, s: ([o], [s]), 6),
    "pair": (lambda o, s: (o, s), 1),
}
"""form -> (what the factory returns, optimizer steps between two steps of the scheduler: an epoch is 96 / 16 = 6)."""


@pytest.mark.parametrize("form", FORMS)
def test_an_optimizer_is_taken_with_its_scheduler(form):
    returned, every = FORMS[form]

    def factory(model):
        optimizer = two_rates(model)
        return returned(optimizer, S.LambdaLR(optimizer, lambda t: min((t + 1) / 4, 1.0) * 0.9**t))

    optimizer = two_rates(net())
    real = rates_in_torch(([optimizer], [S.LambdaLR(optimizer, lambda t: min((t + 1) / 4, 1.0) * 0.9**t)]), every=every)
    p = problem(factory)
    facts = preflight(p)
    assert facts.lr == 0.2  # the optimizer's, not that of the first step of the warm-up
    assert [g.multiplier for g in facts.groups] == pytest.approx([0.25, 1.0])
    assert "schedule-from-optimizer" in facts.flags
    assert close(rates_in_lanes(p, 0.2), real)
    assert p.schedule_name == "own"


def test_a_lane_trains_as_the_loop_with_the_returned_scheduler():
    def factory(model):
        optimizer = sgd(model, momentum=0.9)
        return optimizer, S.LinearLR(optimizer, 0.1, total_iters=8)

    p = problem(factory)
    lane = Lane(0.3, 4, STEPS, until=Until.END, policy=p.policy)
    expected = losses_in_torch(p, 4, lambda m: [[part] for part in factory(m)])
    assert [row.loss for row in LoopEngine().train_lane(p, lane).trace] == pytest.approx(expected, rel=1e-5)
    assert LaneEngine("mlp").try_train(p, [lane])[0].end_loss == pytest.approx(sum(expected[-10:]) / 10, rel=1e-4)


def test_a_scheduler_that_sets_rates_of_its_own_is_reported_at_its_peak():
    def factory(model):
        optimizer = torch.optim.AdamW(model.parameters())  # 0.001, which no step uses
        return optimizer, S.OneCycleLR(optimizer, max_lr=0.02, total_steps=STEPS, cycle_momentum=False)

    p = problem(factory)
    facts = preflight(p)
    assert facts.lr == pytest.approx(0.02)
    assert [g.multiplier for g in facts.groups] == pytest.approx([1.0])
    optimizer, scheduler = factory(net())
    assert close(rates_in_lanes(p, 0.02), rates_in_torch(([optimizer], [scheduler])))
    assert max(map(max, rates_in_lanes(p, 0.5))) == pytest.approx(25 * max(map(max, rates_in_lanes(p, 0.02))))


def test_a_warm_up_from_zero_trains():
    def factory(model):
        optimizer = sgd(model)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": S.LambdaLR(optimizer, lambda t: min(t / 12, 1))}}

    def by_step(model):
        made = factory(model)
        made["lr_scheduler"]["interval"] = "step"
        return made

    answer = find(problem(by_step, steps=60), effort="glance", options=Options(store=":memory:", workers=1))
    assert answer.facts.lr == 0.3
    assert answer.lr.ok
    assert answer.schedule == "own"


def attached(make, returns_it=False):
    def factory(model):
        optimizer = sgd(model, momentum=0.9)
        scheduler = make(optimizer)
        return (optimizer, scheduler) if returns_it else optimizer

    return factory


INSIDE = {
    "one cycle": lambda o: S.OneCycleLR(o, 0.3, total_steps=STEPS, cycle_momentum=False),
    "warm-up": lambda o: S.LambdaLR(o, lambda t: min(t / 12, 1)),
    "cosine, whose first rate is the optimizer's": lambda o: S.CosineAnnealingLR(o, STEPS),
    "chained": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.1, total_iters=4), S.ExponentialLR(o, 0.9)]),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_a_scheduler_that_is_attached_and_not_returned_is_refused(kind):
    with pytest.raises(ProblemError, match=r"attaches a scheduler .* expected schedule=lambda optimizer: .* 'lr_scheduler'"):
        preflight(problem(attached(INSIDE[kind])))


@pytest.mark.parametrize("schedule", ["cosine", lambda o: S.ExponentialLR(o, 0.9), Constant()])
@pytest.mark.parametrize("returns_it", [True, False])
def test_two_schedules_are_refused(schedule, returns_it):
    with pytest.raises(ProblemError, match=r"schedule= was given, and optimizer.model. attaches a scheduler of its own"):
        preflight(problem(attached(INSIDE["warm-up"], returns_it), schedule=schedule))


def test_rates_scaled_before_are_taken_from_initial_lr_and_said():
    def resumed(model):
        optimizer = two_rates(model)
        for group in optimizer.param_groups:  # as in a checkpoint of a run whose schedule had come down to a tenth
            group["initial_lr"], group["lr"] = group["lr"], group["lr"] / 10
        return optimizer

    facts = preflight(problem(resumed))
    assert [g.multiplier for g in facts.groups] == pytest.approx([0.25, 1.0])
    assert "schedule-unknown" in facts.flags
    assert "schedule-unknown" not in preflight(problem(resumed, schedule="cosine")).flags
    assert "schedule-unknown" not in preflight(problem()).flags


GROUPS_DIFFER = {
    "a list of functions": lambda o: S.LambdaLR(o, [lambda t: 1.0, lambda t: 0.9**t]),
    "functions by index": lambda o: S.MultiplicativeLR(o, [(lambda t, i=i: 0.9 if i else 1.0) for i in range(2)]),
    "warm-ups of two lengths": lambda o: S.LambdaLR(o, [lambda t, w=w: min((t + 1) / w, 1.0) for w in (3, 12)]),
    "one peak for all": lambda o: S.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=STEPS, cycle_momentum=False),
    "one floor for all": lambda o: S.CosineAnnealingLR(o, STEPS, eta_min=0.01),
    "restarts with one floor for all": lambda o: S.CosineAnnealingWarmRestarts(o, 7, eta_min=0.01),
}


def scaled(optimizer, lr):
    """The optimizer at rate `lr`, its groups in their ratio."""
    for group in optimizer.param_groups:
        group["lr"] *= lr / optimizer.defaults["lr"]
    optimizer.defaults["lr"] = lr
    return optimizer


@pytest.mark.parametrize("lr", [0.2, 0.05, 3.0])
@pytest.mark.parametrize("kind", GROUPS_DIFFER)
def test_groups_with_schedules_of_their_own_are_followed(kind, lr):
    optimizer = scaled(two_rates(net()), lr)
    real = rates_in_torch(([optimizer], [GROUPS_DIFFER[kind](optimizer)]))
    p = problem(two_rates, schedule=GROUPS_DIFFER[kind])
    assert groups_named(p.policy) == ("group_1",)
    assert close(rates_in_lanes(p, lr), real)


@pytest.mark.parametrize("kind", GROUPS_DIFFER)
def test_lanes_whose_groups_follow_their_own_schedules_equal_the_loop_and_torch(kind):
    p = problem(two_rates, schedule=GROUPS_DIFFER[kind])
    lanes = [Lane(lr, 9, STEPS, until=Until.END, policy=p.policy) for lr in (0.02, 0.3)]
    together = LaneEngine("mlp", dtype=torch.float64).try_train(p, lanes)
    for lane, found in zip(lanes, together, strict=True):
        loop = LoopEngine(dtype=torch.float64).train_lane(p, lane)
        assert [r.loss for r in found.trace] == pytest.approx([r.loss for r in loop.trace], rel=1e-10)

        def make(model, lr=lane.lr):
            optimizer = scaled(two_rates(model), lr)
            return [optimizer], [GROUPS_DIFFER[kind](optimizer)]

        assert [r.loss for r in loop.trace] == pytest.approx(losses_in_torch(p, 9, make), rel=1e-4)


@pytest.mark.parametrize("kind", ["a list of functions", "warm-ups of two lengths", "one peak for all"])
def test_groups_with_schedules_of_their_own_come_with_the_optimizer(kind):
    def factory(model):
        optimizer = two_rates(model)
        return optimizer, GROUPS_DIFFER[kind](optimizer)

    optimizer, scheduler = factory(net())
    real = rates_in_torch(([optimizer], [scheduler]))
    p = problem(factory)
    facts = preflight(p)
    if kind == "one peak for all":  # the rates that are set keep one ratio, which is taken
        assert [g.multiplier for g in facts.groups] == pytest.approx([1.0, 1.0])
        assert groups_named(p.policy) == ()
    else:
        assert [g.multiplier for g in facts.groups] == pytest.approx([0.25, 1.0])
        assert groups_named(p.policy) == ("group_1",)
    assert close(rates_in_lanes(p, facts.lr), real)


def test_two_groups_of_one_name_with_schedules_of_their_own_are_a_sentence():
    def twins(model):
        groups = [{"params": model[i].parameters(), "name": "twin"} for i in (0, 2)]
        return torch.optim.SGD(groups, lr=0.2)

    with pytest.raises(ProblemError, match="groups called 'twin' follow different schedules; expected a name each"):
        problem(twins, schedule=GROUPS_DIFFER["a list of functions"])
    assert groups_named(problem(twins, schedule=FLOORS["cosine"]).policy) == ()


@pytest.mark.parametrize("lr", [0.3, 0.0417])
@pytest.mark.parametrize("ours", ["cosine", "warmup-linear", "wsd:curve=sqrt,floor=0.1"])
def test_a_scheduler_of_our_own_formula_trains_to_the_same_bits(ours, lr):
    own = problem(schedule=ours)
    read = problem(schedule=lambda o: S.LambdaLR(o, own.policy.factor))
    trained = [LoopEngine().train_lane(p, Lane(lr, 2, STEPS, until=Until.END, policy=p.policy)) for p in (own, read)]
    assert trained[0].trace == trained[1].trace
    in_torch = losses_in_torch(own, 2, lambda m: [[o := sgd(m, lr)], [S.LambdaLR(o, own.policy.factor)]])
    assert [row.loss for row in trained[0].trace] == in_torch


@pytest.mark.parametrize(
    "make",
    [
        lambda o: S.LambdaLR(o, [lambda t: 0.8**t] * 2),
        lambda o: S.OneCycleLR(o, [g["lr"] for g in o.param_groups], total_steps=STEPS, cycle_momentum=False),
        lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, total_iters=4), S.CosineAnnealingLR(o, STEPS - 4)], [4]),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter in")
def test_one_schedule_over_two_rates_is_followed_group_by_group(make):
    optimizer = two_rates(net())
    real = rates_in_torch(([optimizer], [make(optimizer)]))
    assert close(rates_in_lanes(problem(two_rates, schedule=make), 0.2), real)


FLOORS = {
    "cosine": lambda o: S.CosineAnnealingLR(o, STEPS, eta_min=0.01),
    "restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 7, eta_min=0.01),
    "cyclic": lambda o: S.CyclicLR(o, 0.01, o.param_groups[0]["lr"], 5, cycle_momentum=False),
}


@pytest.mark.parametrize("kind", FLOORS)
@pytest.mark.parametrize("lr", [0.02, 0.3, 4.0])
def test_a_smallest_rate_stays_where_it_is(kind, lr):
    optimizer = sgd(net(), lr=lr)
    real = rates_in_torch(([optimizer], [FLOORS[kind](optimizer)]))
    assert close(rates_in_lanes(problem(schedule=FLOORS[kind]), lr), real)


def test_lanes_with_a_smallest_rate_equal_the_loop_and_torch():
    p = problem(schedule=FLOORS["cosine"])
    lanes = [Lane(lr, 9, STEPS, until=Until.END, policy=p.policy) for lr in (0.02, 0.3)]
    together = LaneEngine("mlp", dtype=torch.float64).try_train(p, lanes)
    for lane, found in zip(lanes, together, strict=True):
        loop = LoopEngine(dtype=torch.float64).train_lane(p, lane)
        assert [r.loss for r in found.trace] == pytest.approx([r.loss for r in loop.trace], rel=1e-10)

        def make(model, lr=lane.lr):
            optimizer = sgd(model, lr=lr)
            return [optimizer], [FLOORS["cosine"](optimizer)]

        assert [r.loss for r in loop.trace] == pytest.approx(losses_in_torch(p, 9, make), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "optimizer", "words"),
    [
        (lambda o: S.CosineAnnealingLR(o, STEPS, eta_min=0.1), two_rates, "do not follow.*eta_min.*floor="),
        (lambda o: S.LambdaLR(o, lambda t: max(0.8**t, 0.01 / o.defaults["lr"])), sgd, "do not follow.*eta_min.*floor="),
        (lambda o: S.OneCycleLR(o, 0.1, total_steps=STEPS, cycle_momentum=False), sgd, "do not follow the optimizer's"),
        (lambda o: S.CyclicLR(o, 0.01, 0.1, 5, cycle_momentum=False), sgd, "do not follow the optimizer's"),
    ],
)
def test_rates_that_do_not_follow_the_optimizers_are_refused(make, optimizer, words):
    with pytest.raises(ProblemError, match=words):
        problem(optimizer, schedule=make)


@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        (lambda m: sgd(m, momentum=0.9), lambda o: S.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=STEPS)),
        (sgd, lambda o: S.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=STEPS)),
        (lambda m: torch.optim.AdamW(m.parameters()), lambda o: S.OneCycleLR(o, 1e-3, total_steps=STEPS)),
        (lambda m: sgd(m, momentum=0.9), lambda o: S.CyclicLR(o, 0.01, o.param_groups[0]["lr"], 5)),
        (lambda m: torch.optim.NAdam(m.parameters()), lambda o: S.CyclicLR(o, 1e-4, 1e-3, 5)),
    ],
)
def test_cycled_momentum_is_refused_with_what_to_pass(optimizer, make):
    with pytest.raises(ProblemError, match="cycle_momentum=False"):
        problem(optimizer, schedule=make)

    def factory(model):
        own = optimizer(model)
        return own, make(own)

    with pytest.raises(ProblemError, match="cycle_momentum=False"):
        preflight(problem(factory))


class DecayToo(S.LRScheduler):
    """Lets the weight decay follow the rate."""

    def get_lr(self):
        for group in self.optimizer.param_groups:
            group["weight_decay"] = 0.1 * 0.9**self.last_epoch
        return [base * 0.9**self.last_epoch for base in self.base_lrs]


def test_a_scheduler_of_another_setting_is_refused():
    with pytest.raises(ProblemError, match=r"changes weight_decay beside the rate.*keep weight_decay as it is"):
        problem(lambda m: sgd(m, weight_decay=0.1), schedule=DecayToo)


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "interval": "batch"}}, "interval is 'batch'"),
        (lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "frequency": 0}}, "frequency 0; expected"),
        (lambda o, s: {"optimizer": o, "lr_scheduler": S.ReduceLROnPlateau(o)}, "ReduceLROnPlateau, which reads a metric"),
        (lambda o, s: {"optimizer": o, "lr_scheduler": "cosine"}, "a str as a scheduler; expected a torch LRScheduler"),
        (lambda o, s: (sgd(net()), s), "belongs to another optimizer"),
        (lambda o, s: {"optimizer": "sgd"}, "a str as an optimizer; expected a torch.optim.Optimizer, a list"),
        (lambda o, s: {"optim": o}, "returned a dict; expected a torch.optim.Optimizer, a list of them, or"),
        (lambda o, s: [o, 3], "a int as a scheduler"),
        (lambda o, s: 3, "returned a int; expected a torch.optim.Optimizer"),
    ],
)
def test_what_cannot_be_taken_is_a_sentence(returned, words):
    def factory(model):
        optimizer = sgd(model)
        return returned(optimizer, S.ExponentialLR(optimizer, 0.9))

    with pytest.raises(ProblemError, match=words):
        preflight(problem(factory))


def test_epochs_of_unknown_length_are_a_sentence():
    def factory(model):
        optimizer = sgd(model)
        return {"optimizer": optimizer, "lr_scheduler": S.ExponentialLR(optimizer, 0.9)}

    with pytest.raises(ProblemError, match="once an epoch, but the training data does not say how long one is"):
        preflight(problem(factory, train=DataLoader(Endless(), batch_size=16), batch_size=None))
    known = problem(factory, train=DataLoader(TensorDataset(X, Y), batch_size=32), batch_size=None, steps=7)
    assert known.policy.factors == pytest.approx([1, 1, 1, 0.9, 0.9, 0.9, 0.81])
    assert known.but(accumulate=2).policy.factors == pytest.approx([1, 1, 0.9, 0.81, 0.81, 0.9**3, 0.9**4])
    tensors = problem(factory, batch_size=32, steps=7)
    assert tensors.policy.factors == known.policy.factors
    assert tensors.but(batch_size=48).policy.factors == pytest.approx([1, 1, 0.9, 0.9, 0.81, 0.81, 0.9**3])


def test_a_scheduler_that_is_too_short_says_so_with_its_own_words():
    def factory(model):
        optimizer = sgd(model)
        return optimizer, S.OneCycleLR(optimizer, 0.3, total_steps=10, cycle_momentum=False)

    with pytest.raises(
        ProblemError, match=r"fails at step 11 of 24 .*ValueError: Tried to step 11 times.* make it that long"
    ):
        preflight(problem(factory))


def test_a_scheduler_is_read_once_and_again_when_what_it_is_read_from_changes():
    made = []

    def schedule(optimizer):
        made.append(optimizer)
        return S.CosineAnnealingLR(optimizer, STEPS)

    p = problem(schedule=schedule, valid=(X, Y))
    readings = len(made)
    assert p.but(valid=None, label="other").policy is p.policy
    assert len(made) == readings
    assert p.but(steps=12).policy.steps == 12
    assert len(made) == 2 * readings


def test_the_callers_random_state_is_spared_while_a_scheduler_is_read():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    problem(schedule=lambda o: S.ExponentialLR(o, 0.9))
    assert torch.equal(torch.get_rng_state(), before)


def test_optimizer_settings_reach_an_optimizer_inside_a_dict():
    def factory(model):
        optimizer = sgd(model, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": S.ExponentialLR(optimizer, 0.9), "interval": "step"}}

    with isolated_randomness():
        setup = set_up(problem(factory), 0)
    setup.change([("momentum", 0.5)])
    assert setup.optimizer.param_groups[0]["momentum"] == 0.5
