"""What lanes are scored on: every validation sample once, one part of much data, and the same measure before any update."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import etastar
from etastar.core.lane import Lane, Until
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.core.setup import set_up
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.sequential import SequentialEngine

DIM, CLASSES = 5, 3
END = Until.END


def clusters(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=g)
    centres = 1.5 * torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(9))
    return centres[labels] + torch.randn(n, DIM, generator=g), labels


def network():
    return nn.Sequential(nn.Linear(DIM, 12), nn.Tanh(), nn.Linear(12, CLASSES))


def problem(valid, **changes):
    given = {
        "model": network,
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "loss": F.cross_entropy,
        "train": clusters(64),
        "valid": valid,
        "batch_size": 16,
        "steps": 20,
    }
    return etastar.Problem(**{**given, **changes})


def trained(p, lane):
    ((_, outcome),) = LoopEngine().train(p, [lane])
    return outcome


def by_hand(p, lane, x, y):
    """(before, after): the validation loss per sample of an ordinary loop, before any update and at its end."""
    with isolated_randomness():
        setup = set_up(p, lane.seed)
        model, optimizer = setup.model, torch.optim.SGD(setup.model.parameters(), lr=lane.lr)
        with torch.no_grad():
            before = float(F.cross_entropy(copy.deepcopy(model).eval()(x), y))
        step, epoch = 0, 0
        while step < lane.steps:
            for a, b in p.batches.epoch(lane.seed, epoch):
                if step == lane.steps:
                    break
                optimizer.zero_grad()
                p.loss(model(a), b).backward()
                optimizer.step()
                step += 1
            epoch += 1
        with torch.no_grad():
            return before, float(F.cross_entropy(model.eval()(x), y))


class Rows(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Flow(IterableDataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return iter(list(zip(self.x, self.y, strict=True)))


FORMS = {
    "tensors": lambda x, y: (x, y),
    "dataset": Rows,
    "loader": lambda x, y: DataLoader(Rows(x, y), batch_size=64),
    "shuffled loader": lambda x, y: DataLoader(Rows(x, y), batch_size=48, shuffle=True),
    "stream": lambda x, y: DataLoader(Flow(x, y), batch_size=100),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 255, 256, 257, 300, 523])
def test_every_sample_counts_once_whatever_the_data_comes_in(form, n):
    x, y = clusters(n, seed=1)
    x, y = x[y.argsort()], y.sort().values  # sorted by class: what is left out would be seen
    p, lane = problem(FORMS[form](x, y)), Lane(0.3, 5, 20, until=END)
    outcome = trained(p, lane)
    before, after = by_hand(p, lane, x, y)
    assert outcome.first_valid_loss == pytest.approx(before, rel=1e-5)
    assert outcome.valid_loss == pytest.approx(after, rel=1e-4)
    assert n == 1 or outcome.valid_loss < 0.8 * outcome.first_valid_loss
    assert outcome.first_train_loss is None


@pytest.mark.parametrize("engine", [SequentialEngine(), LaneEngine("mlp"), LaneEngine("vmap")], ids=lambda e: e.name)
def test_engines_agree_on_both_ends(engine):
    p = problem(clusters(300, seed=1))
    lanes = [Lane(lr, seed, steps, until=END) for lr in (0.01, 0.3) for seed in (1, 2) for steps in (10, 20)]
    truth = dict(LoopEngine().train(p, lanes))
    found = dict(engine.train(p, lanes))
    for i in truth:
        assert found[i].first_valid_loss == truth[i].first_valid_loss
        assert found[i].valid_loss == pytest.approx(truth[i].valid_loss, rel=1e-4)
        assert found[i].valid_accuracy == pytest.approx(truth[i].valid_accuracy, abs=0.01)
    assert len({o.first_valid_loss for o in truth.values()}) == 2, "one a seed"


SUMS = {
    "sum": (lambda o, t: F.cross_entropy(o, t, reduction="sum"), 16.0),
    "sum over ten": (lambda o, t: F.cross_entropy(o, t, reduction="sum") / 10, 1.6),
    "sum, as torch declares it": (partial(F.cross_entropy, reduction="sum"), 16.0),
    "sum, a module": (nn.CrossEntropyLoss(reduction="sum"), 16.0),
    "mean": (F.cross_entropy, 1.0),
    "mean, a module": (nn.CrossEntropyLoss(), 1.0),
    "thrice the mean": (lambda o, t: 3 * F.cross_entropy(o, t), 3.0),
}


@pytest.mark.parametrize("kind", SUMS)
@pytest.mark.parametrize("form", ["tensors", "loader"])
def test_a_summed_loss_is_that_of_a_training_batch(kind, form):
    """523 samples in batches of 64 or so: a sum over a batch says nothing until it is scaled to the 16 of training."""
    loss, unit = SUMS[kind]
    x, y = clusters(523, seed=1)
    p = problem(FORMS[form](x, y), loss=loss)
    lane = Lane(0.3 / unit, 5, 20, until=END)
    outcome = trained(p, lane)
    before, after = by_hand(p, lane, x, y)
    assert outcome.first_valid_loss == pytest.approx(unit * before, rel=1e-5)
    assert outcome.valid_loss == pytest.approx(unit * after, rel=1e-4)


def test_much_data_is_seen_in_part_the_same_for_all_lanes():
    read: list[int] = []

    class Watched(Rows):
        def __getitem__(self, i):
            read.append(int(i))
            return super().__getitem__(i)

    valid = Watched(*clusters(6000, seed=1))
    p = problem(valid, batch_size=64, train=clusters(256), steps=640)

    def seen(lane):
        read.clear()
        trained(p, lane)
        return set(read)

    short = seen(Lane(0.1, 1, 10, until=END))
    longer = seen(Lane(0.1, 1, 500, until=END))
    assert len(short) == 2000 and short == seen(Lane(0.3, 2, 10, until=END)), "other rates and seeds, the same samples"
    assert len(longer) == round(0.1 * 500 * 64) and short < longer, "a long lane sees more, and all of those"
    assert max(short) > 5000, "not simply the first ones"


def test_a_stream_too_long_is_cut_and_flagged():
    x, y = clusters(2600, seed=1)
    p = problem(FORMS["stream"](x, y), steps=24)
    outcome = trained(p, Lane(0.1, 5, 20, until=END))
    before, _ = by_hand(p, Lane(0.1, 5, 20), x[:2000], y[:2000])
    assert outcome.first_valid_loss == pytest.approx(before, rel=1e-5)
    options = etastar.Options(store=":memory:", workers=1)
    assert "validated-on-part" in etastar.find(p, effort="glance", options=options).flags
    few = p.but(valid=FORMS["stream"](x[:2000], y[:2000]))
    assert "validated-on-part" not in etastar.find(few, effort="glance", options=options).flags


@pytest.mark.parametrize(("n", "flagged"), [(2000, False), (2001, True)])
def test_the_flag_says_when_a_part_was_seen(n, flagged):
    p = problem(clusters(n, seed=1), steps=24)
    answer = etastar.find(p, effort="glance", options=etastar.Options(store=":memory:", workers=1))
    assert ("validated-on-part" in answer.flags) == flagged


def test_validation_is_counted_in_the_cost():
    p = problem(clusters(480, seed=1), steps=40)
    answer = etastar.find(p, effort="quick", options=etastar.Options(store=":memory:", workers=1))
    lanes = sum(o.valid_loss is not None for o in answer.runs)
    assert len({o.lane.seed for o in answer.runs}) == 1
    assert answer.cost["validation_steps"] == pytest.approx((lanes + 1) * 480 / 16 / 3)
    assert answer.cost["full_runs"] == pytest.approx((answer.cost["gradient_steps"] + answer.cost["validation_steps"]) / 40)


def test_without_validation_data_the_start_is_a_mean_over_many_training_batches():
    p = problem(None, batch_size=2, train=clusters(400))
    outcome = trained(p, Lane(0.05, 3, 20, until=END))
    with isolated_randomness():
        model = set_up(p, 3).model
        losses, epoch = [], 0
        while len(losses) < 256:
            losses += [float(F.cross_entropy(model(a), b).detach()) for a, b in p.batches.epoch(3, epoch)]
            epoch += 1
    assert outcome.first_train_loss == pytest.approx(sum(losses[:256]) / 256, rel=1e-5)
    assert outcome.first_valid_loss is None
    assert abs(outcome.first_loss - outcome.first_train_loss) > 0.01, "two samples say little"


def test_the_start_in_training_mode_leaves_no_trace_in_the_lane():
    """Dropout and BatchNorm: the lane's own losses are those it had when nobody had looked."""
    model = lambda: nn.Sequential(nn.Linear(DIM, 12), nn.BatchNorm1d(12), nn.Dropout(0.3), nn.ReLU(), nn.Linear(12, CLASSES))
    p = problem(None, model=model)
    looked, plain = (trained(p, Lane(0.1, 3, 20, until=until)) for until in (END, Until.SUCCESS))
    n = min(looked.steps, plain.steps)
    assert [row.loss for row in looked.trace][:n] == [row.loss for row in plain.trace][:n]
    assert looked.first_train_loss is not None and plain.first_train_loss is None


def test_the_first_loss_is_evaluated_once_a_seed():
    calls: list[bool] = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            calls.append(self.training)
            return self.inner(x)

    p = problem(clusters(200, seed=1), model=Net)
    engine = LoopEngine()
    for lr in (0.01, 0.1, 1.0):
        list(engine.train(p, [Lane(lr, 3, 20, until=END)]))
    assert calls.count(False) == 3 + 1, "three ends, one start"


def test_a_start_that_is_not_finite_is_refused():
    p = problem(
        clusters(20, seed=1), loss=lambda o, t: F.cross_entropy(o, t) * (1.0 if torch.is_grad_enabled() else math.nan)
    )
    with pytest.raises(etastar.ProblemError, match="validation loss at initialisation is nan; expected a finite number"):
        trained(p, Lane(0.1, 3, 20, until=END))


def test_a_training_batch_without_a_finite_start_is_refused():
    """Batch 5 of a seed: no mean over training batches can be the start of a lane, and no lane trains through it."""
    x, y = clusters(96)
    p = problem(None, train=(x, y))
    bad = p.batches.order(3, 0)[5]
    loss = lambda o, t: F.cross_entropy(o, t) if (t != y[bad]).any() else 0 / o.new_zeros(()) + 0 * o.sum()
    for engine in (LoopEngine(), LaneEngine("mlp")):
        with pytest.raises(
            etastar.ProblemError, match=r"training batch \(step 5\) at initialisation is nan; expected a finite"
        ):
            list(engine.train(p.but(loss=loss), [Lane(0.1, 3, 4, until=END)]))


@pytest.mark.parametrize("form", ["dataset", "loader", "shuffled loader", "stream"])
def test_noise_of_validation_samples_depends_on_their_place_alone(form):
    """Whoever trained before, in whichever engine: data that draw from the global generator give the same samples."""

    class Noisy(Rows):
        def __getitem__(self, i):
            return self.x[i] + torch.randn(DIM), self.y[i]

    class NoisyFlow(Flow):
        def __iter__(self):
            return ((x + torch.randn(DIM), y) for x, y in zip(self.x, self.y, strict=True))

    x, y = clusters(300, seed=1)
    loaders = {"loader": {"batch_size": 64}, "shuffled loader": {"batch_size": 48, "shuffle": True}}
    valid = Noisy(x, y) if form == "dataset" else DataLoader(Noisy(x, y), **loaders.get(form, {}))
    p = problem(DataLoader(NoisyFlow(x, y), batch_size=100) if form == "stream" else valid)
    lanes = [Lane(lr, seed, steps, until=END) for lr in (0.01, 0.3) for seed in (1, 2) for steps in (10, 20)]
    alone = [trained(p, lane) for lane in lanes]
    together = dict(LaneEngine("mlp").train(p, lanes))
    for i, outcome in enumerate(alone):
        assert together[i].first_valid_loss == outcome.first_valid_loss
        assert together[i].valid_loss == pytest.approx(outcome.valid_loss, rel=1e-4)


def test_lanes_stored_without_their_first_loss_are_completed(tmp_path):
    import sqlite3

    path = tmp_path / "runs.db"
    p = problem(clusters(100, seed=1))
    lane = Lane(0.1, derive_seed(0, "x"), 20, until=END)

    def outcome():
        store = etastar.RunStore(str(path))
        store.register(p, "f", (1.0,), {})
        try:
            return store.get_or_train(LoopEngine(), p, [lane])[0], store.new_gradient_steps
        finally:
            store.close()

    whole, _ = outcome()
    assert outcome() == (whole, 0)
    with sqlite3.connect(path) as connection:  # as an older version left it
        connection.execute("ALTER TABLE run DROP COLUMN first_valid_loss")
        connection.execute("ALTER TABLE run DROP COLUMN first_train_loss")
    again, steps = outcome()
    assert steps == 20 and again.first_valid_loss == whole.first_valid_loss
    assert outcome()[1] == 0
