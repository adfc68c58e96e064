"""What policies see while lanes train, and what their rates do: in the loop, in lanes, and in a plain loop by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Criterion, Lane, LaneEngine, Options, Problem, ProblemError
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine
from etastar.engine.signals import OF_HESSIAN, SIGNALS
from etastar.policies import Constant, Observation
from etastar.policies.compose import Clipped, PerGroup, Then, Times
from etastar.policies.named import policy_over
from etastar.policies.policy import Every, rates_over
from etastar.policies.schedule import Schedule

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(96, 6, generator=GENERATOR)
Y = (X[:, 0] > 0).long()
WATCH = (torch.randn(37, 6, generator=GENERATOR, dtype=torch.float64).float(), torch.arange(37) % 2)
STEPS = 12


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def problem(**changes) -> Problem:
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    given = {"model": net, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": 40}
    return Problem(**(given | changes))


def lane(policy, lr: float = 0.1, seed: int = 3, steps: int = STEPS) -> Lane:
    return Lane(lr, seed, steps, Criterion(loss=-math.inf), Until.END, policy)


SEEN: dict[str, list[float]] = {}


@dataclass(frozen=True)
class Writes:
    """Keeps the rate and writes down what it sees of one signal."""

    signal: str
    every: int = 1

    @property
    def reads(self):
        return (Every(self.signal, self.every),)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        SEEN.setdefault(self.signal, []).append(float(torch.as_tensor(observation[self.signal]).flatten()[0]))
        return state, state


def by_hand(steps: int = STEPS, clip: float | None = None) -> dict[str, list[float]]:
    """Every signal of an ordinary loop over the lane's own batches and weights, each between backward() and step()."""
    from etastar.core.data import stream
    from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything

    own, found = problem(), {name: [] for name in SIGNALS}
    with isolated_randomness():
        seed_everything(derive_seed(3, "init"))
        model = net().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = stream(own.batches, 3)
    flat = lambda: torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
    last_gradient = last_place = None
    smooth = weight = 0.0
    for _ in range(steps):
        x, y = next(batches)
        optimizer.zero_grad()
        out = model(x.double())
        loss = F.cross_entropy(out, y)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).clone()
        smooth, weight = 0.9 * smooth + 0.1 * loss.item(), 0.9 * weight + 0.1
        found["loss"].append(loss.item())
        found["smoothed_loss"].append(smooth / weight)
        found["accuracy"].append((out.argmax(1) == y).double().mean().item())
        found["grad_norm"].append(gradient.norm().item())
        cosine = math.nan if last_gradient is None else F.cosine_similarity(gradient, last_gradient, dim=0).item()
        found["grad_cosine"].append(cosine)
        found["param_norm"].append(flat().norm().item())
        found["update_norm"].append(math.nan if last_place is None else (flat() - last_place).norm().item())
        won = math.nan if last_place is None else -(last_gradient @ (flat() - last_place)).item()
        found["descent"].append(won)
        with torch.no_grad():
            found["valid_loss"].append(F.cross_entropy(model(WATCH[0].double()), WATCH[1]).item())
        last_gradient, last_place = gradient, flat()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return found


ENGINES = {"loop": lambda: LoopEngine(dtype=torch.float64), "mlp": lambda: LaneEngine("mlp", dtype=torch.float64)}
ENGINES["vmap"] = lambda: LaneEngine("vmap", dtype=torch.float64)


def train(engine, own: Problem, *lanes: Lane):
    if isinstance(engine, LaneEngine):
        return engine.try_train(own, list(lanes))
    return [engine.train_lane(own, one) for one in lanes]


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("signal", [name for name in SIGNALS if name not in OF_HESSIAN])
def test_a_policy_sees_this_steps_signals_before_clipping_as_a_plain_loop_has_them(signal, engine, clip):
    SEEN.clear()
    train(ENGINES[engine](), problem(clip_grad_norm=clip, watch=WATCH), lane(Writes(signal)))
    truth = by_hand(clip=clip)[signal]
    assert len(SEEN[signal]) >= STEPS
    assert SEEN[signal][:STEPS] == pytest.approx(truth, rel=1e-10, abs=1e-12, nan_ok=True)


def test_between_looks_it_sees_the_last_value():
    SEEN.clear()
    train(ENGINES["loop"](), problem(), lane(Writes("loss", every=5)))
    truth = by_hand()["loss"]
    assert SEEN["loss"] == pytest.approx([truth[t - t % 5] for t in range(STEPS)], rel=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_part_of_a_composition_sees_a_signal_at_its_own_cadence(engine):
    SEEN.clear()
    parts = PerGroup({"0": Writes("loss", every=2), "2": Times(Writes("loss", every=5), 1.0)}, Writes("loss", every=3))
    train(ENGINES[engine](), problem(), lane(parts))
    truth = by_hand()["loss"]
    for first, every in enumerate((2, 5, 3)):
        seen = SEEN["loss"][first : 3 * STEPS : 3]
        assert seen == pytest.approx([truth[t - t % every] for t in range(STEPS)], rel=1e-10)


@dataclass(frozen=True)
class NormStep:
    """lr / |g|: a rule that needs this step's gradient."""

    reads = ("grad_norm",)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        return state / observation["grad_norm"], state


@pytest.mark.parametrize("engine", ["mlp", "vmap"])
@pytest.mark.parametrize(
    "policy",
    [
        NormStep(),
        Then(Constant(), 5, Times(Constant(), 0.1)),
        Then(NormStep(), 6, Constant(), start="current"),
        Clipped(NormStep(), 0.5, 2.0),
        PerGroup({"0": Times(Constant(), 0.2), "2.bias": Times(Constant(), 0.0)}),
        Then(Constant(), 4, PerGroup({"2": NormStep()}, Schedule(decay=1.0).over(8))),
    ],
    ids=repr,
)
def test_lanes_equal_the_loop_and_the_rates_moved(policy, engine):
    lanes = [lane(policy, lr, seed) for lr, seed in ((0.1, 3), (0.03, 3), (0.2, 4))]
    ours, loops = (train(ENGINES[name](), problem(), *lanes) for name in (engine, "loop"))
    for mine, truth in zip(ours, loops, strict=True):
        assert [row.lr for row in mine.trace] == pytest.approx([row.lr for row in truth.trace], rel=1e-10)
        assert [row.loss for row in mine.trace] == pytest.approx([row.loss for row in truth.trace], rel=1e-10)
    plain = train(ENGINES["loop"](), problem(), lane(Constant()))[0]
    assert [row.loss for row in loops[0].trace] != [row.loss for row in plain.trace]


def test_then_is_the_first_policy_bit_for_bit_until_it_changes():
    first, then = train(ENGINES["loop"](), problem(), lane(Constant()), lane(Then(Constant(), 7, Times(Constant(), 0.5))))
    assert [row.loss for row in first.trace][:8] == [row.loss for row in then.trace][:8]
    assert [row.lr for row in then.trace] == [0.1] * 7 + [0.05] * 5


def test_a_named_group_with_rate_0_stays_and_the_others_train_as_by_hand():
    """The first layer frozen by a policy is the same training as with requires_grad=False."""
    frozen = problem(
        model=lambda: (m := net(), m[0].requires_grad_(False), m)[-1],
        optimizer=lambda m: torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.1, momentum=0.9),
    )
    policy = PerGroup({"0": Times(Constant(), 0.0)})
    by_policy, truth = (
        train(ENGINES["loop"](), *pair)[0] for pair in ((problem(), lane(policy)), (frozen, lane(Constant())))
    )
    assert [row.loss for row in by_policy.trace] == [row.loss for row in truth.trace]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6, bias=False)
        self.b = nn.Linear(6, 6, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


@dataclass(frozen=True)
class Turns:
    """The lane's rate; from step `at` on what `then` makes of the loss."""

    then: str
    at: int = 0
    signal: str = "loss"

    @property
    def reads(self):
        return (self.signal,)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        seen = observation[self.signal]
        if self.then == "raises" or (self.then == "raises on inf" and not bool(torch.isfinite(seen).all())):
            raise ValueError("no rate for this")
        rate = {"nan": seen * math.nan, "negative": -seen, "inf": seen * math.inf, "ratio": state * (seen / seen)}
        return rate.get(self.then, state) if observation.step >= self.at else state, state


def own_loop(lr, seed, report):
    """Descent on w^2, from its own rate."""
    w = torch.ones((), dtype=torch.float64)
    for _ in range(report.steps):
        report(loss=w * w)
        w = w - 2 * report.lr * w


TRAINED = ENGINES | {"loop of one's own": ENGINES["loop"]}


def outcomes(engine: str, *lanes: Lane, together: bool = False):
    own = problem(loss=F.mse_loss, train=(X, X[:, :2]))
    if together:
        return train(TRAINED[engine](), own, *lanes)
    if engine not in ENGINES:
        own = Problem.from_loop(own_loop, steps=40)
    found = dict(TRAINED[engine]().train(own, lanes))
    return [found[index] for index in range(len(lanes))]


@pytest.mark.parametrize("engine", TRAINED)
@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (Turns("nan", at=3), r"at=3, signal='loss'\) gave the rate nan; expected a finite number >= 0"),
        (Turns("inf", at=3), "gave the rate inf; expected"),
        (Turns("negative"), "gave the rate -0?.*; expected"),
        (Turns("raises"), r"raised ValueError: no rate for this \(.*test_policies_in_training.py, line "),
    ],
    ids=repr,
)
def test_a_rate_that_is_none_is_the_policys_fault_where_all_it_saw_was_finite(policy, sentence, engine):
    with pytest.raises(ProblemError, match=sentence):
        outcomes(engine, lane(Constant()), lane(policy))


@pytest.mark.parametrize("engine", TRAINED)
@pytest.mark.parametrize("then", ["ratio", "raises on inf"])
def test_where_what_it_saw_was_not_finite_the_lane_has_diverged_and_the_others_train_on(then, engine):
    lanes = [lane(Turns(then), 0.1), lane(Turns(then), 1e160), lane(Turns(then), 0.2)]
    found = outcomes(engine, *lanes, together=engine in ENGINES and then == "ratio")
    alone = outcomes(engine, lanes[0], lanes[2])
    assert found[1].status is LaneStatus.DIVERGED and not math.isfinite(found[1].trace[-1].loss)
    for mine, truth in zip((found[0], found[2]), alone, strict=True):
        assert mine.status is not LaneStatus.DIVERGED
        assert [row.loss for row in mine.trace] == pytest.approx([row.loss for row in truth.trace], rel=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("signal", ["update_norm", "grad_cosine", "descent"])
def test_a_rate_made_of_what_has_no_value_yet_is_the_policys_fault(signal, engine):
    with pytest.raises(ProblemError, match=f"gave the rate nan at step 0, where {signal} has no value yet; expected"):
        outcomes(engine, lane(Turns("ratio", signal=signal)))


@pytest.mark.parametrize("engine", ENGINES)
def test_accuracy_is_refused_where_there_is_none(engine):
    regression = problem(loss=F.mse_loss, train=(X, X[:, :2]))
    with pytest.raises(ProblemError, match="reads accuracy, which this training does not have; expected labels that are"):
        list(ENGINES[engine]().train(regression, [lane(Writes("accuracy"))]))


@pytest.mark.parametrize(
    ("signal", "words"), [("accuracy", "reads accuracy, which"), ("grad_norm", r"report\(..., grad_norm=")]
)
def test_a_loop_of_ones_own_has_to_report_what_its_policy_reads(signal, words):
    with pytest.raises(ProblemError, match=words):
        outcomes("loop of one's own", lane(Writes(signal)))


@dataclass(frozen=True)
class Gives:
    """Gives what it is told to."""

    rate: object
    reads = ()

    def init(self, lr):
        return lr

    def step(self, observation, state):
        return self.rate, state


@pytest.mark.parametrize(
    ("policy", "changes", "sentence"),
    [
        (Writes("volume"), {}, "reads 'volume'; expected signals of loss"),
        (Gives(-0.1), {}, "gave the rate -0.1; expected a finite number >= 0"),
        (Gives(math.nan), {}, "gave the rate nan"),
        (Gives("fast"), {}, "gave the rate 'fast'; expected a number or a tensor"),
        (Gives(torch.ones(2)), {}, r"gave rates of shape \(2,\); expected \(\)"),
        (PerGroup({"nose": Constant()}), {}, "names a group 'nose', which does not exist; expected one of group_0, 0, 2"),
        (PerGroup({"a": Constant()}), {"model": Tied}, "cuts a tied parameter"),
        (Writes("grad_norm"), {"optimizer": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1)}, "the rate is set before"),
    ],
)
def test_bad_policies_are_a_sentence(policy, changes, sentence):
    with pytest.raises(ProblemError, match=sentence):
        train(ENGINES["loop"](), problem(**changes), lane(policy))


def test_bad_compositions_are_a_sentence():
    for make, sentence in (
        (lambda: Then(Constant(), 1.5, Constant()), "changes at 1.5; expected a share"),
        (lambda: policy_over(Then(Constant(), 50, Constant()), 40), "changes at step 50 of 40"),
        (lambda: policy_over("constant@0.9>linear@0.5>cosine", 40), "expected rising shares"),
        (lambda: policy_over("constant>linear", 40), "expected NAME@WHEN"),
        (lambda: PerGroup({}), "expected at least one name"),
        (lambda: PerGroup({"a": PerGroup({"b": Constant()})}), "holds another PerGroup"),
        (lambda: Times(Constant(), -1), "multiplies by -1"),
        (lambda: Clipped(Constant(), 2, 1), "expected 0 <= low <= high"),
        (lambda: policy_over(type("Old", (), {"init": None, "step": None})(), 40), "does not say what it reads"),
    ):
        with pytest.raises(ProblemError, match=sentence):
            make()


def test_a_text_of_several_schedules_changes_at_shares_of_all_steps():
    policy = policy_over("constant@0.5>linear@0.75>constant", 40)
    rates = list(rates_over(policy, 1.0, 40))
    assert rates[:20] == [1.0] * 20
    assert rates[20:30] == pytest.approx([1 - t / 10 for t in range(10)])
    assert rates[30:] == [1.0] * 10
    assert list(rates_over(policy_over("constant@10>linear", 40), 1.0, 40))[9:12] == pytest.approx([1.0, 1.0, 1 - 1 / 30])


def test_find_measures_with_a_schedule_after_another():
    answer = etastar.find(
        problem(schedule="constant@0.75>linear", steps=60), effort="quick", options=Options(store=":memory:", workers=1)
    )
    assert answer.lr.ok and answer.schedule == "constant@0.75>linear"
    full = policy_over("constant@0.75>linear", 60)
    for outcome in answer.runs:
        rates = list(rates_over(full.over(outcome.lane.steps), outcome.lane.lr, outcome.lane.steps))
        assert [row.lr for row in outcome.trace] == pytest.approx([rates[row.step] for row in outcome.trace])


def test_a_policy_is_asked_before_where_the_step_takes_a_closure():
    SEEN.clear()
    own = problem(optimizer=lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=2), batch_size=48)
    outcome = train(ENGINES["loop"](), own, lane(Writes("loss"), steps=4))[0]
    losses = [row.loss for row in outcome.trace]
    assert math.isnan(SEEN["loss"][0]) and SEEN["loss"][1:] == pytest.approx(losses[:3])


def test_an_observation_of_nothing_is_empty():
    assert Observation(0).signals == {}
