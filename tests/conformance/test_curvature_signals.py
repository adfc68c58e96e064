"""The signals `sharpness` and `curvature`: those of the step's own loss, and training goes on as if nobody had looked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from etastar import Clipped, Criterion, Lane, LaneEngine, Problem, ProblemError, Then, Times
from etastar.adapters.controller import Controller
from etastar.adapters.torch import PolicyLR
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.snapshot import Snapshot
from etastar.engine import LoopEngine
from etastar.engine.scoring_cost import CURVATURE_LOOK, SHARPNESS_LOOK, cost_of
from etastar.errors import DoesNotApply
from etastar.policies import Constant
from etastar.policies.policy import Every
from etastar.problems.digits import Transformer
from etastar.problems.quadratic import quadratic

DRAW = torch.Generator().manual_seed(2)
X = torch.randn(64, 4, generator=DRAW)
Y = (X[:, 0] > 0).long()
STEPS, FORK = 9, 5
SEEN: list[tuple[float, float]] = []
LOOP = LoopEngine(dtype=torch.float64)


@dataclass(frozen=True)
class Bends:
    """Follows both signals, or only writes them down."""

    every: int = 1
    follows: bool = False

    @property
    def reads(self):
        return (Every("sharpness", self.every), Every("curvature", self.every))

    def init(self, lr):
        return lr

    def step(self, observation, state):
        seen = float(observation["sharpness"]), float(observation["curvature"])
        SEEN.append(seen)
        along = seen[1] if math.isfinite(seen[1]) else seen[0]
        return state / (1 + abs(seen[0]) + abs(along)) if self.follows else state, state


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.3), nn.Linear(5, 2))


def problem(**changes) -> Problem:
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    given = {"model": net, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 8, "steps": 40}
    return Problem(**(given | changes))


def lane(policy, lr: float = 0.1, steps: int = STEPS) -> Lane:
    return Lane(lr, 3, steps, Criterion(loss=-math.inf), Until.END, policy)


def trained(own: Problem, *lanes: Lane, engine=LOOP):
    SEEN.clear()
    return [engine.train_lane(own, one) for one in lanes]


def facts(outcome):
    return replace(outcome, seconds=0.0, lane=None, first_valid_loss=None, first_train_loss=None)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_on_a_quadratic_both_are_exact(momentum):
    h = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    trained(quadratic(h.tolist(), momentum), lane(Bends()))
    x, velocity, along = torch.ones_like(h), torch.zeros_like(h), []
    for _ in range(STEPS - 1):
        velocity = momentum * velocity + h * x
        x = x - 0.1 * velocity
        along.append(float((h * velocity.square()).sum() / velocity.square().sum()))
    assert [seen[0] for seen in SEEN] == pytest.approx([1.0] * STEPS, rel=1e-12)
    assert math.isnan(SEEN[0][1])
    assert [seen[1] for seen in SEEN[1:]] == pytest.approx(along, rel=1e-12)


def by_hand(parts: int) -> list[tuple[float, float]]:
    """Both of an ordinary loop, from its whole Hessian, row by row, under the masks with which the step was trained."""
    own, found, last = problem(accumulate=parts), [], None
    assert own.batches is not None
    with isolated_randomness():
        seed_everything(derive_seed(3, "init"))
        model = net().double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        weights = list(model.parameters())
        batches = stream(own.batches, 3)
        for step in range(STEPS):
            total = torch.zeros((), dtype=torch.float64)
            for part in range(parts):
                x, y = next(batches)
                seed_everything(derive_seed(3, "mask", step, part))
                total = total + F.cross_entropy(model(x.double()), y) / parts
            gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total, weights, create_graph=True)])
            rows = [torch.autograd.grad(one, weights, retain_graph=True) for one in gradient]
            matrix = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
            place = torch.cat([w.detach().flatten() for w in weights])
            u = None if last is None else place - last
            along = math.nan if u is None else float(u @ matrix @ u / (u @ u))
            found.append((float(torch.linalg.eigvalsh(matrix)[-1]), along))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            last = place
    return found


@pytest.mark.parametrize("parts", [1, 2])
def test_of_a_network_with_batchnorm_and_dropout_they_are_those_of_its_whole_hessian(parts):
    trained(problem(accumulate=parts), lane(Bends()))
    truth = by_hand(parts)
    assert [seen[1] for seen in SEEN] == pytest.approx([along for _, along in truth], rel=1e-9, nan_ok=True)
    assert [seen[0] for seen in SEEN] == pytest.approx([top for top, _ in truth], rel=1e-2)
    assert len({round(top, 6) for top, _ in truth}) == STEPS


@pytest.mark.parametrize("kind", ["dropout", "attention", "a draw in the optimizer"])
def test_training_goes_on_to_the_bit_as_if_nobody_had_looked(kind):
    class Noisy(torch.optim.SGD):
        def step(self, closure=None):
            super().step()
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.add_(1e-3 * torch.randn_like(p))

    own = problem()
    if kind == "attention":
        own = problem(model=lambda: Transformer(8, 2, 1), train=(torch.randn(48, 64, generator=DRAW), Y[:48]))
    if kind.startswith("a draw"):
        own = problem(optimizer=lambda m: Noisy(m.parameters(), lr=0.1))
    engine = LoopEngine()
    watched, plain = trained(own, lane(Bends()), lane(Constant()), engine=engine)
    assert len(SEEN) == STEPS and all(math.isfinite(top) for top, _ in SEEN)
    assert facts(watched) == facts(plain)


@pytest.mark.parametrize(
    ("trunk", "rests"),
    [
        (Bends(2, follows=True), [Times(Bends(2), 0.7), Clipped(Bends(2, follows=True), 0.2), Constant()]),
        (Bends(2, follows=True), [Times(Bends(2), 0.7), Clipped(Bends(1, follows=True), 0.1), Bends(3, follows=True)]),
        (Constant(), [Bends(2, follows=True), Bends(3, follows=True), Times(Bends(1, follows=True), 0.5)]),
    ],
    ids=[
        "a trunk that looks",
        "arms that look at other cadences than it",
        "arms that look on their own",
    ],
)
def test_forks_and_lanes_kept_in_a_file_are_to_the_bit_those_from_the_start(trunk, rests, tmp_path):
    own = problem()
    lanes = [lane(Then(trunk, FORK, rest)) for rest in rests]
    found = dict(LOOP.train(own, lanes))
    alone = trained(own, *lanes)
    assert sum(outcome.spent for outcome in found.values()) == FORK + len(lanes) * (STEPS - FORK)
    assert [facts(replace(found[i], shared=0)) for i in range(len(lanes))] == [facts(outcome) for outcome in alone]
    assert len({outcome.trace[-1].loss for outcome in alone}) == len(lanes)
    with LOOP.start(own, [lanes[0]]) as training:
        training.advance(FORK + 1)
        training.snapshot(0).save(tmp_path / "kept.pt")
    kept = Snapshot.load(tmp_path / "kept.pt", lanes[0])
    with LOOP.start(own, [lanes[0]], at=[kept]) as training:
        [(_, resumed)] = training.advance(STEPS)
    assert facts(resumed) == facts(alone[0])


@pytest.mark.parametrize("policy", [Bends(follows=True), Then(Constant(), 4, Times(Bends(2, follows=True), 0.5))], ids=repr)
def test_lanes_hand_over_to_the_loop(policy):
    own = problem(model=lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)))
    engine = LaneEngine("mlp", dtype=torch.float64)
    lanes = [lane(policy), lane(policy, lr=0.3)]
    with pytest.raises(DoesNotApply, match="reads sharpness, whose second derivatives the loop computes"):
        engine.try_train(own, lanes)
    found = dict(engine.train(own, lanes))
    assert [facts(found[i]) for i in range(2)] == [facts(outcome) for outcome in trained(own, *lanes)]
    with (
        engine.start(own, [lane(Constant())]) as training,
        pytest.raises(DoesNotApply, match="reads sharpness"),
    ):
        training.advance(4)
        training.take([0], [lane(Then(Constant(), 4, Bends()))])


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * g * ctx.saved_tensors[0]


def own_loop(lr, seed, report):
    for _ in range(report.steps):
        report(loss=1.0)


LBFGS = {"optimizer": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1)}
TWICE = {"loss": lambda out, y: Once.apply(out).mean()}
HALF = {"model": lambda: nn.Linear(4, 2).bfloat16(), "train": (X.bfloat16(), Y)}


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (lambda: problem(**LBFGS), "reads sharpness, but the optimizer's step evaluates the loss itself"),
        (lambda: problem(**TWICE), "reads sharpness, and torch has no second derivative .* expected a policy that reads"),
        (lambda: problem(**HALF), "reads sharpness, and second derivatives take real .* not torch.bfloat16; expected"),
        (lambda: Problem.from_loop(own_loop, steps=9), "reads sharpness, which a training loop of your own does not report"),
    ],
)
def test_what_has_none_is_refused_in_a_sentence(own, sentence):
    with pytest.raises(ProblemError, match=sentence):
        trained(own(), lane(Bends()), engine=LoopEngine())


@pytest.mark.parametrize("adapter", [Controller, PolicyLR])
def test_a_controller_holds_no_loss_and_says_so(adapter):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ProblemError, match=r"reads sharpness, a second derivative, and here .* expected a policy that"):
        adapter(optimizer, Bends())


def test_looks_count_in_the_cost_and_once_where_parts_share_them():
    own = problem()
    policies = (Then(Bends(2), 4, Times(Bends(4), 0.5)), Bends(2), Constant())
    both, one, blind = (cost_of(own, [outcome]) for outcome in trained(own, *map(lane, policies)))
    assert one - blind == pytest.approx(5 * SHARPNESS_LOOK + 5 * CURVATURE_LOOK)
    assert both - one == pytest.approx(3 * SHARPNESS_LOOK)  # of every cadence an eigenvector of its own


def test_a_lane_that_diverges_ends_as_one():
    own = problem(loss=lambda out, y: F.mse_loss(out, out.detach() + y[:, None] + 1e30 * out.square()))
    [outcome] = trained(own, lane(Bends(follows=True), lr=1e30))
    assert outcome.status.broken


def test_where_the_last_update_was_none_there_is_no_curvature_along_it():
    trained(quadratic([1.0, 0.5]), lane(Times(Bends(), 0.0)))
    assert len(SEEN) == STEPS and all(math.isnan(along) for _, along in SEEN)
