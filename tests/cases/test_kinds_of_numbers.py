"""Half precision, sparse and complex parameters, tied weights, optimizers that maximise: counted whole, or refused."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Criterion, Lane, Options, Point, Problem, ProblemError, Sharpness
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.gradients import clip, gradient_values
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import set_up
from etastar.engine import LoopEngine, SequentialEngine
from etastar.engine.choice import choose

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(256, 16, generator=GENERATOR)
Y = X[:, :4].argmax(1)
END = {"criterion": Criterion(loss=-1.0), "until": Until.END}


def sgd(model, lr=0.5):
    return torch.optim.SGD(model.parameters(), lr=lr)


def by_hand(problem: Problem, lane: Lane) -> list[float]:
    """The losses of an ordinary loop from the lane's weights, over its batches."""
    with isolated_randomness():
        seed_everything(derive_seed(lane.seed, "init"))
        model = problem.model().train()
        optimizer = problem.optimizer(model)
        optimizer.param_groups[0]["lr"] = lane.lr
        losses = []
        for _, (x, y) in zip(range(lane.steps), stream(problem.batches, lane.seed), strict=False):
            optimizer.zero_grad()
            loss = problem.loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def half(dtype):
    def network():
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).to(dtype)

    loss = lambda o, t: F.cross_entropy(o.float(), t)
    return Problem(model=network, optimizer=sgd, loss=loss, train=(X.to(dtype), Y), batch_size=32, steps=80)


HALVES = [
    (torch.bfloat16, torch.optim.SGD, 0.5), (torch.float16, torch.optim.SGD, 0.5), (torch.bfloat16, torch.optim.Adam, 0.05),
    (torch.bfloat16, torch.optim.AdamW, 0.05), (torch.bfloat16, torch.optim.Adagrad, 0.05),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "optimizer", "lr"), HALVES)
def test_half_precision_models_move_under_the_tuned_loop_as_in_an_ordinary_one(dtype, optimizer, lr):
    own = half(dtype).but(optimizer=lambda m: optimizer(m.parameters(), lr=lr))
    lane = Lane(lr, 3, 40, **END)
    truth = by_hand(own, lane)
    tuned = [row.loss for row in SequentialEngine().train_lane(own, lane).trace]
    assert sum(truth[-10:]) < 0.8 * sum(truth[:10]), "the ordinary loop learns"
    assert sum(tuned[-10:]) == pytest.approx(sum(truth[-10:]), rel=0.1)


class Factors(nn.Module):
    def __init__(self, sparse) -> None:
        super().__init__()
        self.u, self.v = nn.Embedding(30, 4, sparse=sparse), nn.Embedding(40, 4, sparse=sparse)

    def forward(self, pairs):
        return (self.u(pairs[:, 0]) * self.v(pairs[:, 1])).sum(1)


PAIRS = torch.stack([torch.randint(30, (400,), generator=GENERATOR), torch.randint(40, (400,), generator=GENERATOR)], 1)
RATING = torch.randn(400, generator=GENERATOR)


@pytest.mark.parametrize("settings", [{}, {"clip_grad_norm": 0.5}, {"accumulate": 2}])
def test_sparse_gradients_count_as_much_as_their_dense_twins(settings):
    common = {"optimizer": sgd, "loss": F.mse_loss, "train": (PAIRS, RATING), "batch_size": 40, "steps": 60}
    lanes = [
        LoopEngine(dtype=torch.float64).train_lane(
            Problem(model=lambda sparse=sparse: Factors(sparse), **common, **settings), Lane(1.0, 2, 60, **END)
        )
        for sparse in (False, True)
    ]
    dense, sparse = lanes
    assert sparse.steps == dense.steps == 60 and sparse.status == dense.status
    for a, b in zip(dense.trace, sparse.trace, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=1e-10)
        assert b.grad_norm == (None if a.grad_norm is None else pytest.approx(a.grad_norm, rel=1e-10))


def test_a_place_that_is_hit_twice_counts_once_with_its_sum():
    table = nn.Embedding(5, 1, sparse=True)
    (3 * table(torch.tensor([2, 2, 4]))).sum().backward()
    assert gradient_values(table.parameters())[0].flatten().tolist() == [6.0, 3.0]
    assert float(clip(list(table.parameters()), 1.0)) == pytest.approx(45**0.5)
    assert float(table.weight.grad.to_dense().norm()) == pytest.approx(1.0, rel=1e-5)


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(16, 6, dtype=torch.cfloat) / 4)
        self.out = nn.Linear(6, 4)

    def forward(self, x):
        return self.out((x.to(self.w.dtype) @ self.w).abs())


COMPLEX = Problem(model=Spectral, optimizer=sgd, loss=F.cross_entropy, train=(X, Y), batch_size=32, steps=60)


def test_complex_models_train_with_both_parts_also_in_float64():
    setup = set_up(COMPLEX, 1, dtype=torch.float64)
    assert setup.model.w.dtype == torch.complex128 and setup.model.out.weight.dtype == torch.float64
    lane = Lane(0.5, 4, 30, **END)
    losses = [row.loss for row in LoopEngine(dtype=torch.float64).train_lane(COMPLEX, lane).trace]
    assert losses == pytest.approx(by_hand(COMPLEX, lane), rel=1e-4)


def test_every_probe_refuses_complex_parameters_in_one_sentence():
    answer = etastar.probe(COMPLEX)
    assert not answer.ok and {r.estimate.reason for r in answer.readings} == {
        "it has complex parameters, and probes read real ones; hold real and imaginary parts in real parameters"
    }


def ascent(model):
    plain, rising = list(model[0].parameters()), list(model[2].parameters())
    return torch.optim.SGD([{"params": plain}, {"params": rising, "maximize": True}], lr=0.1)


UPHILL = Problem(
    model=lambda: nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4)),
    optimizer=ascent, loss=lambda o, t: -F.cross_entropy(o, t), train=(X, Y), batch_size=32, steps=60,
)  # fmt: skip
OPTIONS = Options(store=":memory:", workers=1)


@pytest.mark.parametrize("verb", [etastar.find, etastar.eta_star, etastar.momentum, etastar.surface, etastar.search])
def test_every_verb_refuses_an_optimizer_that_maximises(verb):
    with pytest.raises(ProblemError, match=r"the optimizer maximises .* pass the negated loss"):
        verb(UPHILL, options=OPTIONS)


def test_probes_refuse_an_optimizer_that_maximises():
    with pytest.raises(ProblemError, match="the optimizer maximises"):
        etastar.probe(UPHILL)
    net = UPHILL.model()
    reading = Sharpness()(Point(model=net, optimizer=ascent(net), batch=(X, Y), loss=F.cross_entropy))
    assert not reading.ok and "the optimizer maximises" in reading.estimate.reason


class Tied(nn.Module):
    """A table of 12 x 6 that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 6)
        self.out = nn.Linear(6, 12, bias=False)
        self.out.weight = self.table.weight

    def forward(self, tokens):
        return self.out(self.table(tokens))


def test_tied_weights_count_once():
    tokens = torch.arange(48) % 12
    tied = Problem(model=Tied, optimizer=sgd, loss=F.cross_entropy, train=(tokens, tokens.roll(1)), batch_size=12, steps=60)
    setup = set_up(tied, 0)
    assert [group.parameters for group in setup.groups] == [72]
    answer = etastar.probe(tied)
    assert answer.parameters == 72
    lane = Lane(0.5, 4, 30, **END)
    outcome = LoopEngine().train_lane(tied, lane)
    assert [row.loss for row in outcome.trace] == pytest.approx(by_hand(tied, lane), rel=1e-5)
    with isolated_randomness():
        seed_everything(derive_seed(4, "init"))
        twin = Tied()
        x, y = next(stream(tied.batches, 4))
        F.cross_entropy(twin(x), y).backward()
    assert outcome.trace[0].grad_norm == pytest.approx(float(twin.table.weight.grad.norm()), rel=1e-5)
    chosen = choose(tied, Criterion(), engine="vmap").build("cpu")
    assert dict(chosen.train(tied, [lane]))[0].end_loss == pytest.approx(outcome.end_loss, rel=1e-4)
    assert copy.deepcopy(twin).out.weight.shape == (12, 6)
