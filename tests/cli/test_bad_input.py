"""A user's mistake: one sentence on stderr that says what was got, what is expected and what to do; exit code 2."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cli_harness import HEADER, Cli, Ran

Script = Callable[..., Path]
CHEAP = ("--effort", "glance", "--max-seconds", "60")
"""So that a case which is wrongly accepted fails soon."""


def expect(ran: Ran, *fragments: str) -> None:
    assert ran.code == 2, f"exit code {ran.code}\n{ran.out}\n{ran.err}"
    sentence = ran.sentence
    for fragment in fragments:
        assert fragment in sentence, f"{fragment!r} is not in: {sentence}"
    assert ran.out == ""


# -- the user's file ---------------------------------------------------------------------------------------------------

FILES = {
    "a syntax error": ("p = problem(\n    steps=5\n    batch_size=8)", ":p", ["user.py", "line {second}", "syntax"]),
    "an import error in it": (
        "import no_such_module_at_all\np = problem()",
        ":p",
        ["user.py", "no_such_module_at_all", "line {first}"],
    ),
    "an exception at import": ("p = problem()\nlen(3)", ":p", ["user.py", "TypeError", "line {second}"]),
    "a long exception at import": ("raise RuntimeError('one\\ntwo\\nthree')", ":p", ["RuntimeError", "one"]),
    "it stops the interpreter": ("p = problem()\nimport sys; sys.exit(0)", ":p", ["user.py", "sys.exit", "__main__"]),
    "a name that is not there": ("fine = problem()", ":nosuch", ["nosuch", "it has fine", "function that returns one"]),
    "a number": ("p = 3", ":p", ["user.py:p", "int", "expected an etastar.Problem"]),
    "a model, which can be called": ("p = net", ":p", ["user.py:p", "Linear", "expected an etastar.Problem"]),
    "a class": ("class p: pass", ":p", ["user.py:p", "expected an etastar.Problem"]),
    "a function that returns nothing": ("def p(): problem()", ":p", ["user.py:p", "returned", "None", "etastar.Problem"]),
    "a function that raises": (
        "def p(): raise ValueError('no data here')",
        ":p",
        ["user.py:p", "ValueError", "no data here"],
    ),
    "a function with a long exception": ("def p(): raise ValueError('one\\ntwo')", ":p", ["ValueError", "one"]),
    "a function that stops the interpreter": ("def p(): raise SystemExit(0)", ":p", ["user.py:p", "SystemExit"]),
    "a function with an argument left": ("def p(depth): return problem()", ":p", ["depth", "--set"]),
}


def test_a_file_with_a_command_line_of_its_own(cli: Cli, script: Callable[..., Path]) -> None:
    """Its own usage message is let through; ours, the last line, says what to do."""
    own = "import argparse\na = argparse.ArgumentParser()\na.add_argument('--x', required=True)\na.parse_args()"
    ran = cli("find", f"{script(own)}:p", *CHEAP)
    assert ran.code == 2
    assert (
        ran.err.splitlines()[-1]
        == f"etastar: {script(own)} called sys.exit while imported; put it under if __name__ == '__main__'"
    )


@pytest.mark.parametrize(("body", "name", "fragments"), FILES.values(), ids=FILES.keys())
def test_a_bad_file(cli: Cli, script: Script, body: str, name: str, fragments: list[str]) -> None:
    first = len(HEADER.splitlines()) + 2
    lines = {"first": first, "second": first + 1}
    expect(cli("find", f"{script(body).name}{name}", *CHEAP), *(fragment.format(**lines) for fragment in fragments))


SPECS = {
    "a missing file": ("nosuch.py:p", ["nosuch.py", "path/to/file.py:name"]),
    "a built-in that is not there": ("quadratics", ["'quadratics'", "path/to/file.py:name", "noisy-quadratic"]),
    "a file without a name": ("user.py", ["'user.py'", "path/to/file.py:name"]),
    "a file of another kind": ("user.txt:p", ["user.txt:p", "path/to/file.py:name"]),
    "nothing": ("", ["path/to/file.py:name"]),
}


@pytest.mark.parametrize(("spec", "fragments"), SPECS.values(), ids=SPECS.keys())
def test_a_bad_name(cli: Cli, script: Script, spec: str, fragments: list[str]) -> None:
    script("p = problem()")
    expect(cli("find", spec, *CHEAP), *fragments)


SETTINGS = {
    "an unknown argument": ("quadratic", "depth=3", ["'depth'", "curvatures", "--set"]),
    "an unknown argument behind **settings": ("noisy-quadratic", "depth=3", ["'depth'", "noisy-quadratic"]),
    "no value": ("quadratic", "steps", ["'steps'", "name=value", "--set"]),
    "no name": ("quadratic", "=3", ["'=3'", "name=value", "--set"]),
    "not a name": ("quadratic", "3x=3", ["'3x=3'", "name=value", "--set"]),
    "a value of the wrong kind": ("quadratic", "steps=many", ["steps", "'many'", "expected an integer"]),
    "a value out of range": ("quadratic", "steps=0", ["steps is 0", "expected an integer >= 1"]),
    "for a Problem": ("user.py:p", "depth=3", ["depth", "user.py:p", "is a Problem, not a function"]),
}


@pytest.mark.parametrize(("spec", "settings", "fragments"), SETTINGS.values(), ids=SETTINGS.keys())
def test_a_bad_set(cli: Cli, script: Script, spec: str, settings: str, fragments: list[str]) -> None:
    script("p = problem()")
    expect(cli("find", spec, "--set", settings, *CHEAP), *fragments)


# -- the problem -------------------------------------------------------------------------------------------------------

PROBLEMS = {
    # model and optimizer
    "a model, not its factory": ("model=net", ["model is a Linear", "function", "copy.deepcopy"]),
    "a factory that returns one model": ("model=lambda: net", ["model()", "share storage", "copy.deepcopy"]),
    "a factory that shares a part": ("model=lambda: nn.Sequential(net, nn.Linear(2, 2))", ["'0.weight'", "share storage"]),
    "a factory that returns no model": ("model=lambda: 3", ["model() returned a int", "nn.Module"]),
    "a factory that raises": ("model=lambda: nn.Linear('a', 2)", ["model()", "TypeError"]),
    "a model that does not fit the data": ("model=lambda: nn.Linear(5, 2)", ["RuntimeError", "shapes"]),
    "an optimizer, not its factory": ("optimizer=sgd(net)", ["optimizer is a SGD", "function of the model", "lambda model"]),
    "a factory that returns no optimizer": ("optimizer=lambda m: None", ["optimizer(model) returned", "None", "Optimizer"]),
    "an optimizer of another model": ("optimizer=lambda m: sgd(net)", ["not the new model's", "lambda model"]),
    "an optimizer that raises": (
        "optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=-1)",
        ["optimizer(model)", "ValueError"],
    ),
    "a default rate of zero": (
        "optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.0)",
        ["default lr is 0.0", "> 0", "lr="],
    ),
    "every group at rate zero": (
        "optimizer=lambda m: torch.optim.SGD([{'params': m.parameters(), 'lr': 0.0}], lr=0.1)",
        ["no trainable parameter", "lr=0", "unfreeze"],
    ),
    "every parameter frozen": (
        "model=lambda: nn.Linear(4, 2).requires_grad_(False)",
        ["no trainable parameter", "requires_grad", "unfreeze"],
    ),
    # loss
    "neither loss nor loss_fn": ("loss=None", ["neither loss nor loss_fn", "exactly one"]),
    "both loss and loss_fn": ("loss_fn=lambda m, b: m(b[0]).sum()", ["both loss and loss_fn", "exactly one"]),
    "a loss that is no function": ("loss='cross_entropy'", ["loss is a str", "function"]),
    "a loss per sample": (
        "loss=nn.CrossEntropyLoss(reduction='none')",
        ["(16,)", "expected a real scalar", "reduction='mean'"],
    ),
    "a loss per sample from loss_fn": (
        "loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b[0]), b[1], reduction='none')",
        ["(16,)", "expected a real scalar"],
    ),
    "a loss that is a float": ("loss=lambda o, t: 1.0", ["type float", "expected a scalar tensor"]),
    "a loss that is None": ("loss=lambda o, t: None", ["None", "expected a scalar tensor"]),
    "a detached loss": (
        "loss=lambda o, t: F.cross_entropy(o.detach(), t)",
        ["does not depend on any trainable parameter", "detach"],
    ),
    "a constant loss": ("loss=lambda o, t: torch.tensor(1.0)", ["does not depend on any trainable parameter"]),
    "a loss that raises": ("loss=lambda o, t: F.cross_entropy(o, t.float())", ["the loss", "RuntimeError"]),
    "a loss that starts at infinity": (
        "loss=lambda o, t: o.sum() + float('inf')",
        ["inf", "finite", "check data and model"],
    ),
    "a batch that is a dict": ("train={'x': X, 'y': Y}", ["dict", "(inputs, targets)", "loss_fn(model, batch)"]),
    "a batch without targets": ("train=X", ["Tensor", "(inputs, targets)", "loss_fn(model, batch)"]),
    "a batch of three": ("train=(X, X, Y)", ["tuple of 3", "(inputs, targets)", "loss_fn(model, batch)"]),
    # data
    "no data": ("train=None", ["train is missing", "DataLoader"]),
    "data of no known kind": ("train=3", ["train is a int", "Dataset"]),
    "empty tensors": ("train=(X[:0], Y[:0])", ["empty", "at least one sample"]),
    "an empty Dataset": ("train=Rows(X[:0], Y[:0])", ["empty", "at least one sample"]),
    "an empty DataLoader": (
        "train=DataLoader(Rows(X[:0], Y[:0]), batch_size=16), batch_size=None",
        ["empty", "at least one sample"],
    ),
    "tensors of unequal lengths": ("train=(X, Y[:-1])", ["(64, 4)", "(63,)", "same first dimension"]),
    "a scalar tensor": ("train=(X, torch.tensor(1))", ["()", "same first dimension"]),
    "NaN in the inputs": (
        "train=(spoiled(X, (3, 1), float('nan')), Y)",
        ["train", "(1 in a tensor", "NaN or infinite", "clean"],
    ),
    "inf in the inputs": ("train=(spoiled(X, 3, float('inf')), Y)", ["train", "(4 in a tensor", "NaN or infinite", "clean"]),
    "NaN in the targets": ("train=(X, spoiled(X, 3, float('nan'))), loss=F.mse_loss", ["train", "NaN or infinite", "clean"]),
    "NaN in valid": ("valid=(spoiled(X, 3, float('nan')), Y)", ["valid", "NaN or infinite", "clean"]),
    "NaN in a TensorDataset": ("train=TensorDataset(spoiled(X, 3, float('nan')), Y)", ["train", "NaN or infinite", "clean"]),
    "NaN in a DataLoader": (
        "train=DataLoader(TensorDataset(spoiled(X, 3, float('nan')), Y), batch_size=16), batch_size=None",
        ["train", "NaN or infinite", "clean"],
    ),
    "NaN in every sample of a Dataset": ("train=Rows(X * float('nan'), Y)", ["batch", "NaN or infinite", "clean"]),
    "NaN in one sample of a Dataset": ("train=Rows(spoiled(X, 37, float('nan')), Y)", ["batch", "NaN or infinite", "clean"]),
    "NaN in a target of a Dataset": (
        "train=Rows(X, spoiled(X, 37, float('nan'))), loss=lambda o, t: F.mse_loss(o, t[:, :2])",
        ["batch", "NaN or infinite", "clean"],
    ),
    "a Dataset that raises": ("train=Rows(X, Y[:32])", ["reading a training batch", "IndexError"]),
    "a label too large": ("train=(X, spoiled(Y, 5, 2))", ["a label is 2", "2 outputs", "0..1", "fix the labels"]),
    "a negative label": ("train=(X, spoiled(Y, 5, -1))", ["a label is -1", "2 outputs", "0..1", "fix the labels"]),
    "a label too large in a Dataset": ("train=Rows(X, spoiled(Y, 63, 7))", ["a label is 7", "2 outputs", "0..1"]),
    "a label too large, far away": (
        "train=(X.repeat(20, 1), spoiled(Y.repeat(20), 1279, 7)), steps=100",
        ["a label is 7", "2 outputs", "0..1"],
    ),
    "a label too large, far away in a Dataset": (
        "train=Rows(X.repeat(20, 1), spoiled(Y.repeat(20), 1279, 7)), steps=1000",
        ["the loss", "Target 7"],
    ),
    "a batch larger than the data": ("batch_size=65", ["batch_size is 65", "64 samples", "batch_size <= 64"]),
    "a batch larger than a Dataset": (
        "train=Rows(X, Y), batch_size=65",
        ["batch_size is 65", "64 samples", "batch_size <= 64"],
    ),
    "a batch of none": ("batch_size=0", ["batch_size is 0", "at least 1"]),
    "a batch size that is no integer": ("batch_size=16.0", ["batch_size is 16.0", "integer"]),
    "a batch size beside a DataLoader": (
        "train=DataLoader(TensorDataset(X, Y), batch_size=8)",
        ["batch_size=16", "DataLoader", "drop one"],
    ),
    # numbers
    "no steps": ("steps=0", ["steps is 0", "integer >= 1"]),
    "half a step": ("steps=2.5", ["steps is 2.5", "integer >= 1"]),
    "an accuracy of zero": ("accuracy_threshold=0.0", ["accuracy threshold is 0.0", "(0, 1]"]),
    "an accuracy in percent": ("accuracy_threshold=50", ["accuracy threshold is 50", "(0, 1]", "0.5"]),
    "an accuracy that is a word": ("accuracy_threshold='high'", ["accuracy threshold is 'high'", "(0, 1]"]),
    "a loss threshold that is NaN": ("loss_threshold=float('nan')", ["loss threshold is nan", "finite"]),
    "both thresholds": (
        "accuracy_threshold=0.5, loss_threshold=1.0",
        ["both accuracy_threshold and loss_threshold", "at most one"],
    ),
    "an accuracy that cannot be measured": (
        "train=(X, X[:, :2]), loss=F.mse_loss, accuracy_threshold=0.5",
        ["accuracy_threshold", "metric_fn", "loss_threshold"],
    ),
    "a negative clip": ("clip_grad_norm=-1.0", ["clip_grad_norm is -1.0", "> 0"]),
    "a clip of zero": ("clip_grad_norm=0", ["clip_grad_norm is 0", "> 0"]),
    "no accumulation": ("accumulate=0", ["accumulate is 0", ">= 1"]),
    "a seed that is no integer": ("seed='zero'", ["seed is 'zero'", "integer"]),
    "a schedule longer than the steps": ("schedule=etastar.Schedule(steps=900)", ["spans 900 steps but only", "shorten"]),
    "an unknown schedule": ("schedule='cosin'", ["schedule is 'cosin'", "warmup-cosine"]),
    "a schedule that is no Policy": ("schedule=3", ["schedule is a int", "Policy"]),
    "a policy whose rate is NaN": ("schedule=NoRate()", ["NoRate", "gave the rate nan", "expected a finite number >= 0"]),
    "an argument that is not there": ("epochs=3", ["epochs"]),
}


@pytest.mark.parametrize(("changes", "fragments"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_a_bad_problem(cli: Cli, script: Script, changes: str, fragments: list[str]) -> None:
    script(f"def make():\n    return problem({changes})")
    expect(cli("find", "user.py:make", *CHEAP), *fragments)


LOOPS = {
    "it reports nothing": ("def train(lr, seed, report): pass", ["without a report", "once per optimizer step"]),
    "it raises": ("def train(lr, seed, report): raise KeyError('weights')", ["training loop", "KeyError", "weights"]),
    "it reports a list": ("def train(lr, seed, report): report(loss=[1.0])", ["report()", "list", "expected a number"]),
    "it reports NaN at once": ("def train(lr, seed, report): report(loss=float('nan'))", ["nan", "expected finite"]),
    "it takes other arguments": ("def train(lr): pass", ["train takes lr", "train(lr, seed, report)"]),
    "it is no function": ("train = 3", ["train is a int", "train(lr, seed, report)"]),
}


@pytest.mark.parametrize(("body", "fragments"), LOOPS.values(), ids=LOOPS.keys())
def test_a_bad_loop(cli: Cli, script: Script, body: str, fragments: list[str]) -> None:
    script(f"{body}\ndef make():\n    return etastar.Problem.from_loop(train, steps=20)")
    expect(cli("find", "user.py:make", *CHEAP), *fragments)


OTHERS = {
    "all of its parameters": "optimizer=lambda m: sgd(other)",
    "some of its parameters": "optimizer=lambda m: torch.optim.SGD([*m.parameters(), *other.parameters()], lr=0.1)",
    "as a part of the model": "model=lambda: nn.Sequential(other, nn.Linear(2, 2))",
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS.keys())
def test_another_model_is_left_alone(cli: Cli, script: Script, user_module: Callable[[], ModuleType], changes: str) -> None:
    script(f"other = nn.Linear(4, 2)\nbefore = copy.deepcopy(other.state_dict())\np = problem({changes})")
    expect(cli("find", "user.py:p", *CHEAP))
    module = user_module()
    for name, value in module.other.state_dict().items():
        assert torch.equal(value, module.before[name])
    assert module.other.training
    assert all(p.grad is None and p.requires_grad for p in module.other.parameters())


ACCEPTED = {
    "labels to be ignored": "train=(X, spoiled(Y, 5, -1)), loss=nn.CrossEntropyLoss(ignore_index=-1)",
    "labels to be ignored by default": "train=(X, spoiled(Y, 5, -100))",
    "integer targets of a regression": (
        "model=lambda: nn.Linear(4, 1), loss=lambda o, t: F.mse_loss(o.squeeze(1), t.float()), train=(X, 3 * Y)"
    ),
    "integer targets of a binary loss": (
        "model=lambda: nn.Linear(4, 1), loss=lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float())"
    ),
    "a frozen group": (
        "optimizer=lambda m: torch.optim.SGD([{'params': [m.weight]}, {'params': [m.bias], 'lr': 0.0}], lr=0.1)"
    ),
    "a batch of everything": "batch_size=64",
    "a loss of shape (1,)": "loss=lambda o, t: F.cross_entropy(o, t).reshape(1)",
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_problem_that_only_looks_bad(cli: Cli, script: Script, changes: str) -> None:
    """What the checks above must let through."""
    script(f"p = problem({changes})")
    ran = cli("doctor", "user.py:p", "--quiet")
    assert (ran.code, ran.err) == (0, "")


# -- the options -------------------------------------------------------------------------------------------------------

OPTIONS = {
    "no steps": (["--steps", "0"], ["steps is 0", "integer >= 1"]),
    "negative steps": (["--steps", "-5"], ["steps is -5", "integer >= 1"]),
    "steps that are no number": (["--steps", "many"], ["--steps is 'many'", "integer >= 1"]),
    "a threshold of zero": (["--threshold", "0"], ["threshold is 0", "(0, 1]"]),
    "a threshold above one": (["--threshold", "1.5"], ["threshold is 1.5", "(0, 1]"]),
    "a threshold that is NaN": (["--threshold", "nan"], ["threshold is nan", "(0, 1]"]),
    "a threshold without an accuracy": (["--threshold", "0.5"], ["threshold", "metric_fn", "loss_threshold"]),
    "an unknown effort": (["--effort", "huge"], ["effort is 'huge'", "glance", "quick", "thorough"]),
    "an unknown engine": (["--engine", "warp"], ["engine is 'warp'", "auto", "loop"]),
    "an unknown device": (["--device", "quantum"], ["device is 'quantum'", "cpu", "cuda"]),
    "a device of another kind": (["--device", "mps"], ["device is 'mps'", "cpu", "cuda"]),
    "a device without data": (["--device", "meta"], ["device is 'meta'", "cpu", "cuda"]),
    "a GPU that is not there": (["--device", "cuda:99"], ["device is 'cuda:99'"]),
    "an unknown optimizer": (["--optimizer", "sdg"], ["optimizer is 'sdg'", "sgd", "adamw"]),
    "a malformed optimizer": (["--optimizer", "adam:0.1"], ["'0.1'", "name=value", "--optimizer adam:lr=0.01"]),
    "an unknown optimizer setting": (["--optimizer", "adam:rate=0.1"], ["optimizer", "rate"]),
    "an optimizer's rate that is a word": (
        ["--optimizer", "adam:lr=high"],
        ["lr is 'high'", "a finite number"],
    ),
    "an optimizer's rate of zero": (["--optimizer", "sgd:lr=0"], ["default lr is 0", "> 0"]),
    "an unknown schedule": (["--schedule", "cosin"], ["schedule is 'cosin'", "constant"]),
    "no workers": (["--workers", "0"], ["workers is 0", "at least 1"]),
    "no seconds": (["--max-seconds", "0"], ["--max-seconds is 0", "more than 0"]),
    "seconds that are NaN": (["--max-seconds", "nan"], ["--max-seconds is nan", "more than 0"]),
    "a seed that is no number": (["--seed", "zero"], ["--seed is 'zero'", "integer"]),
    "an option that is not there": (["--rate", "3"], ["--rate", "--steps", "--help"]),
    "an option without its value": (["--steps"], ["--steps", "argument"]),
    "a second problem": (["digits-mlp"], ["digits-mlp", "--help"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), OPTIONS.values(), ids=OPTIONS.keys())
def test_a_bad_option(cli: Cli, arguments: list[str], fragments: list[str]) -> None:
    expect(cli("find", "quadratic", "--set", "steps=20", *CHEAP, *arguments), *fragments)


def test_an_unknown_verb(cli: Cli) -> None:
    expect(cli("fnid", "quadratic"), "'fnid'", "etastar --help")


def test_nothing_at_all(cli: Cli) -> None:
    """Not a mistake worth a sentence: the usage, as it is."""
    ran = cli()
    assert ran.code == 2
    shown = (ran.out + ran.err).strip()
    assert shown.startswith("Usage: etastar [OPTIONS] COMMAND")
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["schedule", "psi"], "the commands of several words"


def test_no_problem(cli: Cli) -> None:
    expect(cli("find"), "problem", "--help")


OUTPUTS = {
    "a report under a file": ["--report", "/dev/null/x"],
    "JSON under a file": ["--json", "/dev/null/x.json"],
    "JSON in a folder that is not there": ["--json", "nosuch/x.json"],
    "JSON that is a folder": ["--json", "."],
}


@pytest.mark.parametrize("arguments", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_an_output_that_cannot_be_written(cli: Cli, arguments: list[str]) -> None:
    expect(cli("find", "quadratic", *CHEAP, *arguments), arguments[1], "cannot be written", "pass")
    assert not Path(".etastar").exists(), "found before anything was opened or trained"


def test_both_outputs_cannot_be_written(cli: Cli) -> None:
    """The one at fault is named."""
    expect(
        cli("find", "quadratic", *CHEAP, "--json", "x.json", "--report", "/dev/null/x"), "/dev/null/x", "cannot be written"
    )


def test_bad_input_leaves_no_json_file(cli: Cli) -> None:
    """An empty file would pass for an answer."""
    Path("old.json").write_text("{}")
    for name in ("old.json", "new.json"):
        expect(cli("find", "quadratic", "--effort", "huge", "--json", name), "huge")
    assert Path("old.json").read_text() == "{}"
    assert not Path("new.json").exists()


# -- the store ---------------------------------------------------------------------------------------------------------

URLS = {
    "under a file": ("/dev/null/x.db", ["/dev/null/x.db", "cannot be written", "pass another --store"]),
    "a folder": (".", ["is a folder", "expected a file"]),
    "nothing": ("", ["empty", "expected a file path"]),
    "MySQL": ("mysql://host/runs", ["'mysql'", "expected a file path"]),
    "no server": ("postgresql://team:secret@127.0.0.1:1/runs", ["team:***@127.0.0.1:1", "cannot be used", "--store"]),
}


@pytest.mark.parametrize("verb", [("find", "quadratic", *CHEAP), ("runs",)], ids=["find", "runs"])
@pytest.mark.parametrize(("url", "fragments"), URLS.values(), ids=URLS.keys())
def test_a_store_that_cannot_be_opened(cli: Cli, verb: tuple[str, ...], url: str, fragments: list[str]) -> None:
    if verb == ("runs",) and url == "/dev/null/x.db":
        fragments = ["/dev/null/x.db"]
    expect(cli(*verb, "--store", url), *fragments)


@pytest.mark.parametrize("store", [(), ("--store", "nosuch.db"), ("--store", "sqlite:///nosuch.db")])
def test_runs_without_a_store(cli: Cli, store: tuple[str, ...]) -> None:
    expect(cli("runs", *store), store[-1] if store else ".etastar/runs.db", "etastar find", "--store")
    assert not list(Path().iterdir()), "looking creates nothing"


@pytest.fixture(scope="module")
def sound_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with some lanes in it, as bytes."""
    from etastar import Options, find
    from etastar.problems import builder

    path = tmp_path_factory.mktemp("store") / "runs.db"
    find(builder("quadratic")(steps=20), options=Options(store=path))
    assert path.stat().st_size > 8 * 4096
    return path.read_bytes()


def _sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


NOISE = bytes(torch.randint(0, 256, (4096,), generator=torch.Generator().manual_seed(0)).tolist())


def _random(path: Path, sound: bytes) -> None:
    path.write_bytes(NOISE)


def _random_after_the_header(path: Path, sound: bytes) -> None:
    path.write_bytes(sound[:100] + NOISE)


def _truncated(path: Path, sound: bytes) -> None:
    path.write_bytes(sound[: len(sound) // 2 + 100])


def _overwritten(path: Path, sound: bytes) -> None:
    """Every page but the first two."""
    path.write_bytes(sound[:8192] + NOISE * (len(sound) // 4096 - 2))


def _overwritten_in_the_middle(path: Path, sound: bytes) -> None:
    middle = len(sound) // 4096 // 2 * 4096
    path.write_bytes(sound[:middle] + NOISE + sound[middle + 4096 :])


def _of_something_else(path: Path, sound: bytes) -> None:
    _sql(path, "CREATE TABLE recipe (id INTEGER)", "INSERT INTO recipe VALUES (1)")


def _newer(path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    _sql(path, "UPDATE store_info SET value='999' WHERE key='schema_version'")


def _unreadable_version(path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    _sql(path, "UPDATE store_info SET value='two' WHERE key='schema_version'")


STORES = {
    "random bytes": (_random, ["is not a SQLite database or is corrupt", "left as it is", "--store"]),
    "random bytes after the header": (_random_after_the_header, ["left as it is", "--store"]),
    "truncated": (_truncated, ["left as it is", "--store"]),
    "overwritten": (_overwritten, ["left as it is", "--store"]),
    "one page overwritten": (_overwritten_in_the_middle, ["left as it is", "--store"]),
    "of something else": (_of_something_else, ["not an etastar store", "left as it is", "--store"]),
    "newer": (_newer, ["newer etastar", "999", "upgrade"]),
    "version that is no number": (_unreadable_version, ["two", "--store"]),
}


@pytest.mark.parametrize("verb", [("find", "quadratic", "--set", "steps=20", *CHEAP), ("runs",)], ids=["find", "runs"])
@pytest.mark.parametrize(("spoil", "fragments"), STORES.values(), ids=STORES.keys())
def test_a_store_that_cannot_be_used_is_left_untouched(
    cli: Cli, sound_store: bytes, verb: tuple[str, ...], spoil: Callable[[Path, bytes], None], fragments: list[str]
) -> None:
    path = Path("spoilt.db")
    spoil(path, sound_store)
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    expect(cli(*verb, "--store", path), "spoilt.db", *fragments)
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == modified


def test_a_store_with_other_columns_is_left_untouched(cli: Cli, sound_store: bytes) -> None:
    path = Path("spoilt.db")
    path.write_bytes(sound_store)
    _sql(path, "ALTER TABLE run RENAME COLUMN end_loss TO last_loss")
    before = path.read_bytes()
    expect(cli("find", "quadratic", "--set", "steps=20", *CHEAP, "--store", path), "spoilt.db", "--store")
    assert path.read_bytes() == before


def test_a_sound_store_is_used(cli: Cli, sound_store: bytes) -> None:
    """The control of the test above."""
    Path("sound.db").write_bytes(sound_store)
    assert cli("runs", "--store", "sound.db").code == 0


# -- through a real process --------------------------------------------------------------------------------------------

PROCESSES = {
    "a missing file": (["find", "nosuch.py:p"], ["nosuch.py"]),
    "an unknown verb": (["fnid"], ["'fnid'", "etastar --help"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), PROCESSES.values(), ids=PROCESSES.keys())
def test_in_a_process(process: Cli, arguments: list[str], fragments: list[str]) -> None:
    expect(process(*arguments), *fragments)


@pytest.mark.slow
def test_a_users_file_in_a_process(process: Cli, script: Script) -> None:
    script("p = problem(model=net)")
    expect(process("find", "user.py:p"), "model is a Linear", "copy.deepcopy")
