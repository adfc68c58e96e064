"""NaN that means "missing" and -inf that means "masked" are fine where the loss is; where it is not, the counts are said."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import etastar
from etastar import Criterion, Lane, LaneEngine, Options, Problem
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine
from etastar.verbs.doctor import doctor

HERE = Options(store=":memory:", workers=1)
SAMPLES = 256
SENTENCE = r"{} holds NaN or infinite numbers \({} in a tensor of shape \({}\)\); expected finite data: clean or impute it"

g = torch.Generator().manual_seed(0)
X = torch.randn(SAMPLES, 6, generator=g)
Y = X @ torch.randn(6, 3, generator=g)
GAPS = torch.rand(Y.shape, generator=g) < 0.4
MISSING = Y.masked_fill(GAPS, math.nan)


def masked(outputs, targets):
    """Mean square over what is known."""
    known = ~targets.isnan()
    return ((outputs - torch.nan_to_num(targets)).square() * known).sum() / known.sum()


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05)


def regression(**changes) -> Problem:
    given = {
        "model": lambda: nn.Linear(6, 3),
        "optimizer": sgd,
        "loss": masked,
        "train": (X, MISSING),
        "batch_size": 32,
        "steps": 40,
    }
    return Problem(**{**given, **changes})


class Rows(Dataset):
    """The same data sample by sample, where nobody can look through all of it."""

    def __init__(self, *columns: torch.Tensor) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int):
        return tuple(column[index] for column in self.columns)


def by_hand(problem: Problem, lr: float, seed: int, steps: int) -> list[float]:
    """The same lane as a plain loop over the known entries."""
    from etastar.core.data import stream
    from etastar.core.setup import set_up

    setup = set_up(problem, seed)
    batches, losses = stream(problem.batches, seed), []
    for _ in range(steps):
        x, y = next(batches)
        known = ~y.isnan()
        loss = (setup.model(x) - y)[known].square().mean()
        losses.append(float(loss.detach()))
        grads = torch.autograd.grad(loss, list(setup.model.parameters()))
        with torch.no_grad():
            for p, grad in zip(setup.model.parameters(), grads, strict=True):
                p -= lr * grad
    return losses


FORMS = {
    "tensors": lambda: regression(),
    "a TensorDataset in a DataLoader": lambda: regression(
        train=DataLoader(TensorDataset(X, MISSING), batch_size=32, shuffle=True), batch_size=None
    ),
    "a Dataset": lambda: regression(train=Rows(X, MISSING)),
}


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("engine", [LoopEngine(), LaneEngine("vmap", 4)], ids=["loop", "vmap"])
def test_missing_labels_under_a_masked_loss_train_as_by_hand(make, engine) -> None:
    problem = make()
    lane = Lane(0.05, 3, 12, Criterion(uninformed=1.0), Until.END)
    [(_, outcome)] = engine.train(problem, [lane])
    assert [row.loss for row in outcome.trace] == pytest.approx(by_hand(problem, 0.05, 3, 12), rel=1e-4)


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_missing_labels_are_measured_probed_and_predicted(make) -> None:
    answer = etastar.find(make(), effort="quick", options=HERE)
    assert answer.lr.ok and 0.01 < answer.lr.require() < 2
    assert etastar.probe(make(), samples=64).ok
    assert etastar.predict(make(), samples=64).ok


def test_a_lane_that_diverges_on_missing_labels_is_a_diverged_lane_and_no_mistake() -> None:
    lane = Lane(1e4, 3, 40, Criterion(uninformed=1.0), Until.END)
    for make in FORMS.values():
        for engine in (LoopEngine(), LaneEngine("vmap", 4)):
            [(_, outcome)] = engine.train(make(), [lane])
            assert outcome.status is LaneStatus.DIVERGED


class Attend(nn.Module):
    """Pools over the positions that the mask shows."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.out = nn.Linear(8, 1), nn.Linear(8, 2)

    def forward(self, x, mask):
        weights = (self.score(x).squeeze(-1) + mask).softmax(-1)
        return self.out((weights.unsqueeze(-1) * x).sum(1))


def attention(hidden: slice) -> Problem:
    mask = torch.zeros(64, 5)
    mask[:, hidden] = -math.inf
    x = torch.randn(64, 5, 8, generator=torch.Generator().manual_seed(1))
    return Problem(
        model=Attend,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        loss_fn=lambda m, batch: F.cross_entropy(m(batch["x"], batch["mask"]), batch["y"]),
        train={"x": x, "mask": mask, "y": (x[:, 0, 0] > 0).long()},
        batch_size=16,
        steps=30,
    )


def test_a_mask_of_minus_infinity_is_fine_as_long_as_something_is_seen() -> None:
    assert etastar.probe(attention(slice(3, None)), samples=32).ok
    assert etastar.find(attention(slice(3, None)), effort="glance", options=HERE).facts.first_loss > 0
    with pytest.raises(etastar.ProblemError, match=SENTENCE.format("train", 320, "64, 5")):
        etastar.find(attention(slice(0, None)), effort="glance", options=HERE)


def spoiled(value: float, *places: tuple[int, int]) -> torch.Tensor:
    x = X.clone()
    for place in places:
        x[place] = value
    return x


@pytest.mark.parametrize("verb", [etastar.find, etastar.probe, etastar.predict, doctor])
def test_a_number_that_spoils_the_loss_is_refused_with_its_count_wherever_it_stands(verb) -> None:
    """Sample 250 is in none of the first batches."""
    problem = regression(train=(spoiled(math.nan, (250, 0), (250, 1)), Y), loss=F.mse_loss)
    with pytest.raises(etastar.ProblemError, match=SENTENCE.format("train", 2, "256, 6")):
        verb(problem)


def test_validation_data_are_judged_by_their_loss_too() -> None:
    fine = regression(valid=(X[:64], MISSING[:64]))
    assert math.isfinite(etastar.find(fine, effort="glance", options=HERE).facts.first_loss)
    with pytest.raises(etastar.ProblemError, match=SENTENCE.format("valid", 1, "256, 6")):
        etastar.find(regression(valid=(spoiled(math.inf, (3, 0)), Y)), effort="glance", options=HERE)


def test_a_finite_loss_with_gradients_that_are_not_is_refused() -> None:
    """torch.where drops the NaN from the loss and keeps it in the gradient: the first update would spoil everything."""

    def trap(outputs, targets):
        return torch.where(targets.isnan(), 0.0, (outputs - targets) ** 2).mean()

    assert math.isfinite(float(trap(torch.ones(SAMPLES, 3), MISSING)))
    with pytest.raises(etastar.ProblemError, match=SENTENCE.format("train", int(GAPS.sum()), "256, 3")):
        etastar.find(regression(loss=trap), effort="glance", options=HERE)


def test_a_bad_sample_that_only_training_meets_is_found_in_its_batch() -> None:
    rows = spoiled(math.nan, *((i, 0) for i in range(200, 256)))
    problem = regression(train=DataLoader(Rows(rows, Y), batch_size=32, shuffle=False), batch_size=None, loss=F.mse_loss)
    for engine in (LoopEngine(), LaneEngine("vmap", 4)):
        with pytest.raises(etastar.ProblemError, match=SENTENCE.format(r"a training batch \(step 6\)", 24, "32, 6")):
            list(engine.train(problem, [Lane(0.01, 0, 20, Criterion(uninformed=1.0), Until.END)]))


@pytest.mark.parametrize("engine", [LoopEngine(), LaneEngine("mlp", 4), LaneEngine("vmap", 4)], ids=lambda e: e.name)
def test_a_bad_input_among_missing_labels_is_found_in_its_batch_by_every_engine(engine) -> None:
    """Almost every batch holds NaN that the loss leaves out; the one with a NaN input breaks the lane, and is blamed."""
    problem = regression(train=(spoiled(math.nan, (250, 0)), MISSING))
    order = problem.batches.order(3, 0)
    (step,) = [step for step, index in enumerate(order) if 250 in index]
    gaps = int(GAPS[order[step]].sum())
    sentence = rf"a training batch \(step {step}\) holds NaN or infinite numbers \({1 if step else gaps} in a tensor"
    lanes = [Lane(lr, 3, 20, Criterion(loss=1e-9)) for lr in (0.01, 0.02)]
    with pytest.raises(etastar.ProblemError, match=sentence):
        list(engine.train(problem, lanes))


def test_a_loss_that_counts_its_calls_is_not_moved_by_trying_missing_labels() -> None:
    class Annealed:
        calls = 0

        def __call__(self, outputs, targets):
            self.calls += 1
            return masked(outputs, targets) * self.calls

    still, counting = (etastar.find(regression(loss=loss), effort="glance", options=HERE) for loss in (masked, Annealed()))
    assert counting.facts.first_loss == still.facts.first_loss
