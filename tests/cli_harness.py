"""Runs `etastar ...` in this process, in an empty folder, as the console script would; and writes users' problem files."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

HEADER = """
import copy
import etastar
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
net = nn.Linear(4, 2)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def problem(**changes):
    settings = dict(
        model=lambda: nn.Linear(4, 2), optimizer=sgd, loss=F.cross_entropy, train=(X, Y), batch_size=16, steps=20
    )
    settings.update(changes)
    return etastar.Problem(**settings)


class Rows(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


class NoRate:
    # a policy that gives NaN
    reads = ("loss",)

    def init(self, lr):
        return lr

    def step(self, seen, state):
        return seen["loss"] * float("nan"), state


def flat(**changes):
    # no answer, and in no time
    return problem(loss=lambda o, t: (o * 0).sum() + 1.0, loss_threshold=0.5, **changes)


def spoiled(values, index, value):
    values = values.clone()
    values[index] = value
    return values
"""


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of an error; what a step takes and the plan may stand above it. Anything else fails the test."""
        said_early = ("a step takes ", "plan: ")
        lines = [line for line in self.err.splitlines() if line.strip() and not line.startswith(said_early)]
        assert len(lines) == 1, f"expected one line on stderr, got {len(lines)}:\n{self.err}"
        assert lines[0].startswith("etastar: "), self.err
        assert "Traceback" not in self.err
        return lines[0]


Cli = Callable[..., Ran]


def told(text: str) -> dict[str, Any]:
    """The one JSON document, without NaN or infinity, that `text` is; it follows the schema of its command."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    validator(content["command"]).validate(content)
    return content


def timeless(content: dict[str, Any]) -> dict[str, Any]:
    """The answer without what a clock said: two runs agree on all the rest."""
    clock = ("seconds", "before_seconds", "wall_runs", "full_run_seconds")
    cost = {name: value for name, value in content["cost"].items() if name not in clock}
    return {name: value for name, value in content.items() if name != "engine_choice"} | {"cost": cost}


@cache
def validator(command: str) -> jsonschema.Draft202012Validator:
    """Of a command's answers; the schema itself is checked once, which takes as long as ten answers."""
    schema = json.loads(files("etastar.cli").joinpath(f"{command}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def run_here(*args: Any) -> Ran:
    """`etastar ARGS` in this process and the current folder."""
    from etastar.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    argv, path, code = sys.argv, list(sys.path), None
    sys.argv = ["etastar", *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv, sys.path[:] = argv, path
    assert isinstance(code, int), f"exit code {code!r}"
    return Ran(code, out.getvalue(), err.getvalue())
