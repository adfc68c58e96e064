"""Loaders whose data needs worker processes: one sentence that says so, and none where they are not to blame."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler, get_worker_info

from etastar import Problem, ProblemError
from etastar.engine.preflight import preflight

X, Y = torch.randn(40, 3, generator=torch.Generator().manual_seed(2)), torch.arange(40) % 2
WORDS = r"num_workers={}, but its data is read in this process, where get_worker_info\(\) is None and worker_init_fn"


def problem(**changes) -> Problem:
    given = {"model": lambda: nn.Linear(3, 2), "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1)}
    return Problem(loss=F.cross_entropy, steps=5, **{**given, **changes})


class Shards(IterableDataset):
    """Every worker reads its own part."""

    def __iter__(self):
        worker = get_worker_info()
        for i in range(worker.id, 40, worker.num_workers):
            yield X[i], Y[i]


class Opened(Dataset):
    """Its file is opened by `worker_init_fn`."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return self.file[0][i], self.file[1][i]


def open_it(_):
    get_worker_info().dataset.file = (X, Y)


def needs_worker(batch):
    assert get_worker_info() is not None, "only in a worker"
    return torch.utils.data.default_collate(batch)


LOADERS = {
    "shards": lambda **how: DataLoader(Shards(), batch_size=8, **how),
    "opened, shuffled": lambda **how: DataLoader(Opened(), batch_size=8, shuffle=True, worker_init_fn=open_it, **how),
    "opened, in batches": lambda **how: DataLoader(
        Opened(), batch_sampler=BatchSampler(SequentialSampler(range(40)), 8, False), worker_init_fn=open_it, **how
    ),
    "collate": lambda **how: DataLoader([*zip(X, Y, strict=True)], batch_size=8, collate_fn=needs_worker, **how),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("workers", [1, 2])
def test_data_that_needs_workers_is_refused_with_the_reason(kind, workers):
    loader = LOADERS[kind](num_workers=workers)
    with pytest.raises(ProblemError, match=WORDS.format(workers)):
        preflight(problem(train=loader))
    with pytest.raises(ProblemError, match=WORDS.format(workers)):
        preflight(problem(train=(X, Y), valid=loader))


@pytest.mark.parametrize("kind", LOADERS)
def test_without_workers_they_are_not_named(kind):
    with pytest.raises(ProblemError, match=r"test_loader_workers.py") as refused:
        preflight(problem(train=LOADERS[kind]()))
    assert "worker_init_fn" not in str(refused.value)


def test_a_loader_with_workers_that_does_without_them_trains():
    class Careful(Shards):
        def __iter__(self):
            yield from zip(X, Y, strict=True)

    facts = preflight(problem(train=DataLoader(Careful(), batch_size=8, num_workers=2)))
    assert facts.reproducible
