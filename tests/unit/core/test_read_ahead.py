"""Batches that a loader's workers read: the ones this process would have read, and only where they are asked for."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info

from etastar import Problem
from etastar.core.data_forms import make_batches
from etastar.core.read_ahead import read_ahead
from etastar.engine.preflight import preflight


class Augmented(Dataset):
    """Samples with noise from torch's own generator, and the process that read them."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return torch.full((3,), float(i)) + torch.rand(3), i % 2, os.getpid()


class OnlyHere(Augmented):
    def __getitem__(self, i):
        assert get_worker_info() is None or i != 7, "not in a worker"
        return super().__getitem__(i)


def batches(workers: int, data=Augmented):
    return make_batches(DataLoader(data(), batch_size=8, shuffle=True, num_workers=workers), None)


def test_workers_give_the_batches_of_this_process_in_their_order():
    before = torch.get_rng_state()
    here, there = (list(read_ahead(batches(workers), 3, 4)) for workers in (0, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert len(here) == len(there) == 4
    for (x, y, _), (own, label, _) in zip(here, there, strict=True):
        assert torch.equal(x, own) and torch.equal(y, label)
    assert {pid for *_, ids in here for pid in ids.tolist()} == {os.getpid()}
    by = {pid for *_, ids in there for pid in ids.tolist()}
    assert len(by) == 2 and os.getpid() not in by


def test_what_a_worker_cannot_read_is_read_here():
    here, there = (list(read_ahead(batches(workers, OnlyHere), 3, 9)) for workers in (0, 2))
    assert [x.tolist() for x, *_ in here] == [x.tolist() for x, *_ in there] and len(here) == 5
    assert os.getpid() in there[-1][2].tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_preflight_reads_by_them_and_says_the_same(workers, tmp_path):
    class Counted(Dataset):
        def __len__(self):
            return 80

        def __getitem__(self, i):
            (tmp_path / f"{os.getpid()}").touch()
            return torch.full((3,), i / 80) + torch.rand(3), i % 2

    loader = DataLoader(Counted(), batch_size=8, shuffle=True, num_workers=workers)
    problem = Problem(
        model=lambda: nn.Linear(3, 2), optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1), loss=F.cross_entropy,
        train=loader, steps=20,
    )  # fmt: skip
    facts = preflight(problem)
    assert len(list(tmp_path.iterdir())) == 1 + workers
    assert facts.criterion.uninformed == pytest.approx(0.6931, abs=1e-3) and facts.reproducible
