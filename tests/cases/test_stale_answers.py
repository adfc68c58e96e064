"""After an edit of anything a lane depends on, nothing is answered from the store; without an edit, everything is."""

from __future__ import annotations

import collections
import copy
import enum
import functools
import importlib
import os
import subprocess
import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

from etastar import Options, Problem, Then, Times, find
from etastar.engine.preflight import preflight
from etastar.policies import Constant, Observation
from etastar.store.description import digest
from etastar.store.fingerprint import fingerprint
from processes import PATIENCE

X = torch.linspace(-2, 2, 240).reshape(60, 4)
Y = torch.arange(60) % 3


def net():
    return nn.Linear(4, 3)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def problem(**changes) -> Problem:
    given = {"model": net, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 10, "steps": 20}
    return Problem(**{**given, **changes})


def of(**changes) -> str:
    return fingerprint(problem(**changes), {}, "1.0")


class Shifted(IterableDataset):
    def __init__(self, by):
        self.by = by

    def __iter__(self):
        yield from zip(X, (Y + self.by) % 3, strict=True)


class Rows(Dataset):
    """One attribute that only every thousandth sample shows."""

    def __init__(self, rare):
        self.rare = rare

    def __len__(self):
        return 60_000

    def __getitem__(self, i):
        return X[i % 60] * (self.rare if i % 1000 == 501 else 1.0), Y[i % 60]


def plain(batch):
    return torch.stack([x for x, _ in batch]), torch.stack([y for _, y in batch])


def shifted(batch):
    return torch.stack([x for x, _ in batch]), torch.stack([(y + 1) % 3 for _, y in batch])


def opened(_):
    pass


def loader(**settings):
    return DataLoader(TensorDataset(X, Y), batch_size=10, **settings)


BIG = torch.zeros(70_000, 20)
CHANGED = BIG.clone()
CHANGED[33_333, 7] = 1.0
LABELS = torch.zeros(70_000, dtype=torch.long)

DATA = {
    "collate function": (loader(collate_fn=plain), loader(collate_fn=shifted)),
    "its settings": (
        loader(collate_fn=functools.partial(plain)),
        loader(collate_fn=functools.partial(shifted)),
    ),
    "worker_init_fn": (loader(), loader(worker_init_fn=opened)),
    "weights of a sampler": tuple(
        loader(sampler=WeightedRandomSampler(torch.linspace(1, end, 60), 60)) for end in (2.0, 3.0)
    ),
    "attribute of an IterableDataset": (DataLoader(Shifted(0), batch_size=10), DataLoader(Shifted(1), batch_size=10)),
    "rare samples": (Rows(1.0), Rows(2.0)),
    "indices of a subset": (Subset(TensorDataset(X, Y), [*range(59)]), Subset(TensorDataset(X, Y), [*range(1, 60)])),
    "one number of a large tensor": ((BIG, LABELS), (CHANGED, LABELS)),
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize("argument", ["train", "valid"])
def test_an_edit_of_the_data_is_seen(what, argument):
    before, after = DATA[what]
    size = None if isinstance(before, DataLoader) and argument == "train" else 10
    assert of(**{argument: before, "batch_size": size}) != of(**{argument: after, "batch_size": size})


def test_validation_data_is_trained_on_again_after_an_edit(tmp_path):
    store = Options(store=tmp_path / "runs.db", workers=1)
    valid = [DataLoader(TensorDataset(X, Y), batch_size=20, collate_fn=c) for c in (plain, shifted)]
    first, again, edited = (find(problem(valid=v), effort="glance", options=store) for v in (valid[0], valid[0], valid[1]))
    assert first.cost["new_gradient_steps"] > 0
    assert again.cost["new_gradient_steps"] == 0
    assert edited.cost["new_gradient_steps"] > 0
    assert [o.valid_loss for o in edited.runs] != [o.valid_loss for o in first.runs]


class Hidden:
    """Hides its content from every description: pickling refuses and there are no attributes."""

    __slots__ = ("content",)

    def __reduce_ex__(self, protocol):
        raise TypeError("no")


def test_the_trace_tells_validation_data_apart_that_nothing_else_does():
    shift = Hidden()

    class Secret(IterableDataset):
        def __iter__(self):
            yield from zip(X, (Y + shift.content) % 3, strict=True)

    given = problem(valid=DataLoader(Secret(), batch_size=20))
    traces = []
    for shift.content in (0, 1):
        traces.append(preflight(given).trace)
    assert traces[0][:2] == traces[1][:2]
    assert len(traces[0]) == 3
    with torch.no_grad():
        assert traces[0][2] != traces[1][2]


def exec_made(source, **scope):
    """A function of a module that does not say its name, as `exec` without `__name__` makes it."""
    scope = {"torch": torch, "nn": nn, "__builtins__": __builtins__, **scope}
    exec(source, scope)
    return scope["made"]


class Layer(nn.Module):
    """A layer whose class comes from a factory, so that editions of it can be compared."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)


def layer(forward, base=Layer, **own):
    return type("Mine", (base,), {"forward": forward, **own})


def first(self, x):
    return self.inner(x)


def later(self, x):
    return self.inner(x) if getattr(self, "seen", 0) < 10 else 0 * self.inner(x)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Settings:
    width: int = 3
    kind: Colour = Colour.RED


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def with_hook(hook):
    module = nn.Linear(2, 2)
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    module.register_forward_hook(hook)
    return module


def holding(value):
    return lambda: value


def calls(inner):
    return lambda: inner()


def buried(value, depth):
    for _ in range(depth):
        value = [value]
    return value


def long_chain(value, length):
    for _ in range(length):
        value = calls(value)
    return value


def frozen(parameter, by):
    parameter.requires_grad = by
    return parameter


OBJECTS = {
    "body of a function": (lambda: 1 + 1, lambda: 1 - 1),
    "default of a function": (lambda a=1: a, lambda a=2: a),
    "default by name": (lambda *, a=1: a, lambda *, a=2: a),
    "what a closure holds": (holding(Settings(3)), holding(Settings(4))),
    "an enum": (holding(Settings(kind=Colour.RED)), holding(Settings(kind=Colour.BLUE))),
    "a function called by a function": (calls(lambda: 1), calls(lambda: 2)),
    "a function in a dict": ({"act": [torch.tanh, lambda x: x]}, {"act": [torch.tanh, lambda x: -x]}),
    "builtin in a dict": ({"act": torch.tanh}, {"act": torch.sigmoid}),
    "a partial's function": (functools.partial(lambda x: x, 1), functools.partial(lambda x: -x, 1)),
    "a partial's argument": (functools.partial(print, 1), functools.partial(print, 2)),
    "a bound method": (Settings(3).__repr__, Settings(4).__repr__),
    "a cached function": (functools.cache(lambda: 1), functools.cache(lambda: 2)),
    "without a module": (exec_made("def made(): return 1"), exec_made("def made(): return 2")),
    "global of one without a module": (exec_made("def made(): return g", g=1), exec_made("def made(): return g", g=2)),
    "forward of a class": (layer(first), layer(later)),
    "a class attribute": (layer(first, gain=1.0), layer(first, gain=2.0)),
    "a base class": (layer(first, layer(first, gain=1.0)), layer(first, layer(first, gain=2.0))),
    "a property": (layer(first, gain=property(lambda s: 1.0)), layer(first, gain=property(lambda s: 2.0))),
    "a static method": (layer(first, gain=staticmethod(lambda: 1)), layer(first, gain=staticmethod(lambda: 2))),
    "a factory that names a class": (
        exec_made("def made(): return Net()", Net=layer(first)),
        exec_made("def made(): return Net()", Net=layer(later)),
    ),
    "slots": (Slots(1), Slots(2)),
    "an array": (np.arange(9.0), np.arange(9.0) + (np.arange(9) == 4)),
    "type of an array": (np.arange(9, dtype=np.int32), np.arange(9, dtype=np.int64)),
    "an array of objects": (np.array([{"a": 1}, 2], dtype=object), np.array([{"a": 2}, 2], dtype=object)),
    "a number of numpy": (np.float32(1), np.float64(1)),
    "a queue": (collections.deque([1, 2]), collections.deque([1, 3])),
    "a counter": (collections.Counter("aab"), collections.Counter("abb")),
    "a set": ({"a", "b", 3}, {"a", "b", 4}),
    "shape of a tensor": (torch.zeros(6), torch.zeros(2, 3)),
    "type of a tensor": (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16)),
    "a bfloat16 tensor": (torch.ones(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)),
    "a complex tensor": (torch.tensor([1 + 2j]), torch.tensor([1 - 2j])),
    "a conjugate": (torch.tensor([1 + 2j]), torch.tensor([1 + 2j]).conj()),
    "a sparse tensor": (torch.eye(3).to_sparse(), (2 * torch.eye(3)).to_sparse()),
    "a frozen parameter": tuple(frozen(nn.Parameter(torch.zeros(2)), by) for by in (True, False)),
    "a hook": (with_hook(lambda m, i, o: o), with_hook(lambda m, i, o: -o)),
    "mode of a module": (nn.Dropout(0.5), nn.Dropout(0.5).eval()),
    "a generator": (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)),
    "a generator of numpy": (np.random.default_rng(1), np.random.default_rng(2)),
    "what lies very deep": (buried(1, 400), buried(2, 400)),
    "what is called very deep": (long_chain(lambda: 1, 300), long_chain(lambda: 2, 300)),
    "True and 1": (True, 1),
    "1 and 1.0": ([1, 2], [1.0, 2]),
}  # fmt: skip


@pytest.mark.parametrize("what", OBJECTS)
def test_an_edit_changes_the_digest(what):
    before, after = OBJECTS[what]
    assert digest(before) != digest(after)


@pytest.mark.parametrize("what", OBJECTS)
def test_describing_changes_nothing(what):
    before, _ = OBJECTS[what]
    assert digest(before) == digest(before)


def test_copies_have_the_digest_of_the_original():
    shared = torch.ones(3)
    for original in (Settings(4), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), np.arange(5), {"a": [shared, shared]}):
        assert digest(copy.deepcopy(original)) == digest(original)
    assert digest([torch.ones(3), torch.ones(3)]) == digest([shared, shared])
    assert digest({3, "a", (1, 2)}) == digest({(1, 2), 3, "a"})


def test_an_attribute_is_not_taken_for_a_global_of_its_name():
    source = "def made(x): return x.weight"
    assert digest(exec_made(source, weight=1)) == digest(exec_made(source, weight=2))
    inner = "def made(x): return lambda: weight + x"
    assert digest(exec_made(inner, weight=1)) != digest(exec_made(inner, weight=2))


def test_what_holds_itself_is_described():
    def ring(value):
        first, second = types.SimpleNamespace(value=value), types.SimpleNamespace()
        first.next, second.next = second, first
        return first

    assert digest(ring(1)) == digest(ring(1)) != digest(ring(2))


def test_an_edited_module_of_the_users_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "my_layers"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\n")

    def written(text):
        (package / "inner.py").write_text(text)
        for name in [name for name in sys.modules if name.startswith("my_layers")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        module = importlib.import_module("my_layers")
        named = exec_made("def made(): return my_layers.inner.make()", my_layers=module)
        inside = exec_made("def made():\n    from my_layers.inner import make\n    return make()")
        return [digest(named), digest(inside)]

    first = written("def make(): return 1\n")
    assert written("def make(): return 1  # said again\n") == first
    assert all(a != b for a, b in zip(written("def make(): return 2\n"), first, strict=True))


def test_a_file_behind_a_dataset_is_seen(tmp_path):
    class Lines(Dataset):
        def __init__(self, path):
            self.path = path

        def __len__(self):
            return 1000

        def __getitem__(self, i):
            return torch.tensor([float(self.path.read_text().split()[i])])

    numbers = [str(i) for i in range(1000)]
    (tmp_path / "lines.txt").write_text(" ".join(numbers))
    before = of(train=Lines(tmp_path / "lines.txt"), loss=None, loss_fn=net)
    assert of(train=Lines(tmp_path / "lines.txt"), loss=None, loss_fn=net) == before
    numbers[501] = "0"  # none of the samples that are read
    (tmp_path / "lines.txt").write_text(" ".join(numbers))
    assert of(train=Lines(tmp_path / "lines.txt"), loss=None, loss_fn=net) != before


def policy_of(factor):
    @dataclass(frozen=True)
    class Mine:
        reads = ()

        def init(self, lr):
            return lr

        def step(self, observation: Observation, state):
            return state * factor**observation.step, state

    return Mine()


def test_the_code_of_a_policy_of_ones_own_is_seen():
    assert repr(policy_of(0.9)) == repr(policy_of(0.8))
    assert of(schedule=policy_of(0.9)) != of(schedule=policy_of(0.8))
    within = lambda factor: Then(Constant(), 5, Times(policy_of(factor), 0.5))
    assert repr(within(0.9)) == repr(within(0.8)) and of(schedule=within(0.9)) != of(schedule=within(0.8))
    assert of(schedule="cosine") == of(schedule="linear")  # etastar's say all in their `repr`, which keys the lane


STABLE = """
import torch, numpy as np, functools, logging, threading, re, pathlib
from torch import nn
from etastar.store.description import digest
log, lock = logging.getLogger("mine"), threading.Lock()
NAMES, ACT = {"b", "a", "c", ("x", 1)}, {"f": torch.relu, "g": lambda x: x if "a" in {"a", "b", "zz"} else -x}
class Base(nn.Module):
    kinds = frozenset(["p", "q", "r"])
    def forward(self, x):
        return super().forward(x)
class Net(Base):
    def __init__(self):
        super().__init__()
        self.part, self.drop = nn.Linear(3, 3), nn.Dropout(0.1)
        nn.init.ones_(self.part.weight), nn.init.zeros_(self.part.bias)
        self.part.register_forward_hook(hook)
    @functools.cached_property
    def names(self):
        return sorted(NAMES)
    @torch.no_grad()
    def look(self):
        log.info("%s", self); return lock
def hook(module, inputs, output):
    return ACT["g"](output)
def make():
    with lock:
        return Net()
net = Net()
things = [make, net, Net, NAMES, ACT, functools.partial(make, key=net.look), object(), log, lock, re.compile("a+"),
          pathlib.Path("x"), np.random.default_rng(3), {1: np.arange(3)}, torch.optim.Adam(net.parameters()), print, len]
print([digest(thing) for thing in things], digest(things))
"""


def test_digests_are_the_same_in_every_process(tmp_path, monkeypatch, capsys):
    """In this one, whose hashes are salted as they happen to be, and as a script in another."""
    (tmp_path / "stable.py").write_text(STABLE)
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    command = [sys.executable, "stable.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("stable")
    monkeypatch.delitem(sys.modules, "stable")
    assert capsys.readouterr().out == done.stdout
    assert len(done.stdout) > 100
