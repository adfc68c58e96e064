"""A lane that begins at a checkpoint is the rest of the run it was taken from: in the loop, in rows, in `find`."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from cli_harness import run_here
from etastar import Lane, LaneEngine, Options, Problem, ProblemError, RunStore
from etastar.core import Until
from etastar.core.beginning import Beginning
from etastar.engine import LoopEngine
from etastar.policies.policy import rates_over
from etastar.problems.digits import load
from etastar.store.fingerprint import fingerprint

(IMAGES, LABELS), VALID = load()
STEPS, AT, SEED, LR = 40, 17, 5, 0.03
"""An epoch of 15 steps ends before the checkpoint and one after it."""
OPTIMIZERS: dict[str, Any] = {
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=0.1),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1),
    "nadam": lambda model: torch.optim.NAdam(model.parameters(), lr=0.01),
}


class CountsInItsGroup(torch.optim.SGD):
    """As Schedule-Free does: a state that no slot holds."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
            for p in group["params"]:
                p.grad.mul_(1 / group["k"])
        return super().step(closure)


def problem(optimizer="momentum", dropout: float = 0.0, norm: bool = True, **settings) -> Problem:
    def model() -> nn.Module:
        inner = [*([nn.BatchNorm1d(16)] if norm else []), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        return nn.Sequential(nn.Linear(64, 16), *inner, nn.Linear(16, 10))

    given = {"train": (IMAGES, LABELS), "valid": VALID, "batch_size": 64, "steps": STEPS, "schedule": "warmup-cosine"}
    return Problem(
        model=model,
        optimizer=OPTIMIZERS.get(optimizer, lambda model: CountsInItsGroup(model.parameters(), lr=0.1)),
        loss=F.cross_entropy,
        **(given | settings),
    )


def lane(problem: Problem) -> Lane:
    return Lane(LR, SEED, problem.steps, until=Until.END, policy=problem.policy)


def broken(engine, whole: Problem):
    """The outcome of a whole run, the rest of its problem from step `AT` on, and the state there."""
    with engine.start(whole, [lane(whole)]) as training:
        training.advance(AT)
        setup = training.setup(0)
        state = copy.deepcopy((setup.model.state_dict(), setup.optimizer.state_dict()))
        [(_, outcome)] = training.advance(STEPS - AT)
    return outcome, whole.but(start_from=Beginning.of(state, AT), steps=STEPS - AT), state


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, CountsInItsGroup])
def test_the_loop_goes_on_from_a_checkpoint_to_the_last_bit(optimizer):
    whole, rest, _ = broken(LoopEngine(), problem(optimizer, dropout=0.2))
    again = LoopEngine().train_lane(rest, lane(rest))
    assert again.valid_loss == whole.valid_loss
    assert again.lane.steps == STEPS - AT and whole.lane.steps == STEPS
    assert [(row.loss, row.lr) for row in again.trace] == [(row.loss, row.lr) for row in whole.trace[AT:]]


@pytest.mark.parametrize("kernel, norm", [("vmap", True), ("mlp", False)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_go_on_from_a_checkpoint(optimizer, kernel, norm):
    engine = LaneEngine(kernel, dtype=torch.float64)
    whole, rest, _ = broken(engine, problem(optimizer, norm=norm))
    [again] = engine.try_train(rest, [lane(rest)])
    alone = LoopEngine(dtype=torch.float64).train_lane(rest, lane(rest))
    assert again.valid_loss == pytest.approx(whole.valid_loss, rel=1e-12)
    assert again.valid_loss == pytest.approx(alone.valid_loss, rel=1e-10)


@pytest.mark.parametrize("engine", [LoopEngine(), LaneEngine("vmap")], ids=["loop", "rows"])
def test_a_lane_from_a_checkpoint_is_kept_and_goes_on(engine):
    _, rest, _ = broken(LoopEngine(), problem("adamw"))
    with engine.start(rest, [lane(rest)]) as training:
        training.advance(9)
        kept = training.snapshot(0)
        [(_, whole)] = training.advance(rest.steps)
    with engine.start(rest, [lane(rest)], [kept]) as training:
        [(_, again)] = training.advance(rest.steps)
    assert again.valid_loss == whole.valid_loss and again.steps == rest.steps


def test_the_checkpoint_of_a_plain_loop_goes_on_as_that_loop_would():
    """The user's loop draws its own data up to the checkpoint; from there it is repeated here on the lane's batches."""
    torch.manual_seed(0)
    rest = problem("momentum", schedule="linear")
    net = rest.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, dampening=0.1)

    def step(batch: torch.Tensor, t: int) -> None:
        optimizer.param_groups[0]["lr"] = LR * (1 - t / STEPS)
        optimizer.zero_grad()
        F.cross_entropy(net(IMAGES[batch]), LABELS[batch]).backward()
        optimizer.step()

    for t in range(AT):
        step(torch.randint(len(IMAGES), (64,)), t)
    rest = rest.but(start_from=Beginning.of((net, optimizer), AT), steps=STEPS - AT)
    outcome = LoopEngine().train_lane(rest, lane(rest))
    order = [batch for epoch in range(3) for batch in rest.parts.batches.order(SEED, epoch)]
    for t in range(AT, STEPS):
        step(order[t], t)
    net.eval()
    with torch.no_grad():
        assert outcome.valid_loss == pytest.approx(float(F.cross_entropy(net(VALID[0]), VALID[1])), rel=1e-5)


def test_what_is_left_of_a_scheduler_is_its_table_from_there_on():
    make = lambda opt: torch.optim.lr_scheduler.StepLR(opt, step_size=7, gamma=0.5)
    whole = problem(schedule=make)
    state = (whole.model().state_dict(), None)
    rest = whole.but(start_from=Beginning.of(state, AT), steps=STEPS - AT)
    assert list(rates_over(rest.policy, 0.1, STEPS - AT)) == list(rates_over(whole.policy, 0.1, STEPS))[AT:]
    after = whole.but(start_from=Beginning.of(state, AT), steps=STEPS - AT, schedule="constant@0.25>linear")
    whole = whole.but(schedule="constant@0.25>linear")  # its second policy is under way at the checkpoint
    assert list(rates_over(after.policy, 0.1, STEPS - AT)) == list(rates_over(whole.policy, 0.1, STEPS))[AT:]


def test_parameters_that_were_updated_more_often_than_others_train_in_the_loop():
    _, rest, (model, optimizer) = broken(LoopEngine(), problem("adamw"))
    optimizer["state"][0]["step"] += 5
    odd = rest.but(start_from=Beginning.of((model, optimizer), AT))
    assert rest.start_from.updates == AT and odd.start_from.updates is None
    [(_, outcome)] = LaneEngine("vmap").train(odd, [lane(odd)])
    assert outcome.valid_loss == LoopEngine().train_lane(odd, lane(odd)).valid_loss


def test_a_checkpoint_is_part_of_what_a_lane_is_stored_under():
    _, rest, (model, optimizer) = broken(LoopEngine(), problem())
    other = copy.deepcopy(model)
    other["0.bias"][0] += 1e-3
    kinds = [problem(), rest, rest.but(start_from=Beginning.of((other, optimizer), AT))]
    kinds += [rest.but(start_from=Beginning.of((model, None), AT)), rest.but(start_from=Beginning.of((model, optimizer), 3))]
    assert len({fingerprint(own, {}, "1") for own in kinds}) == len(kinds)
    same = rest.but(start_from=Beginning.of((model, optimizer), AT))
    assert fingerprint(same, {}, "1") == fingerprint(rest, {}, "1")


CURVATURES, CURVED_STEPS = torch.tensor([1.0, 0.1]), 12


class Bowl(nn.Module):
    """Two weights."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def loss(self) -> torch.Tensor:
        """A bowl on a high floor: no lane can lower it by a tenth."""
        return 20 + 0.5 * (CURVATURES * self.w**2).sum()


def test_the_best_rate_of_a_bowl_is_found_although_hardly_anything_is_left_to_gain(tmp_path):
    """Gradient descent by hand: w_i <- (1 - lr h_i)^n w_i; the best of 1,300 rates is the truth. Half a step of the
    lattice off at most; a rate that diverges beside the best bends the parabola a little more."""
    bowl = Problem(
        model=Bowl,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.3),
        loss_fn=lambda model, batch: model.loss(),
        train=torch.zeros(8, 1),
        valid=torch.zeros(8, 1),
        batch_size=8,
        steps=18 + CURVED_STEPS,
    )
    state = {"model": {"w": torch.tensor([0.5, 1.0])}}
    end = lambda lr: float((CURVATURES * ((1 - lr * CURVATURES) ** CURVED_STEPS * state["model"]["w"]) ** 2).sum())
    truth = min((10 ** (k / 1000) for k in range(-1000, 300)), key=end)
    torch.save(state, tmp_path / "run.pt")
    options = Options(store=tmp_path / "runs.db", workers=1)
    answer = etastar.find(bowl, start_from=tmp_path / "run.pt", at=18, options=options)
    assert abs(math.log10(answer.lr.value / truth)) < 0.15 and answer.lr.low <= truth <= answer.lr.high
    assert answer.at == 18 and answer.steps == 12
    assert end(0.3) - end(truth) < 0.05 and answer.yours.verdict == "good"  # of losses of 20: 0.05 nats, and a tenth
    again = etastar.find(bowl, start_from=state, at=18, options=options)
    assert again.cost["new_gradient_steps"] == 0 and again.lr.value == answer.lr.value


def test_shorter_lanes_carry_over_and_the_users_objects_stay_as_they_are():
    torch.manual_seed(1)
    whole = problem("adamw", steps=200)
    net = whole.model()
    optimizer = whole.optimizer(net)
    F.cross_entropy(net(IMAGES[:64]), LABELS[:64]).backward()
    optimizer.step()
    before = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    drawn = torch.get_rng_state()
    answer = etastar.find(
        whole, start_from=(net, optimizer), at=1, effort="glance", options=Options(store=":memory:", workers=1)
    )
    assert (
        {o.lane.steps for o in answer.runs} == {20} and answer.lr.ok and answer.lr.low < answer.lr.value * (20 / 199) ** 0.35
    )
    for own, was in zip(
        (net.state_dict(), optimizer.state_dict()["state"][0]), (before[0], before[1]["state"][0]), strict=True
    ):
        assert all(torch.equal(own[name], was[name]) for name in was)
    assert torch.equal(drawn, torch.get_rng_state())


def _changed(**changes):
    return lambda model, optimizer: ({**model, **changes}, optimizer)


REFUSED = {
    "missing": (lambda m, o: ({k: v for k, v in m.items() if k != "0.bias"}, o), AT, "lacks '0.bias'"),
    "left over": (_changed(extra=torch.zeros(2)), AT, "holds 'extra'"),
    "shape": (_changed(**{"0.bias": torch.zeros(3)}), AT, "has shape (3,) in the checkpoint"),
    "diverged": (_changed(**{"0.bias": torch.full((16,), math.nan)}), AT, "NaN or inf in the state of the model"),
    "another optimizer": (
        lambda m, o: (m, torch.optim.Adam([nn.Parameter(torch.zeros(2))]).state_dict()),
        AT,
        "another optimizer than the problem's SGD",
    ),
    "other groups": (lambda m, o: (m, {**o, "param_groups": o["param_groups"] * 2}), AT, "refuses the checkpoint's state"),
    "other order": (
        lambda m, o: (m, {**o, "state": {**o["state"], 0: o["state"][1]}}),
        AT,
        "momentum_buffer has shape (16,)",
    ),
    "negative": (lambda m, o: (m, o), -1, "at is -1"),
    "beyond": (lambda m, o: (m, o), STEPS, "nothing is left"),
    "no step": (lambda m, o: (m, o), None, "at=STEP"),
    "no state": (lambda m, o: None, AT, "start_from=CHECKPOINT"),
    "nothing in it": (lambda m, o: {}, AT, "no state of a model"),
    "a number": (lambda m, o: 3, AT, "start_from is 3"),
    "no file": (lambda m, o: "nowhere.pt", AT, "there is no file 'nowhere.pt'"),
    "no checkpoint": (lambda m, o: __file__, AT, "no checkpoint that can be read safely"),
}


@pytest.fixture(scope="module")
def state():
    return broken(LoopEngine(), problem())[2]


@pytest.mark.parametrize("change, at, words", REFUSED.values(), ids=REFUSED)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_sentence(change, at, words, state, tmp_path):
    store = tmp_path / "runs.db"
    with pytest.raises(ProblemError) as refused:
        etastar.find(problem(), start_from=change(*state), at=at, options=Options(store=store))
    sentence = str(refused.value)
    assert words in sentence and "expected" in sentence and "\n" not in sentence
    assert not store.exists() or not RunStore(store).count()


def test_what_is_of_fresh_networks_is_refused(state):
    aliens: list[dict[str, object]] = [
        {"steps_to_start": 5},
        {"monitors": "move"},
        {"precision": etastar.Precision()},
        {"budget": 0.05},
    ]
    for alien in aliens:
        with pytest.raises(ProblemError, match=f"{next(iter(alien))} is for runs from their start"):
            etastar.find(problem(), start_from=state, at=AT, **alien)
    loop = Problem.from_loop(lambda lr, seed, report: None, steps=9)
    with pytest.raises(ProblemError, match="a training loop of your own cannot start from a checkpoint"):
        etastar.find(loop, start_from=state, at=3)


USERS_FILE = """
import torch, torch.nn.functional as F
from torch import nn
import etastar
x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
problem = etastar.Problem(model=lambda: nn.Linear(4, 1), optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.01),
    loss=F.mse_loss, train=(x, x.sum(1, keepdim=True)), steps=30, batch_size=32)
"""


def test_the_command_answers_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(USERS_FILE)
    torch.manual_seed(0)
    torch.save({"epoch": 1, "model_state_dict": nn.Linear(4, 1).state_dict()}, "run.pt")
    ran = run_here("find", "mine.py:problem", "--start-from", "run.pt", "--at", "10", "--json", "out.json", "--workers", "1")
    told = json.loads((tmp_path / "out.json").read_text())
    assert ran.code == 0 and told["at"] == 10 and told["steps"] == 20 and told["yours"]["verdict"] == "low"
    assert told["eta_star"]["status"] == "not-measured"
