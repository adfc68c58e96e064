"""The fingerprint: anything that could change a lane changes it; what cannot, does not."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from etastar import Problem
from etastar.store.fingerprint import fingerprint

X, Y = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
WIDTH = 8


def make(width=8, dropout=0.1):
    return lambda: nn.Sequential(nn.Linear(4, width), nn.Dropout(dropout), nn.Linear(width, 2))


def reads_a_global():
    return nn.Linear(4, WIDTH)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def base(**changes) -> Problem:
    arguments = {"model": make(), "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 8, "steps": 10}
    return Problem(**{**arguments, **changes})


def of(problem: Problem, **facts) -> str:
    return fingerprint(problem, {"optimizer": "SGD", **facts}, "1.0")


CHANGES = {
    "a closure's constant": {"model": make(dropout=0.2)},
    "the width": {"model": make(width=9)},
    "the code": {"model": lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))},
    "the optimizer": {"optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)},
    "the loss": {"loss": functools.partial(F.cross_entropy, label_smoothing=0.1)},
    "a loss module's state": {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))},
    "one number of the data": {"train": (X.index_fill(0, torch.tensor([17]), 0.5), Y)},
    "the labels": {"train": (X, 1 - Y)},
    "the batch size": {"batch_size": 9},
    "clipping": {"clip_grad_norm": 1.0},
    "accumulation": {"accumulate": 2},
    "validation data": {"valid": (X, Y)},
    "the name": {"name": "mine"},
    "a loader instead": {"train": DataLoader(TensorDataset(X, Y), batch_size=8), "batch_size": None},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_it_changes_the_fingerprint(what):
    assert of(base(**CHANGES[what])) != of(base())


def test_the_same_problem_made_twice_has_the_same_fingerprint():
    assert of(base(model=make(), train=(X.clone(), Y.clone()))) == of(base())
    net = nn.Linear(4, 2)
    assert of(base(model=lambda: copy.deepcopy(net))) == of(base(model=lambda: copy.deepcopy(net)))


def test_what_cannot_change_a_lane_does_not_count():
    assert of(base(steps=99, seed=5, label="shown", accuracy_threshold=0.5)) == of(base())


def test_a_global_that_a_factory_reads_counts(monkeypatch):
    before = of(base(model=reads_a_global))
    monkeypatch.setitem(globals(), "WIDTH", 9)
    assert of(base(model=reads_a_global)) != before


def test_pretrained_weights_count():
    net, other = nn.Linear(4, 2), nn.Linear(4, 2)
    assert of(base(model=lambda: copy.deepcopy(net))) != of(base(model=lambda: copy.deepcopy(other)))


def test_a_name_stands_for_the_code():
    assert of(base(name="n", model=make(dropout=0.5))) == of(base(name="n"))


def test_facts_and_version_count():
    assert of(base(), multipliers=[1.0, 0.1]) != of(base())
    assert fingerprint(base(), {"optimizer": "SGD"}, "2.0") != of(base())


class Noisy(torch.utils.data.Dataset):
    """A dataset that draws at random, as augmentation does."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return X[i] + torch.randn(4), Y[i]


def test_a_dataset_that_draws_at_random_keeps_its_fingerprint_and_the_callers_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = of(base(train=Noisy()))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert of(base(train=Noisy())) == first
