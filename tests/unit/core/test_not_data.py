"""What is no data yet is refused with what to do; what only looks like it is used."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from etastar import Problem, ProblemError
from etastar.engine.preflight import preflight

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
Y = (X.sum(1) > 0).long()
PAIR = r"expected a pair of tensors \(inputs, targets\)"


def problem(train, **changes) -> Problem:
    settings = {
        "model": lambda: nn.Linear(4, 2),
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "loss": F.cross_entropy,
        "batch_size": 8,
        "steps": 20,
    }
    return Problem(**{**settings, "train": train, **changes})


NO_DATA = {
    "two arrays": ((X.numpy(), Y.numpy()), rf"train holds numpy arrays; {PAIR}: torch\.from_numpy\(x\)"),
    "a list of two arrays": ([X.numpy(), Y.numpy()], rf"train holds numpy arrays; {PAIR}"),
    "arrays by name": ({"x": X.numpy(), "y": Y.numpy()}, rf"train holds numpy arrays; {PAIR}"),
    "a tensor and an array": ((X, Y.numpy()), "train holds numpy arrays"),
    "one array": (X.numpy(), r"train is a numpy array; expected tensors: torch\.from_numpy\(x\) makes one"),
    "two lists": ((X.tolist(), Y.tolist()), rf"train holds lists of numbers; {PAIR}: torch\.tensor\(\.\.\.\)"),
    "two lists of one form": (([0.5, 1.5], [0.0, 1.0]), "train holds lists of numbers"),
    "a list of two lists": ([X.tolist(), Y.tolist()], "train holds lists of numbers"),
    "a tensor and a list": ((X, Y.tolist()), "train holds lists of numbers"),
    "a frame": (pd.DataFrame(X.numpy()), r"train is a pandas table; expected tensors: torch\.tensor\(x\.to_numpy\(\)\)"),
    "two frames": ((pd.DataFrame(X.numpy()), pd.Series(Y.numpy())), "train holds pandas tables"),
    "a path": ("data.csv", r"train is 'data\.csv', a path; .* read the file first"),
    "a Path": (Path("data.csv"), r"train is PosixPath\('data\.csv'\), a path; .* read the file first"),
    "bytes": (b"data", "train is b'data', a path"),
    "splits": ({"train": [1], "test": [2]}, r"train holds lists of numbers|pick one of its splits"),
    "a class": (TensorDataset, r"train is the class TensorDataset itself; expected an instance: call it"),
    "two datasets": (
        (TensorDataset(X, Y), TensorDataset(X, Y)),
        "train is a tuple that holds TensorDataset; expected tensors",
    ),
    "nothing in a tuple": ((), "train is a tuple that holds nothing"),
    "an array of no dimension": ((X, None), "train is a tuple that holds Tensor, NoneType"),
}


@pytest.mark.parametrize(("train", "sentence"), NO_DATA.values(), ids=NO_DATA.keys())
def test_what_is_no_data_yet(train, sentence):
    with pytest.raises(ProblemError, match=sentence):
        problem(train)


def test_the_same_for_validation():
    with pytest.raises(ProblemError, match="valid holds numpy arrays"):
        problem((X, Y), valid=(X.numpy(), Y.numpy()))


class Arrays(Dataset):
    """Samples that are arrays, as image readers give them."""

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index].numpy(), int(Y[index])


DATA = {
    "a list of pairs": [(x, int(y)) for x, y in zip(X, Y, strict=True)],
    "a list of pairs of arrays": [(x.numpy(), y.item()) for x, y in zip(X, Y, strict=True)],
    "a tuple of pairs": tuple((x, int(y)) for x, y in zip(X, Y, strict=True)),
    "a list of lists": [[x, y] for x, y in zip(X, Y, strict=True)],
    "a dict of samples": {i: (X[i], int(Y[i])) for i in range(len(X))},
    "a Dataset of arrays": Arrays(),
    "a list of two tensors": [X, Y],
}


@pytest.mark.parametrize("train", DATA.values(), ids=DATA.keys())
def test_what_only_looks_like_it(train):
    assert preflight(problem(train)).first_loss < 5


TYPES = {
    "int32 labels": ((X, Y.int()), {}, r"the labels are int32: convert them with \.long\(\)"),
    "int8 labels": ((X, Y.to(torch.int8)), {}, r"the labels are int8: convert them with \.long\(\)"),
    "uint8 images": (((X * 9).abs().byte(), Y), {}, r"the inputs are uint8: convert them with \.float\(\) / 255"),
    "float64 inputs": ((X.double(), Y), {}, r"the inputs are float64 and the weights float32: convert them with \.to"),
    "integer inputs": (((X * 9).long(), Y), {}, r"the inputs are int64: convert them with \.float\(\)"),
}  # fmt: skip


@pytest.mark.parametrize(("train", "changes", "sentence"), TYPES.values(), ids=TYPES.keys())
def test_types_that_do_not_go_together(train, changes, sentence):
    with pytest.raises(ProblemError, match=rf"^the (model|loss) raised .*; {sentence}"):
        preflight(problem(train, **changes))


def test_a_failure_for_another_reason_is_left_as_it_is():
    with pytest.raises(ProblemError, match=r"^the model raised RuntimeError: .*shapes cannot be multiplied[^;]*$"):
        preflight(problem((X, Y), model=lambda: nn.Linear(5, 2)))
