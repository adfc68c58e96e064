"""Users' files that cannot be measured: what they pass as model, optimizer, loss, data, numbers, or a loop of their own."""

from __future__ import annotations

from collections.abc import Callable

from bad_inputs.row import Row, text
from cli_harness import HEADER

MORE = """
import numpy as np
import pandas as pd


class Boom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        return z.clone()

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("boom in backward")


class Booming(nn.Linear):
    def forward(self, z):
        return Boom.apply(super().forward(z))


class Rateless(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})


def changed(optimizer, **settings):
    optimizer.param_groups[0].update(settings)
    return optimizer


async def later(*_):
    return 1


def yielding(*_):
    yield net


class Stopping(nn.Linear):
    def forward(self, z):
        sys.exit(9)


class Corrupt(Rows):
    def __init__(self, error):
        super().__init__(X, Y)
        self.error = error

    def __getitem__(self, index):
        if index == 37:
            raise self.error
        return super().__getitem__(index)


class NoLength(Dataset):
    def __getitem__(self, index):
        return X[0], Y[0]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y))


def raising(error):
    def fail(*_):
        raise error

    return fail
"""

ARGUMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    # model and optimizer
    "a model on the meta device": ("model=lambda: nn.Linear(4, 2, device='meta')", ("meta device",)),
    "a model with a part on the meta device": (
        "model=lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, device='meta'))", ("meta device",)
    ),
    "a model class that needs arguments": ("model=nn.Linear", ("model()", "in_features")),
    "a factory that takes something": ("model=lambda x: net", ("model()",)),
    "a forward that stops the interpreter": ("model=lambda: Stopping(4, 2)", ("SystemExit", "sys.exit")),
    "a backward that raises": ("model=lambda: Booming(4, 2)", ("boom in backward",)),
    "an endless rate": ("optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=float('inf'))", ("lr is inf",)),
    "a rate beyond sense": ("optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e300)", ("lr is 1e+300",)),
    "a rate below sense": ("optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-300)", ("lr is 1e-300",)),
    "a rate that is none": ("optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=float('nan'))", ("lr is nan",)),
    "an optimizer in words": ("optimizer='adam'", ("optimizer is a str",)),
    "an optimizer without a rate": ("optimizer=lambda m: Rateless(m.parameters())", ("default lr is None",)),
    "a group without a rate": ("optimizer=lambda m: changed(sgd(m), lr=None)", ("group 0 has lr None",)),
    "a group's rate in words": ("optimizer=lambda m: changed(sgd(m), lr='fast')", ("group 0 has lr 'fast'",)),
    "an optimizer of no parameters": ("optimizer=lambda m: torch.optim.SGD([], lr=0.1)", ("optimizer(model)",)),
    "an optimizer that takes nothing": ("optimizer=lambda: None", ("optimizer(model)",)),
    "an optimizer that raises": ("optimizer=raising(KeyError('weights'))", ("optimizer(model)", "weights")),
    # loss
    "a loss in words": ("loss='mse'", ("loss is a str",)),
    "a loss of one argument": ("loss=lambda o: o.sum()", ("the loss", "argument")),
    "a loss that raises": ("loss=raising(ValueError('no loss today'))", ("no loss today",)),
    "a loss that returns its outputs": ("loss=lambda o, t: o", ("shape (16, 2)",)),
    "a loss of complex numbers": ("loss=lambda o, t: (o * 1j).sum()", ("loss",)),
    "a loss that is NaN": ("loss=lambda o, t: o.sum() * float('nan')", ("nan",)),
    "the wrong number of classes": ("model=lambda: nn.Linear(4, 1)", ("label", "outputs", "Target")),
    "a metric in percent": ("metric_fn=lambda m, b: 71.5", ("metric_fn returned 71.5",)),
    "a metric that is NaN": ("metric_fn=lambda m, b: float('nan')", ("metric_fn returned nan",)),
    "an async loss": ("loss=later", ("loss is an async function",)),
    "a model that is a generator": ("model=yielding", ("model is a generator",)),
    "a metric in words": ("metric_fn='accuracy'", ("metric_fn is a str",)),
    # data
    "two arrays": ("train=(X.numpy(), Y.numpy())", ("numpy array",)),
    "a list of two arrays": ("train=[X.numpy(), Y.numpy()]", ("numpy array",)),
    "arrays by name": ("train={'x': X.numpy(), 'y': Y.numpy()}", ("numpy array",)),
    "one array": ("train=X.numpy()", ("numpy array",)),
    "a tensor and an array": ("train=(X, Y.numpy())", ("numpy array",)),
    "a tensor and a list": ("train=(X, Y.tolist())", ("lists",)),
    "two lists": ("train=(X.tolist(), Y.tolist())", ("lists",)),
    "a list of two lists": ("train=[X.tolist(), Y.tolist()]", ("lists",)),
    "a frame": ("train=pd.DataFrame(X.numpy())", ("pandas",)),
    "a frame and its labels": ("train=(pd.DataFrame(X.numpy()), pd.Series(Y.numpy()))", ("pandas",)),
    "a path": ("train='data.csv'", ("'data.csv'", "path")),
    "bytes": ("train=b'data'", ("b'data'", "path")),
    "a Path": ("train=__import__('pathlib').Path('data.csv')", ("data.csv",)),
    "a class": ("train=Rows", ("class Rows",)),
    "a function": ("train=lambda: (X, Y)", ("train is a function",)),
    "an iterator": ("train=iter([(X, Y)])", ("train is a list_iterator",)),
    "a loader's iterator": ("train=iter(DataLoader(TensorDataset(X, Y)))", ("train is a _SingleProcess",)),
    "a set": ("train={1, 2}", ("train is a set",)),
    "two datasets": ("train=(Rows(X, Y), Rows(X, Y))", ("tuple that holds Rows",)),
    "splits": ("train={'train': Rows(X, Y), 'test': Rows(X, Y)}", ("splits",)),
    "an empty list": ("train=[]", ("empty", "at least one sample")),
    "a dataset without a length": ("train=NoLength()", ("no length",)),
    "a stream without a loader": ("train=Stream()", ("IterableDataset",)),
    "arrays to validate on": ("valid=(X.numpy(), Y.numpy())", ("valid holds numpy",)),
    "validation data of other width": ("valid=(torch.ones(8, 5), torch.zeros(8).long())", ("valid", "shapes")),
    "int32 labels": ("train=(X, Y.int())", (".long()",)),
    "int8 labels": ("train=(X, Y.to(torch.int8))", (".long()",)),
    "boolean labels": ("train=(X, Y.bool())", (".long()",)),
    "uint8 images": ("train=((X * 9).abs().byte(), Y)", (".float() / 255",)),
    "float64 inputs": ("train=(X.double(), Y)", (".to(torch.float32)",)),
    "integer inputs": ("train=((X * 9).long(), Y)", (".float()",)),
    "float labels": ("train=(X, Y.float())", ("the loss", "dtype", "scalar type", "Float")),
    "labels in a column": ("train=(X, Y[:, None])", ("the loss", "target")),
    "labels for half of the inputs": ("train=(X, Y[:32])", ("(64, 4), (32,)",)),
    "words as labels": ("train=[(x, 'cat') for x in X]", ("the loss", "str", "tuple")),
    "a sample that cannot be read": ("train=Corrupt(OSError('corrupt file 37'))", ("corrupt file 37",)),
    "a sample that stops the interpreter": ("train=Corrupt(SystemExit(9))", ("SystemExit", "sys.exit")),
    "samples of unequal size": ("train=[(x[:3 + i % 2], 0) for i, x in enumerate(X)]", ("batch", "stack")),
    # numbers
    "endless steps": ("steps=10**12", ("steps is 1000000000000",)),
    "steps beyond numbers": ("steps=10**24", ("steps is 1000000000000000000000000",)),
    "steps of thousands of digits": ("steps=10**5000", ("steps is an integer of thousands",)),
    "steps in words": ("steps='20'", ("steps is '20'",)),
    "true steps": ("steps=True", ("steps is True",)),
    "no steps": ("steps=None", ("steps is None",)),
    "steps of numpy": ("steps=np.int64(20)", ("pass int(20)",)),
    "steps of torch": ("steps=torch.tensor(20)", ("steps is a Tensor",)),
    "a batch in words": ("batch_size='16'", ("batch_size is '16'",)),
    "a true batch": ("batch_size=True", ("batch_size is True",)),
    "a batch below zero": ("batch_size=-1", ("batch_size is -1",)),
    "an endless clip": ("clip_grad_norm=float('inf')", ("clip_grad_norm is inf",)),
    "a clip in words": ("clip_grad_norm='1'", ("clip_grad_norm is '1'",)),
    "half an accumulation": ("accumulate=1.5", ("accumulate is 1.5",)),
    "endless accumulation": ("accumulate=10**9", ("accumulate is 1000000000",)),
    "a huge seed": ("seed=2**80", ("seed is",)),
    "no seed": ("seed=None", ("seed is None",)),
    "a true threshold": ("accuracy_threshold=True", ("threshold is True",)),
    "a loss threshold in words": ("loss_threshold='low'", ("threshold is 'low'",)),
    "an endless loss threshold": ("loss_threshold=float('inf')", ("threshold is inf",)),
    "a name that is a number": ("name=3", ("name is 3",)),
    "a label that is a tensor": ("label=X", ("label is a Tensor",)),
    "a schedule of nothing": ("schedule='wsd:'", ("'wsd:'",)),
    "a schedule of three": ("schedule=3", ("schedule is a int",)),
    "a schedule that is a class": ("schedule=etastar.Schedule", ("schedule", "Schedule")),
    "a schedule that fails": ("schedule=raising(ValueError('no scheduler'))", ("no scheduler",)),
}  # fmt: skip
"""name -> (arguments of `problem`, what the sentence must name one of)."""

LOOPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "an async loop": ("later", ("train is an async function",)),
    "a loop of nothing": ("lambda: 1", ("train takes nothing",)),
    "a loop of one": ("lambda lr: 1", ("train takes lr",)),
    "a loop of four": ("lambda lr, seed, report, more: 1", ("train takes lr, seed, report, more",)),
    "a loop that is a model": ("3", ("train is a int",)),
    "a loop that reports nothing": ("lambda lr, seed, report: None", ("without a report",)),
    "a loop that reports a word": ("lambda lr, seed, report: report(loss='low')", ("report() got a str",)),
    "a loop that reports a list": ("lambda lr, seed, report: report(loss=[1.0])", ("report() got a list",)),
    "a loop that reports NaN": ("lambda lr, seed, report: report(loss=float('nan'))", ("nan",)),
    "a loop that reports many": ("lambda lr, seed, report: report(loss=torch.ones(3))", ("report() got a Tensor",)),
    "a loop with an accuracy in percent": ("lambda lr, seed, report: report(loss=1.0, accuracy=300)", ("accuracy=300",)),
    "a loop with an accuracy below zero": ("lambda lr, seed, report: report(loss=1.0, accuracy=-0.1)", ("accuracy=-0.1",)),
    "a loop with an accuracy in words": ("lambda lr, seed, report: report(1, accuracy='high')", ("report() got a str",)),
    "a loop that reports without a loss": ("lambda lr, seed, report: report(accuracy=0.5)", ("loss",)),
    "a loop that raises": ("raising(KeyError('weights'))", ("weights",)),
    "a loop that stops the interpreter": ("raising(SystemExit(3))", ("SystemExit", "sys.exit")),
}  # fmt: skip
"""name -> (the function, what the sentence must name one of)."""

BODIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "a problem of nothing": ("p = etastar.Problem()", ("user.py",)),
    "a problem without data": ("p = etastar.Problem(model=sgd, optimizer=sgd, loss=F.l1_loss, steps=9)", ("train", "model")),
    "a problem with an argument too many": ("p = problem(epochs=3)", ("epochs",)),
    "a problem by position": ("p = etastar.Problem(net)", ("user.py",)),
    "a list of problems": ("p = [problem()]", ("list",)),
    "a dictionary": ("p = {}", ("dict",)),
    "None": ("p = None", ("NoneType", "None")),
    "a module": ("p = torch", ("module",)),
    "a function that returns a list": ("def p(): return [problem()]", ("list",)),
    "a generator": ("def p(): yield problem()", ("generator",)),
    "a coroutine": ("async def p(): return problem()", ("coroutine",)),
    "a function that never ends up": ("def p(): return p()", ("RecursionError",)),
    "an exception of several lines": ("def p(): raise ValueError('one\\ntwo')", ("one",)),
    "an exception without words": ("def p(): raise ValueError", ("ValueError",)),
    "an exception with markup": ("def p(): raise ValueError('[/x] \\x1b[2J \\u202e')", ("ValueError",)),
    "an exception that cannot be shown": (
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\n\n\ndef p(): raise Odd", ("Odd",)
    ),
    "a group of exceptions": ("def p(): raise ExceptionGroup('many', [ValueError('one')])", ("many",)),
    "a problem that interrupts": ("def p(): raise GeneratorExit", ("GeneratorExit",)),
}  # fmt: skip
"""name -> (the file behind the usual imports, what the sentence must name one of)."""


def rows() -> list[Row]:
    """The whole table of users' files."""
    table = []
    for name, (changes, names) in ARGUMENTS.items():
        table.append(_row(name, f"def p():\n    return problem({changes})", names))
    for name, (function, names) in LOOPS.items():
        table.append(_row(name, f"def p():\n    return etastar.Problem.from_loop({function}, steps=20)", names))
    for name, (body, names) in BODIES.items():
        table.append(_row(name, body, names))
    return table


def _row(name: str, body: str, names: tuple[str, ...]) -> Row:
    arguments = ("find", "user.py:p", "--effort", "glance", "--store", ":memory:")
    return Row(name, arguments, names, _written(body))


def _written(body: str) -> Callable[[], None]:
    return text("user.py", f"import sys\n{HEADER}\n{MORE}\n\n{body}\n")
