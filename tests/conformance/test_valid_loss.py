"""The signal `valid_loss`: on data that only policies see, as validation measures it; training is not disturbed by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import etastar
from etastar import Criterion, Lane, LaneEngine, Options, Problem, ProblemError
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.engine import LoopEngine
from etastar.engine.preflight import preflight
from etastar.engine.scoring_cost import cost_of
from etastar.policies import Constant
from etastar.policies.compose import Then, Times
from etastar.policies.policy import Every
from etastar.store.fingerprint import fingerprint

DRAW = torch.Generator().manual_seed(4)
X, WX = torch.randn(80, 5, generator=DRAW), torch.randn(301, 5, generator=DRAW)
Y, WY = X[:, :3].argmax(1), WX[:, :3].argmax(1)
STEPS = 11
SEEN: list[list[float]] = []


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3))


def with_modes() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3))


def problem(**changes) -> Problem:
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    given = {"model": plain, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": 40}
    return Problem(**(given | {"watch": (WX, WY)} | changes))


def lane(policy, lr: float = 0.1, seed: int = 3, steps: int = STEPS) -> Lane:
    return Lane(lr, seed, steps, Criterion(loss=-math.inf), Until.END, policy)


@dataclass(frozen=True)
class Sees:
    """Writes down what it sees, lane by lane; the rate is the lane's, or follows what it sees."""

    every: int = 1
    follows: bool = False

    @property
    def reads(self):
        return (Every("valid_loss", self.every),)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        seen = torch.as_tensor(observation["valid_loss"])
        SEEN.append(seen.reshape(-1).tolist())
        return state * (seen if self.follows else 1.0), state


def trained(engine, own: Problem, *lanes: Lane):
    SEEN.clear()
    if isinstance(engine, LaneEngine):
        return engine.try_train(own, list(lanes))
    return [engine.train_lane(own, one) for one in lanes]


def by_hand(make, steps=STEPS, loss=F.cross_entropy, follows=False, seed=3, lr=0.1):
    """Losses on the watched data, all at once in eval mode, of an ordinary loop over the lane's own batches."""
    own, found = problem(model=make), []
    with isolated_randomness():
        seed_everything(derive_seed(seed, "init"))
        model = make().double()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        batches = stream(own.batches, seed)
        for step in range(steps):
            x, y = next(batches)
            seed_everything(derive_seed(seed, "mask", step, 0))
            optimizer.zero_grad()
            loss(model.train()(x.double()), y).backward()
            with torch.no_grad():
                found.append(loss(model.eval()(WX.double()), WY).item())
            optimizer.param_groups[0]["lr"] = lr * (found[-1] if follows else 1.0)
            optimizer.step()
    return found


LOOP = lambda: LoopEngine(dtype=torch.float64)
ENGINES = {
    "loop": (LOOP, plain),
    "loop, BatchNorm and dropout": (LOOP, with_modes),
    "mlp": (lambda: LaneEngine("mlp", dtype=torch.float64), plain),
    "vmap": (lambda: LaneEngine("vmap", dtype=torch.float64), plain),
}


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("kind", ENGINES)
def test_it_is_the_mean_over_all_of_watch_in_eval_mode(kind, follows):
    engine, make = ENGINES[kind]
    truth = by_hand(make, follows=follows)
    trained(engine(), problem(model=make), lane(Sees(follows=follows)))
    assert len(set(truth)) == STEPS
    assert [seen[0] for seen in SEEN][:STEPS] == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("kind", ["mlp", "vmap"])
def test_rows_see_their_own_and_train_as_the_loop(kind):
    lanes = [lane(Sees(follows=True), lr, seed) for lr, seed in ((0.1, 3), (0.03, 3), (0.2, 5))]
    ours = trained(ENGINES[kind][0](), problem(), *lanes)
    rows = [list(column) for column in zip(*SEEN, strict=True)]
    for index, one in enumerate(lanes):
        loop = trained(LOOP(), problem(), one)[0]
        assert rows[index][:STEPS] == pytest.approx([seen[0] for seen in SEEN], rel=1e-10)
        assert [row.loss for row in ours[index].trace] == pytest.approx([row.loss for row in loop.trace], rel=1e-10)


@pytest.mark.parametrize("engine", [LoopEngine, lambda: LaneEngine("mlp"), lambda: LaneEngine("vmap")])
def test_between_looks_the_last_value_and_nothing_is_evaluated(engine):
    evaluated = []

    class Counting(Dataset):
        def __len__(self):
            return len(WX)

        def __getitem__(self, index):
            evaluated.append(index)
            return WX[index], WY[index]

    own = problem(watch=Counting())
    trained(engine(), own, lane(Sees()))
    each_step = [seen[0] for seen in SEEN[:STEPS]]
    evaluated.clear()
    outcome = trained(engine(), own, lane(Sees(every=4)))[0]
    assert [seen[0] for seen in SEEN[:STEPS]] == pytest.approx([each_step[t - t % 4] for t in range(STEPS)], rel=1e-6)
    assert len(evaluated) == 3 * len(WX)
    outcomes = [outcome], [trained(engine(), own, lane(Constant()))[0]]
    watched = cost_of(own, outcomes[0]) - cost_of(own, outcomes[1])
    assert watched == pytest.approx(3 * len(WX) / 3 / 16)  # a forward pass is a third of a step of 16 samples


@dataclass(frozen=True)
class Peeks:
    """Sees and keeps the rate."""

    reads = ("valid_loss",)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        assert bool(torch.isfinite(torch.as_tensor(observation["valid_loss"])).all())
        return state, state


class NoisyAveraging(torch.optim.SGD):
    """Evaluates at other weights than it trains at, and draws noise in its step: what a look may not disturb."""

    def eval(self):
        for p in self.param_groups[0]["params"]:
            p.data.mul_(1 / 3)

    def train(self):
        for p in self.param_groups[0]["params"]:
            p.data.mul_(3)

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad.add_(torch.randn(p.shape), alpha=1e-2)
        return super().step(closure)


class Counted(nn.Module):
    """A loss that remembers how often it was asked."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, outputs, targets):
        self.calls += 1
        return F.cross_entropy(outputs, targets) * (1 + 0.01 * self.calls)


UNDISTURBED = {
    "BatchNorm and dropout": {"model": with_modes},
    "an optimizer with modes that draws": {"optimizer": lambda m: NoisyAveraging(m.parameters(), lr=0.1)},
    "a loss that remembers": {"loss": Counted()},
    "accumulation and clipping": {"accumulate": 2, "clip_grad_norm": 0.1, "model": with_modes},
    "a step that takes a closure": {"optimizer": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=2)},
    "validation": {"valid": (X[:20], Y[:20]), "model": with_modes},
}


@pytest.mark.parametrize("kind", UNDISTURBED)
def test_a_look_changes_no_bit_of_the_training(kind):
    own = problem(**UNDISTURBED[kind])
    looked, alone = trained(LoopEngine(), own, lane(Peeks()), lane(Constant()))
    assert looked.trace == alone.trace and looked.valid_loss == alone.valid_loss
    assert looked.end_loss == alone.end_loss and looked.end_accuracy == alone.end_accuracy


def test_a_sum_is_in_the_unit_of_a_training_batch():
    total = nn.CrossEntropyLoss(reduction="sum")
    trained(LOOP(), problem(loss=total), lane(Sees(), lr=0.003))
    truth = by_hand(plain, loss=nn.CrossEntropyLoss(reduction="sum"), lr=0.003)
    assert [seen[0] for seen in SEEN] == pytest.approx([loss * 16 / len(WX) for loss in truth], rel=1e-10)


@pytest.mark.parametrize(
    "watch",
    [
        TensorDataset(WX, WY),
        DataLoader(TensorDataset(WX, WY), batch_size=70),
        DataLoader(TensorDataset(WX, WY), batch_size=64, shuffle=True),
    ],
)
def test_watch_comes_in_every_form_of_valid(watch):
    trained(LOOP(), problem(watch=watch), lane(Sees()))
    assert [seen[0] for seen in SEEN] == pytest.approx(by_hand(plain), rel=1e-10)


def test_a_fork_goes_on_with_what_it_saw():
    forks = [lane(Then(Sees(every=3, follows=True), 7, Times(Constant(), factor))) for factor in (0.5, 0.1)]
    together = dict(LOOP().train(problem(), forks))
    apart = [trained(LOOP(), problem(), one)[0] for one in forks]
    rows = dict(LaneEngine("mlp", dtype=torch.float64).train(problem(), forks))
    for index in range(2):
        assert together[index].trace == apart[index].trace
        assert [row.loss for row in rows[index].trace] == pytest.approx([row.loss for row in apart[index].trace], rel=1e-10)


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(X, Y, strict=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"watch": None}, r"reads valid_loss, and there is no data that only policies see; expected watch=\(inputs"),
        ({"valid": (WX, WY)}, "watch is the data of valid; expected other samples"),
        ({"valid": DataLoader(TensorDataset(WX, WY), batch_size=7)}, "watch is the data of valid"),
        ({"watch": DataLoader(Endless(), batch_size=8)}, "watch does not say how long it is"),
        ({"watch": (WX, WY[:5])}, "watch holds tensors of shapes"),
    ],
)
@pytest.mark.parametrize("engine", [LoopEngine, lambda: LaneEngine("mlp")])
def test_what_cannot_be_watched_is_a_sentence(engine, changes, words):
    with pytest.raises(ProblemError, match=words):
        trained(engine(), problem(**changes), lane(Sees()))


def test_watch_that_holds_nan_is_a_sentence():
    with pytest.raises(ProblemError, match="watch holds NaN or infinite numbers"):
        preflight(problem(watch=(WX * math.nan, WY), schedule=Sees()))


def test_a_loop_of_ones_own_is_told_that_it_does_not_report_it():
    own = Problem.from_loop(lambda lr, seed, report: report(loss=1.0), steps=40)
    with pytest.raises(ProblemError, match="reads valid_loss, which a training loop of your own does not report"):
        trained(LoopEngine(), own, lane(Sees()))


def test_watch_counts_in_the_fingerprint_and_its_absence_does_not():
    of = lambda **changes: fingerprint(problem(**changes), {}, "1.0")
    assert of(watch=None) == of(watch=None) != of() == of(watch=(WX.clone(), WY.clone())) != of(watch=(WX + 1, WY))


def test_find_measures_with_a_policy_that_watches():
    own = problem(schedule=Sees(every=20, follows=True), steps=60, valid=(X[:30], Y[:30]))
    answer = etastar.find(own, effort="quick", options=Options(store=":memory:", workers=1))
    assert answer.lr.ok and answer.best.scored_on == "validation loss"
    blind = cost_of(own.but(watch=None), answer.runs)
    looks = sum(-(-outcome.spent // 20) for outcome in answer.runs)
    assert cost_of(own, answer.runs) == pytest.approx(blind + looks * len(WX) / 3 / 16)
