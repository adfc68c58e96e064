"""What the user's data and losses remember: every lane starts with it as it was passed, and it is the same afterwards."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import etastar
from diagonal import diagonal
from etastar import Criterion, Lane, Options, Point, Problem, Sharpness
from etastar.core import Until
from etastar.core.randomness import state_of
from etastar.engine import LoopEngine
from etastar.engine.preflight import preflight

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(192, 8, generator=GENERATOR)
Y = (X[:, 0] > 0).long()
OPTIONS = Options(store=":memory:", workers=1)
LANE = Lane(0.1, 5, 20, Criterion(loss=-1.0), Until.END)


def problem(train=(X, Y), loss=F.cross_entropy, **changes) -> Problem:
    given = {
        "model": lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 2)),
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "steps": 60,
    }
    return Problem(train=train, loss=loss, **(given | changes))


class Jitter:
    """A transform with a generator of its own."""

    def __init__(self, rng) -> None:
        self.rng = rng

    def __call__(self, x):
        if isinstance(self.rng, torch.Generator):
            return x + 0.1 * torch.randn(8, generator=self.rng)
        draw = self.rng.gauss if isinstance(self.rng, random.Random) else self.rng.normal
        return x + 0.1 * float(draw(0, 1))


class Augmented(Dataset):
    def __init__(self, rng) -> None:
        self.transforms = {"train": [Jitter(rng)]}

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i):
        return self.transforms["train"][0](X[i]), Y[i]


class Stream(IterableDataset):
    def __init__(self, rng) -> None:
        self.jitter = Jitter(rng)

    def __iter__(self):
        return ((self.jitter(x), y) for x, y in zip(X, Y, strict=True))


class Weighted(torch.utils.data.Sampler):
    def __init__(self, rng) -> None:
        self.rng = rng

    def __iter__(self):
        return iter([self.rng.randrange(len(X)) for _ in range(len(X))])

    def __len__(self) -> int:
        return len(X)


RNGS = {
    "numpy": lambda: np.random.default_rng(7), "legacy numpy": lambda: np.random.RandomState(7),
    "mersenne": lambda: np.random.Generator(np.random.MT19937(7)), "torch": lambda: torch.Generator().manual_seed(7),
    "python": lambda: random.Random(7),
}  # fmt: skip
FORMS = {
    "dataset": lambda rng: (Augmented(rng), 32),
    "subset": lambda rng: (DataLoader(Subset(Augmented(rng), range(160)), batch_size=32, shuffle=True), None),
    "loader": lambda rng: (DataLoader(Augmented(rng), batch_size=32), None),
    "stream": lambda rng: (DataLoader(Stream(rng), batch_size=32), None),
}


@pytest.mark.parametrize(("rng", "form"), diagonal(RNGS, FORMS))
def test_generators_that_data_own_are_seeded_for_every_batch_and_put_back(form, rng):
    own = RNGS[rng]()
    before = repr(state_of(own)), copy.deepcopy(own.get_state() if isinstance(own, torch.Generator) else 0)
    train, size = FORMS[form](own)
    noisy = problem(train, batch_size=size)
    first, again = (LoopEngine().train_lane(noisy, LANE) for _ in range(2))
    assert [row.loss for row in first.trace] == [row.loss for row in again.trace]
    assert len({row.loss for row in first.trace}) == 20
    assert preflight(noisy).reproducible
    etastar.probe(noisy)
    assert repr(state_of(own)) == before[0]
    if isinstance(own, torch.Generator):
        assert torch.equal(own.get_state(), before[1])


def test_two_seeds_draw_other_noise_and_two_epochs_too():
    noisy = problem(Augmented(np.random.default_rng(7)), batch_size=192)
    read = lambda seed, epoch: next(iter(noisy.batches.epoch(seed, epoch, shuffle=False)))[0]
    assert torch.equal(read(1, 0), read(1, 0))
    assert not torch.equal(read(1, 0), read(2, 0)) and not torch.equal(read(1, 0), read(1, 1))


def test_a_generator_in_a_collate_function_or_a_sampler_of_the_users_counts():
    rng = np.random.default_rng(1)

    def collate(rows):
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        return x + 0.1 * torch.as_tensor(rng.standard_normal(x.shape), dtype=x.dtype), y

    sampler = Weighted(random.Random(2))
    before = repr(rng.bit_generator.state), sampler.rng.getstate()
    loader = DataLoader(TensorDataset(X, Y), batch_size=32, sampler=sampler, collate_fn=collate)
    assert preflight(problem(loader)).reproducible
    assert (repr(rng.bit_generator.state), sampler.rng.getstate()) == before


class Warming(nn.Module):
    """Cross-entropy whose weight grows over its first calls; the count is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, outputs, targets):
        self.calls += 1
        return F.cross_entropy(outputs, targets) * torch.clamp(self.calls / 8, max=1.0)


class Running:
    """Divides by the running size of the loss: a plain object, a number and a list."""

    def __init__(self) -> None:
        self.size, self.seen = 1.0, []

    def __call__(self, outputs, targets):
        loss = F.cross_entropy(outputs, targets)
        self.size = 0.9 * self.size + 0.1 * loss.item()
        self.seen.append(self.size)
        return loss / self.size


class Method:
    def __init__(self) -> None:
        self.inner = Warming()

    def loss(self, outputs, targets):
        return self.inner(outputs, targets)


def state(loss):
    return copy.deepcopy(vars(loss) if not isinstance(loss, nn.Module) else dict(loss.named_buffers()))


@pytest.mark.parametrize("make", [Warming, Running])
@pytest.mark.parametrize("wrap", [lambda loss: loss, lambda loss: lambda o, t: loss(o, t)], ids=["itself", "in a lambda"])
def test_a_loss_that_remembers_starts_every_lane_alike_and_is_as_before(make, wrap):
    loss = make()
    before = state(loss)
    own = problem(loss=wrap(loss), batch_size=32)
    by_hand = make()
    first, again = (LoopEngine().train_lane(own, LANE) for _ in range(2))
    assert [row.loss for row in first.trace] == [row.loss for row in again.trace]
    fresh = LoopEngine().train_lane(problem(loss=by_hand, batch_size=32), LANE)
    assert [row.loss for row in first.trace] == [row.loss for row in fresh.trace]
    facts = preflight(own)
    assert facts.reproducible and "loss-changes" in facts.flags
    assert facts.first_loss == pytest.approx(0.69 / 8 if make is Warming else 0.7, rel=0.4)
    etastar.probe(own)
    etastar.find(own, effort="glance", options=OPTIONS)
    assert state(loss) == before


def test_a_method_of_an_object_and_a_loss_of_model_and_batch_count_as_well():
    for name in ("loss", "loss_fn"):
        holder = Method()
        fn = holder.loss if name == "loss" else lambda m, b, holder=holder: holder.loss(m(b[0]), b[1])
        own = problem(**{"loss": None, name: fn}, batch_size=32)
        LoopEngine().train_lane(own, LANE)
        assert "loss-changes" in preflight(own).flags
        assert float(holder.inner.calls) == 0


def test_the_curvature_of_a_loss_that_remembers_is_that_of_its_next_call():
    torch.manual_seed(0)
    net, loss = problem().model(), Warming()
    loss.calls += 3
    sharpness = lambda fn: Sharpness(1e-4)(
        Point(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), batch=(X, Y), loss=fn)
    )
    assert sharpness(loss).value == pytest.approx(0.5 * sharpness(F.cross_entropy).value, rel=1e-3)
    assert float(loss.calls) == 3


STEPS = [0]


def shared(outputs, targets):
    STEPS[0] += 1
    return F.cross_entropy(outputs, targets)


def test_a_variable_that_lanes_share_is_flagged_and_its_lanes_are_not_reused():
    facts = preflight(problem(loss=shared, batch_size=32))
    assert "shared-state" in facts.flags and not facts.reproducible
    log = []
    logging = lambda o, t: (log.append(1), F.cross_entropy(o, t))[1]
    facts = preflight(problem(loss=logging, batch_size=32))
    assert facts.reproducible and "shared-state" not in facts.flags and log


class Chosen(torch.utils.data.Sampler):
    """An order that cannot be rebuilt: the loader is iterated as it is."""

    def __iter__(self):
        return iter(range(64))

    def __len__(self):
        return 64


def test_a_refusal_in_the_middle_of_an_epoch_puts_the_generators_back_at_once():
    """Also while somebody keeps the exception, and with it the frames in which the epoch was read."""
    own = torch.Generator().manual_seed(7)
    data = torch.utils.data.TensorDataset(torch.randn(64, 3), torch.randn(64, 1))
    problem = etastar.Problem(
        model=lambda: nn.Linear(3, 1),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=lambda outputs, targets: (outputs - targets).square(),
        train=torch.utils.data.DataLoader(data, batch_size=8, sampler=Chosen(), generator=own),
        steps=20,
    )
    before = own.get_state()
    with pytest.raises(etastar.ProblemError, match="expected a real scalar") as kept:
        etastar.find(problem, effort="glance", options=etastar.Options(store=":memory:", workers=1))
    assert kept.value.__traceback__ is not None and torch.equal(own.get_state(), before)
