"""Samples for a probe: joined training batches, as many as asked for, or one batch as it is."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from etastar.core.data_forms import make_batches
from etastar.probes.samples import chunks, draw, length


class Ragged(Dataset):
    """Sentences of different lengths, with their names."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.arange(index + 1), f"name {index}"


def test_batches_are_joined_to_the_number_asked_for_without_repeats():
    batches = make_batches((torch.arange(100.0), torch.arange(100)), 16)
    x, y = draw(batches, 0, 40)
    assert (len(x), length((x, y))) == (40, 40)
    assert torch.equal(x.long(), y) and len(set(y.tolist())) == 40
    assert length(draw(batches, 0, 1000)) == 96, "an epoch, its last partial batch dropped"
    assert length(draw(batches, 0, 5)) == 5
    assert torch.equal(draw(batches, 0, 40)[1], y) and not torch.equal(draw(batches, 1, 40)[1], y)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_nested_batches_keep_their_form(batch_size):
    data = {"tokens": torch.arange(24).view(12, 2), "more": (torch.arange(12.0), [torch.arange(12)])}
    batch = draw(make_batches(data, batch_size), 0, 8)
    assert list(batch) == ["tokens", "more"] and isinstance(batch["more"], tuple) and isinstance(batch["more"][1], list)
    assert batch["tokens"].shape == (8, 2) and torch.equal(batch["more"][0].long(), batch["more"][1][0])


def test_what_cannot_be_joined_gives_one_batch_as_it_is():
    collate = lambda rows: (torch.nn.utils.rnn.pad_sequence([r[0] for r in rows], batch_first=True), [r[1] for r in rows])
    loader = DataLoader(Ragged(), batch_size=4, collate_fn=collate)
    tokens, names = draw(make_batches(loader, None), 0, 8)
    assert len(tokens) == len(names) == 4
    assert length((tokens, names)) is None
    padded = DataLoader(Ragged(), batch_size=4, collate_fn=lambda rows: collate(rows)[0])
    assert len(draw(make_batches(padded, None), 0, 8)) == 4


def test_chunks():
    batch = (torch.arange(10), torch.arange(10))
    assert [part[0].tolist() for part in chunks(batch, 3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert chunks(batch, 6) is None
    assert chunks((torch.arange(10), torch.arange(9)), 2) is None
