"""Known traps of training many networks at once, one test each. What cannot be vectorised falls back and stays right."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from etastar import Criterion, Lane, LaneEngine, Outcome, Problem
from etastar.core import Until
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import isolated_randomness
from etastar.engine import LoopEngine
from etastar.engine.choice import Choice, choose
from etastar.errors import DoesNotApply

UNREACHABLE = Criterion(loss=-math.inf)


@pytest.fixture
def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 12, (96, 5), generator=generator)
    return x, x.sum(1) % 3


def problem(model, data, **settings) -> Problem:
    optimizer = lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9)
    return Problem(model=model, optimizer=optimizer, loss=F.cross_entropy, train=data, batch_size=16, steps=40, **settings)


def lanes(steps: int = 12) -> list[Lane]:
    return [Lane(lr, seed, steps, UNREACHABLE, Until.END) for seed, lr in ((1, 0.01), (2, 0.03), (1, 0.03))]


def losses(outcomes: list[Outcome]) -> list[list[float]]:
    return [[row.loss for row in o.trace] + [o.valid_loss or 0.0] for o in outcomes]


def choice_for(problem: Problem) -> Choice:
    return choose(problem, UNREACHABLE)


def assert_vectorised(problem: Problem, kernel: str = "vmap") -> None:
    """The kernel trains it, exactly as the loop does."""
    ours = LaneEngine(kernel, dtype=torch.float64).try_train(problem, lanes())
    loops = [LoopEngine(dtype=torch.float64).train_lane(problem, lane) for lane in lanes()]
    for mine, truth in zip(losses(ours), losses(loops), strict=True):
        assert mine == pytest.approx(truth, rel=1e-12)


def assert_falls_back(problem: Problem, why: str) -> None:
    """No kernel is chosen, a sentence says why, and the answer is the loop's."""
    choice = choice_for(problem)
    assert choice.engine == "sequential" and choice.fell_back
    assert why in dict(choice.refused)["vmap"]
    ours = [outcome for _, outcome in choice.build("cpu", torch.float64).train(problem, lanes())]
    truth = [outcome for _, outcome in LoopEngine(dtype=torch.float64).train(problem, lanes())]
    for mine, true in zip(losses(ours), losses(truth), strict=True):
        assert mine == pytest.approx(true, rel=1e-12)


class Net(nn.Module):
    """Linear, something in between, linear."""

    def __init__(self, between) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


# -- what works ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.LayerNorm(16),
        lambda: nn.GroupNorm(4, 16),
        lambda: nn.BatchNorm1d(16),
        lambda: nn.BatchNorm1d(16, track_running_stats=False),
        lambda: nn.Sequential(nn.Unflatten(1, (4, 4)), nn.MultiheadAttention(4, 2, batch_first=True)),
        lambda: parametrizations.weight_norm(nn.Linear(16, 16)),
        lambda: nn.ReLU(inplace=True),
    ],
    ids=["LayerNorm", "GroupNorm", "BatchNorm", "BatchNorm without statistics", "attention", "weight_norm", "relu_"],
)
def test_layers_that_vectorise(data, layer):
    class Take(nn.Module):
        def __init__(self, inner) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x):
            if isinstance(self.inner, nn.Sequential):
                x = self.inner[0](x)
                return self.inner[1](x, x, x, need_weights=False)[0].flatten(1)
            return self.inner(x)

    assert_vectorised(problem(lambda: Net(Take(layer())), data, valid=data))


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_vectorise_or_fall_back_with_the_loops_answer(data, cell):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.last = cell(2, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.cell(x.unflatten(1, (3, 2)))[0][:, -1])

    chosen = problem(Recurrent, data)
    try:
        assert_vectorised(chosen)
    except DoesNotApply:
        assert_falls_back(chosen, "torch cannot vectorise it")


def test_embeddings_vectorise(tokens):
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.last = nn.Embedding(12, 8, padding_idx=0), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.words(x).mean(1))

    assert_vectorised(problem(Words, tokens))


def test_batchnorm_statistics_are_updated_lane_by_lane(data):
    """Stacked buffers: the running statistics of every lane decide its validation loss."""
    chosen = problem(lambda: nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)), data, valid=data)
    ours = LaneEngine("vmap", dtype=torch.float64).try_train(chosen, lanes())
    assert len({o.valid_loss for o in ours}) == 3
    assert_vectorised(chosen)


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_tied_weights_stay_tied(data, kernel):
    """A base on the meta device unties them and computes with uninitialised memory; ours is a plain deep copy."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.last(torch.relu(self.second(torch.relu(self.first(x)))))

    chosen = problem(Tied, data)
    if kernel == "vmap":
        assert_vectorised(chosen)
    else:
        with pytest.raises(DoesNotApply, match="frozen or shares its parameters"):
            LaneEngine("mlp").try_train(chosen, lanes())


# -- what does not -------------------------------------------------------------------------------------------------------


def test_dropout_is_random_beyond_our_control_and_falls_back(data):
    """Under vmap, lane 1's masks would depend on how many lanes there are and change after compaction."""
    assert_falls_back(problem(lambda: Net(nn.Dropout(0.3)), data), "draws random numbers")
    assert choice_for(problem(lambda: Net(nn.Dropout(0.0)), data)).engine in ("mlp", "sequential")


class Reads(nn.Module):
    def forward(self, x):
        return x * (1.0 if x.sum().item() > 0 else 0.5)


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else 2 * x


class Selects(nn.Module):
    def forward(self, x):
        return x - x[x > 0].mean()


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, x):
        total = torch.zeros(16, dtype=x.dtype)
        total += x.mean(0)
        return x - total


class Checkpointed(nn.Module):
    def forward(self, x):
        return checkpoint(torch.tanh, x, use_reentrant=True)


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x > 0)


class Custom(nn.Module):
    def forward(self, x):
        return OldStyle.apply(x)


@pytest.mark.parametrize("layer", [Reads, Branches, Selects, Counts, Checkpointed, Custom])
def test_code_that_looks_at_its_numbers_falls_back(data, layer):
    assert_falls_back(problem(lambda: Net(layer()), data), "torch cannot vectorise it")


def test_spectral_norm_falls_back(data):
    """Its power iteration writes to buffers that vmap holds once for all lanes."""
    chosen = problem(lambda: Net(parametrizations.spectral_norm(nn.Linear(16, 16))), data)
    assert parametrize.is_parametrized(chosen.model().between)
    choice = choice_for(chosen)
    assert choice.engine == "sequential", choice.refused


@pytest.mark.parametrize("settings", [{"sparse": True}, {"max_norm": 1.0}])
def test_sparse_and_renormalising_embeddings_fall_back(tokens, settings):
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.last = nn.Embedding(12, 8, **settings), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(self.words(x).mean(1))

    plain = lambda m: torch.optim.SGD(m.parameters(), lr=0.05)
    chosen = problem(Words, tokens).but(optimizer=plain)
    with pytest.raises(DoesNotApply, match="sparse, or renormalises"):
        LaneEngine("vmap").try_train(chosen, lanes())
    choice = choice_for(chosen)
    assert choice.fell_back and choice.engine == ("loop" if "sparse" in settings else "sequential")  # fused: dense only


# -- numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_rates_and_betas_are_held_in_float64(data, kernel):
    """A rate rounded to float32 alone moves a float64 training by 1e-9 or more."""
    adam = lambda m: torch.optim.Adam(m.parameters(), lr=0.1, betas=(0.9, 0.999))
    chosen = problem(lambda: Net(nn.Tanh()), data).but(optimizer=adam)
    lane = Lane(0.0123456789, 3, 30, UNREACHABLE, Until.END)
    (mine,) = LaneEngine(kernel, dtype=torch.float64).try_train(chosen, [lane])
    truth = LoopEngine(dtype=torch.float64).train_lane(chosen, lane)
    rounded = LoopEngine(dtype=torch.float64).train_lane(
        chosen, Lane(float(torch.tensor(lane.lr)), 3, 30, UNREACHABLE, Until.END)
    )
    assert mine.end_loss == pytest.approx(truth.end_loss, rel=1e-13)
    assert abs(rounded.end_loss / truth.end_loss - 1) > 1e-11, "the rounding would have been seen"


def test_denormals_are_flushed_while_lanes_train_and_not_after():
    """Products with denormal numbers are tens of times slower, and dying networks are full of them."""
    tiny, large = torch.full((8, 64, 64), 1e-41), torch.full((8, 64, 64), 1e10)
    with isolated_randomness(), steady_numerics():
        assert float(tiny[0, 0, 0] * 1.0) == 0.0
        assert not torch.bmm(tiny, large).any(), "flushed in the products, too, where they cost most"
    assert float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) != 0.0
    assert torch.bmm(tiny, large).all()


def test_tf32_is_off_while_lanes_train_and_restored():
    before = torch.backends.cudnn.allow_tf32
    with steady_numerics():
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_num_threads() == 1
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_problems_own_model_is_never_moved_or_changed(data):
    net = Net(nn.Tanh())
    before = copy.deepcopy(net.state_dict())
    LaneEngine("vmap", dtype=torch.float64).try_train(problem(lambda: copy.deepcopy(net), data), lanes())
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == torch.float32 for name in before)
