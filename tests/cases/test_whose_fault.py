"""An exception of the user's code ends in exit 2 and one sentence with their own file and line, wherever it was raised."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import etastar
from cli_harness import HEADER, Ran, run_here
from etastar.core.lane import quantise
from etastar.errors import UserCodeRaised, as_problem, call, users_place

CHEAP = ("--effort", "glance", "--store", ":memory:", "--workers", "1")

BROKEN = """
class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        raise error  # here

class Backward(nn.Linear):
    def forward(self, x): return Own.apply(super().forward(x))

class Forward(nn.Linear):
    def forward(self, x):
        raise error  # here

class Late(Rows):
    def __getitem__(self, index):
        if index == 47:
            raise error  # here
        return super().__getitem__(index)

class NoStream(torch.utils.data.IterableDataset):
    def __iter__(self):
        raise error  # here

class Step(torch.optim.SGD):
    def step(self, closure=None):
        raise error  # here

def collate(rows):
    raise error  # here

def broken_loss(outputs, targets):
    raise error  # here

def after_sixty():
    seen = [0]
    def loss(outputs, targets):
        seen[0] += 1
        if seen[0] > 60:
            raise error  # here
        return F.cross_entropy(outputs, targets)
    return loss

def broken_metric(model, batch):
    raise error  # here

def scheduler(optimizer):
    raise error  # here
"""

PLACES = {
    "forward": "model=lambda: Forward(4, 2)",
    "backward": "model=lambda: Backward(4, 2)",
    "a late sample": "train=Late(X, Y)",
    "a stream": "train=DataLoader(NoStream(), batch_size=8), batch_size=None",
    "collate": "train=DataLoader(Rows(X, Y), batch_size=8, collate_fn=collate), batch_size=None",
    "a validation sample": "valid=Late(X, Y)",
    "optimizer.step": "optimizer=lambda m: Step(m.parameters(), lr=0.1)",
    "the loss": "loss=broken_loss",
    "the loss, after the checks": "loss=after_sixty(), steps=600",
    "the metric": "loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b[0]), b[1]), metric_fn=broken_metric",
    "the schedule": "schedule=scheduler",
}
ERRORS = {
    "an Exception": ("RuntimeError('boom\\nsecond <line>')", "RuntimeError: boom"),
    "SystemExit": ("SystemExit(9)", "SystemExit: 9"),
    "a BaseException of their own": ("type('Stop', (BaseException,), {})('now')", "Stop: now"),
}


@pytest.fixture
def etastar_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """The command line on a problem file with this body and these changes of its problem."""
    monkeypatch.chdir(tmp_path)

    def run(verb: str, body: str, changes: str, *options: str) -> Ran:
        Path("user.py").write_text(f"{HEADER}\n{body}\ndef p(): return problem({changes})\n")
        return run_here(verb, "user.py:p", *options)

    return run


@pytest.mark.parametrize(("error", "said"), ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("changes", PLACES.values(), ids=PLACES.keys())
def test_it_is_one_sentence_with_their_file_and_line(
    etastar_of: Callable[..., Ran], changes: str, error: str, said: str
) -> None:
    ran = etastar_of("find", f"error = {error}\n{BROKEN}", changes, *CHEAP)
    lines = Path("user.py").read_text().splitlines()
    assert ran.code == 2, ran.out + ran.err
    assert said in ran.sentence and "second <line>" not in ran.sentence
    (line,) = {int(part.split(",")[0].split(")")[0]) for part in ran.sentence.split("user.py, line ")[1:]}
    assert lines[line - 1].strip() == "raise error  # here"


def test_traceback_shows_all_of_it_wherever_the_option_stands(etastar_of: Callable[..., Ran]) -> None:
    body, changes = f"error = ValueError('broken')\n{BROKEN}", "model=lambda: Forward(4, 2)"
    short = etastar_of("find", body, changes, *CHEAP)
    assert short.sentence.endswith("; --traceback shows all of it")
    full = etastar_of("find", body, changes, *CHEAP, "--traceback")
    assert full.code == 2
    assert "Traceback (most recent call last)" in full.err and "raise error  # here" in full.err
    assert full.err.splitlines()[-1] == short.sentence.removesuffix("; --traceback shows all of it")


def test_a_lane_that_raised_keeps_its_traceback(etastar_of: Callable[..., Ran]) -> None:
    ran = etastar_of("find", f"error = ValueError('broken')\n{BROKEN}", PLACES["backward"], *CHEAP, "--traceback")
    assert ran.code == 2 and "in backward" in ran.err and "raise error  # here" in ran.err


@pytest.mark.parametrize("verb", ["probe", "predict", "doctor"])
def test_other_verbs_say_the_same(etastar_of: Callable[..., Ran], verb: str) -> None:
    ran = etastar_of(verb, f"error = RuntimeError('boom')\n{BROKEN}", PLACES["backward"])
    assert ran.code == 2
    assert ran.sentence.startswith("etastar: your code raised RuntimeError: boom (user.py, line ")


def test_torch_raising_because_of_their_network_names_what_was_called(etastar_of: Callable[..., Ran]) -> None:
    """An in-place change is found by autograd in C++, where no frame of theirs is left."""
    body = "class InPlace(nn.Linear):\n    def forward(self, x):\n        z = super().forward(x).exp()\n        z += 1\n"
    ran = etastar_of("find", body + "        return z\n", "model=lambda: InPlace(4, 2)", *CHEAP)
    assert ran.code == 2
    assert ran.sentence.startswith("etastar: backward() raised RuntimeError: one of the variables needed for gradient")


def test_the_last_frame_decides() -> None:
    """Ours below theirs is our fault; theirs below ours is theirs, even where a library raised."""

    def ours(value: object) -> None:
        quantise(value)  # type: ignore[arg-type]

    def theirs() -> None:
        F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 7]))

    with pytest.raises(TypeError, match="must be real number") as fault:
        ours("fast")
    assert users_place(fault.value) is None and as_problem(fault.value) is None
    first = inspect.getsourcelines(theirs)[1]
    with pytest.raises(UserCodeRaised, match=rf"^your code raised IndexError: Target 7 .*line {first + 1}, in the loss\)$"):
        call("the loss", theirs)


def test_want_of_memory_is_no_lanes_own_doing() -> None:
    def greedy() -> None:
        torch.empty(1 << 60)

    with pytest.raises(etastar.ProblemError, match="use a smaller batch or model") as refused:
        call("the loss", greedy)
    assert not isinstance(refused.value, UserCodeRaised)


class Corrupt(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise OSError("corrupt file 3")


def test_frames_that_a_loaders_own_process_sent_as_text_count_too() -> None:
    loader = DataLoader(Corrupt(), num_workers=1)
    line = inspect.getsourcelines(Corrupt.__getitem__)[1] + 1
    with pytest.raises(UserCodeRaised, match=rf"^your code raised OSError: corrupt file 3 \(.*, line {line}, in reading\)$"):
        call("reading", next, iter(loader))


class Used(IterableDataset):
    """An iterator that ends, and is ended."""

    def __init__(self) -> None:
        self._rows = iter([(torch.zeros(4), torch.tensor(i % 2)) for i in range(200)])

    def __iter__(self):
        return self._rows


def test_a_stream_that_is_used_up_is_a_sentence() -> None:
    problem = etastar.Problem(
        model=lambda: nn.Linear(4, 2),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=DataLoader(Used(), batch_size=8),
        steps=50,
    )
    with pytest.raises(etastar.ProblemError, match="gave no batch in epoch 0; expected a source that can be iterated again"):
        etastar.find(problem, effort="glance", options=etastar.Options(store=":memory:", workers=1))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.LazyLinear(8), nn.LazyLinear(2)

    def forward(self, x):
        return self.two(self.one(x).relu())


class Dicts(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {"x": torch.full((3,), index / 64), "y": index % 2}


def lazy(model: Callable[[], nn.Module] = Lazy) -> etastar.Problem:
    return etastar.Problem(
        model=model,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss_fn=lambda m, batch: F.cross_entropy(m(batch["x"]), batch["y"]),
        train=Dicts(),
        batch_size=16,
        steps=40,
    )


def test_lazy_modules_get_their_shapes_from_the_users_own_loss_fn() -> None:
    answer = etastar.find(lazy(), effort="glance", options=etastar.Options(store=":memory:", workers=1))
    assert answer.facts.shapes["one.weight"] == (8, 3) and answer.facts.parameters == 8 * 3 + 8 + 2 * 8 + 2


def test_a_lazy_module_that_no_forward_pass_reaches_is_a_sentence() -> None:
    def unused() -> nn.Module:
        model = Lazy()
        model.three = nn.LazyLinear(2)
        return model

    with pytest.raises(etastar.ProblemError, match=r"lazy parameter 'three.weight' has no shape after a forward pass; make"):
        etastar.find(lazy(unused), effort="glance", options=etastar.Options(store=":memory:", workers=1))
