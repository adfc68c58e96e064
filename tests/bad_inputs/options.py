"""Bad values for every option of every command, generated from the commands themselves.

An option is known by its name: a new one that `KINDS` does not hold fails `test_every_option_is_in_the_table`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bad_inputs.row import Row, pipe, text
from etastar.cli import main

ODD = ("", "\N{PILE OF POO}", "\u202eevil", "a\x1b[2Jb", "a\tb", "naïve", "x" * 5000, "{0}", "[/x]", "a;b", "-")
"""No word that any option knows: nothing, pictures, characters that reorder or clear the screen, markup."""
NO_INTEGER = (*ODD, "1.5", "1e3", "nan", "inf", "None", "True", "0x10", "9" * 5000)
NO_NUMBER = (*ODD, "nan", "inf", "-inf", "1e999", "None", "1,5", "9" * 5000)
LONG = "x" * 300
PATHS = ("", "nosuch/deeper/x", ".", "/dev/null/x", LONG, "a\x1b[2J/\N{PILE OF POO}/x")
"""Places that are not there, a folder, under a file, a name longer than a file system takes."""

LOG = str(Path(__file__).parents[1] / "logs" / "printed.txt")
MEASURING = (
    "find",
    "search",
    "surface",
    "sensitivity",
    "momentum",
    "compare",
    "scale",
    "study",
    "psi fit",
    "psi train",
    "demo",
)
"""Commands that train lanes."""
BASE: dict[str, tuple[str, ...]] = {
    "find": ("quadratic", "--set", "steps=12", "--effort", "glance", "--store", ":memory:"),
    "search": ("quadratic", "--set", "steps=12", "--sampler", "random", "--trials", "2", "--store", ":memory:"),
    "surface": ("quadratic", "--set", "steps=12", "--seeds", "1", "--rates", "0.1:1:0.5", "--store", ":memory:"),
    "sensitivity": ("quadratic", "--set", "steps=12", "--seeds", "1", "--store", ":memory:"),
    "momentum": ("quadratic", "--set", "steps=12", "--seeds", "1", "--values", "0", "--store", ":memory:"),
    "compare": ("quadratic", "--set", "steps=12", "--policies", "constant", "--budget", "12", "--store", ":memory:"),
    "scale": (
        "digits-mlp",
        "--depth",
        "1,2",
        "--width",
        "4,8",
        "--to",
        "depth=4,width=16",
        "--any-shape",
        "--store",
        ":memory:",
    ),
    "study": ("jelassi2023depth", "--out", "record", "--effort", "quick", "--store", ":memory:"),
    "doctor": ("quadratic", "--set", "steps=12"),
    "probe": ("quadratic", "--set", "steps=12"),
    "predict": ("quadratic", "--set", "steps=12"),
    "forecast": (LOG,),
    "schedule show": ("wsd", "--steps", "40"),
    "psi fit": ("--families", "digits-mlp,cancer", "--steps", "12", "--seeds", "1", "--fresh", "1", "--store", ":memory:"),
    "psi train": (
        "--families", "digits-softmax,cancer,line", "--horizons", "25", "--generations", "1", "--fresh", "1",
        "--weights", "weights.json", "--store", ":memory:",
    ),
    "demo": ("--store", ":memory:"),
    "explain": ("flat",),
    "problems": (),
    "runs": ("--store", ":memory:"),
}  # fmt: skip
"""command -> arguments that are right, and quick."""

WORDS, SETTINGS = (*ODD, "true", "3"), ("3x=1", "=1", "a", "a=1,a=2", "\N{PILE OF POO}=1", "nosuch=1", "\x1b[2J")
KINDS: dict[str, tuple[str, ...]] = {
    "--set": (*SETTINGS, "steps=0", "steps=-1", "steps=many", "steps=1e12", f"steps={10**24}", "seed=a", "batch_size=0"),
    "--steps": (*NO_INTEGER, "0", "-5", str(10**12), str(10**24)),
    "--schedule": (*WORDS, "cosin", "wsd:", "wsd:x=1", "wsd:decay=2", "wsd:decay=nan", "wsd:curve=wave", "constant:decay=1"),
    "--optimizer": (
        *WORDS, "sdg", "adamw:", "adamw:0.1", "adamw:lr=nan", "adamw:lr=inf", "adamw:lr=abc", "sgd:momentum=nan",
        "sgd:lr=-1", "adamw:betas=0.9", "adamw:nosuch=1", "sgd:lr=0", "sgd:lr=1e300", "adamw:lr=1,lr=2", "adamw:betas=(2,3)",
    ),
    "--threshold": (*NO_NUMBER, "0", "-1", "1.5", "50"),
    "--effort": WORDS,
    "--problem": WORDS,
    "--budget-steps": (*NO_INTEGER, "0", "-5", str(10**12)),
    "--budget-seconds": (*NO_NUMBER, "0", "-1", "1e300"),
    "--within": (*NO_NUMBER, "0", "-1", "1e9"),
    "--start-from": (*PATHS, "nosuch.pt"),
    "--at": (*NO_INTEGER, "-1", "12", str(10**12)),
    "--monitor": (*WORDS, ",", "sharpnes", "move,move", "move,", "move:every=5"),
    "--seed": (*NO_INTEGER, str(2**64), str(-(2**64))),
    "--workers": (*NO_INTEGER, "0", "-1", "10000", str(10**9)),
    "--device": (*WORDS, "mps", "meta", "cpu:3", "cuda:", "cuda:99", "cuda:-1", "cuda:\u00b2"),
    "--engine": (*WORDS, "warp", "MLP"),
    "--on": (*WORDS, "there"),
    "--ray-address": ("", "host:6379", "http://user:secret@host"),
    "--max-seconds": (*NO_NUMBER, "0", "-1", "1e300"),
    "--store": ("", "/dev/null/x.db", ".", "mysql://host/runs", "postgresql://team:secret@127.0.0.1:1/runs", LONG, "https://x"),
    "--report": ("", "/dev/null/x", LONG),
    "--json": PATHS,
    "--sampler": (*WORDS, "Random"),
    "--trials": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--space": (*PATHS, "nosuch.toml"),
    "--pruner": (*WORDS, "asha"),
    "--seeds": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--batch": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--study": ("", " "),
    "--study-storage": ("", "/dev/null/x.db", ".", LONG),
    "--schedules": (*ODD, ",", "cosin", "wsd:", "constant,constant", "wsd:decay=2"),
    "--policies": (*ODD, ",", "cosin", "wsd:", "constant,constant", "wsd:decay=2"),
    "--families": (*ODD, ",", "nosuch", "cancer", "cancer,cancer", "cancer,nosuch"),
    "--fresh": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--generations": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--weights": ("", "/dev/null/x", ".", LONG),
    "--horizons": (*NO_INTEGER, ",", "0", "12,0", "-5", "10,10", str(10**12), "5;6"),
    "--rates": (*ODD, "1", "1:2", "1:2:3:4", "a:b:c", "1:0.1:0.5", "-1:1:0.5", "0:1:0.5", "0.1:1:0", "0.1:1:nan",
                "0.1:inf:1", "1e-300:1e300:9", "0.1:1:1e-9"),
    "--target": NO_NUMBER,
    "--values": (*NO_NUMBER, ",", "1", "-0.1", "0.5,0.5", "0.5,2"),
    "--to": (*SETTINGS, "", "depth=4", "depth=4,width=0", "depth=4,width=nan", "depth=4,width=wide", "depth=4,width=16,x=1"),
    "--depth": (*NO_NUMBER[1:-2], "0", "-1", "2,2", "1,1e400"),
    "--width": (*NO_NUMBER[1:-2], "0", "-1", "4,4"),
    "--vary": (*ODD, "x", "x=", "=3", "batch_size=a", "nosuch=1,2", "depth=3"),
    "--measure": (*WORDS, "eta"),
    "--precision": (*NO_NUMBER, "0", "1", "-1"),
    "--budget": (*NO_NUMBER, "0", "-1", "1e300"),
    "--out": ("", "/dev/null/x", LONG),
    "--data": (*PATHS, "nosuch"),
    "--lr": (*NO_NUMBER, "0", "-1", "1e30"),
    "--samples": (*NO_INTEGER, "0", "-1", str(10**12)),
    "--check": PATHS,
    "--cut": (*NO_NUMBER, "0", "-1", "1", "1.5"),
    "--ran": (*WORDS, "cosin", "wsd:decay=2"),
    "--horizon": (*NO_INTEGER, "0", "-5", str(10**12)),
    "--warmup": (*NO_INTEGER, "-1", str(10**12), "500"),
    "--from": (*NO_INTEGER, "-1", str(10**12), "100000"),
    "--passes": (*NO_NUMBER, "0", "-1", "1e300"),
    "--per-step": (*NO_NUMBER, "0", "-1", "1e300"),
    "--step": (*WORDS, "nosuch"),
    "--rate": (*WORDS, "nosuch"),
    "--loss": (*WORDS, "nosuch"),
}  # fmt: skip
"""option -> values that are none of it. Every command that has the option gets all of them."""
ANSWERS = {("--vary", "x=")}
"""Values that are none to one command and fine to another."""
BESIDE = {"--start-from": ("--at", "4"), "--at": ("--start-from", "run.pt")}
"""option -> what it is refused without, so that the value is what is wrong."""


def rows() -> list[Row]:
    """The whole table of the command line's options."""
    return [*_values(), *_missing(), *_arguments(), *_pairs(), *_places()]


@cache
def commands() -> dict[str, dict[str, Any]]:
    """command -> its options by name."""
    return {name: {p.opts[0]: p for p in command.params} for name, command in parsers().items()}


@cache
def parsers() -> dict[str, Any]:
    """command -> what parses it; those of a group by both words."""
    group: Any = main.commands()
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {word}": each for word, each in inner.items()}
    return found


def valued(command: str) -> list[str]:
    """Options of a command that take a value."""
    return [name for name, p in commands()[command].items() if name.startswith("--") and not getattr(p, "is_flag", False)]


def base(command: str, without: str = "") -> tuple[str, ...]:
    """A right command line, without one of its options."""
    given = list(BASE[command])
    if without in given:
        del given[given.index(without) : given.index(without) + 2]
    return (*command.split(), *given)


def named(option: str, value: str) -> tuple[str, ...]:
    """What a sentence about it may hold: the option's words, or the value as it is shown."""
    plain = option.strip("-")
    if option == "--values":
        return ("momentum", "values")
    if option == "--policies":
        return ("policy", "policies", "schedule")
    if option == "--families":
        return ("family", "families")
    if option in ("--set", "--to", "--vary"):
        return (option, *re.findall(r"[a-z_]+(?==)", value))
    return tuple(
        filter(None, (plain, plain.replace("-", "_"), plain.replace("-", " "), plain.rstrip("s"), repr(value)[1:-1][:40]))
    )


def short(value: str) -> str:
    """A value in the name of a row."""
    return ascii(value) if len(value) <= 24 else f"{value[:8]!a}.. of {len(value)}"


def _values() -> Iterator[Row]:
    for command in BASE:
        for option in valued(command):
            for value in KINDS.get(option, ()):
                if (option, value) not in ANSWERS:
                    arguments = (*base(command, option), *BESIDE.get(option, ()), option, value)
                    yield Row(f"{command} {option} {short(value)}", arguments, named(option, value))


def _missing() -> Iterator[Row]:
    for command in BASE:
        for option in valued(command):
            yield Row(f"{command} {option} without its value", (*base(command, option), option), (option,))
        yield Row(f"{command} with an option that is not there", (*base(command), "--nosuch"), ("--nosuch",))
        yield Row(f"{command} with an argument too many", (*base(command), "surplus", "more"), ("surplus", "more"))
        yield Row(f"{command} with a value for a flag", (*base(command), "--quiet=3"), ("--quiet",))


def _arguments() -> Iterator[Row]:
    """What is to be measured: nothing, a file that is not there, a name that is no problem."""
    odd = (
        *ODD[:-1],
        "nosuch.py:p",
        "quadratics",
        "user.py",
        ":p",
        "x.py:",
        f"{LONG}.py:p",
        "a\x1b[2J.py:p",
        "/dev/null:p",
        "..py:p",
    )
    for command in (name for name, given in BASE.items() if given and given[0] in ("quadratic", "digits-mlp")):
        options = base(command)[2:]
        for value in odd:
            shown = (repr(value)[1:-1].removesuffix(":p").removesuffix(":")[:40] or "PROBLEM", "PROBLEM")
            yield Row(f"{command} {short(value)}", (command, value, *options), shown)
        yield Row(f"{command} nothing", (command, *options), ("problem", "family"))
    for value in ("", "wsd:", "cosin", "wsd@0.5", "wsd>linear", "wsd:decay=2", "constant@9>linear"):
        yield Row(f"schedule show {short(value)}", ("schedule", "show", value, "--steps", "8"), ("schedule", "Then"))
    for value in odd:
        yield Row(f"study {short(value)}", ("study", value, "--out", "record"), ("study is",))
    for value in ODD:
        yield Row(f"command {short(value)}", (value, "quadratic"), ("command", "option", repr(value)[1:-1][:40]))


def _pairs() -> Iterator[Row]:
    """Options that contradict each other."""
    for command in MEASURING:
        yield Row(f"{command} with an address of nothing", (*base(command), "--ray-address", "host:1"), ("--on ray",))
        yield Row(f"{command} with a port in words", (*base(command), "--on", "ray", "--ray-address", "host:x"), ("host:x",))
        yield Row(f"{command} on Ray's CPU", (*base(command), "--on", "ray", "--device", "cuda:0"), ("cuda:0",))
    for command in MEASURING:
        own = base(command, "--store")
        for name, given in {
            "before": ("--json", "a.db", "--store", "a.db"),
            "behind": ("--store", "sqlite:///./a.db", "--json", "a.db"),
        }.items():
            yield Row(f"{command} an answer into the store, {name}", (*own, *given), ("--json a.db is the store",))
    for command in ("find", "doctor", "probe", "predict", "scale"):
        options_of_it = base(command)[2:]
        asked = (command, "--json", "user.py", "user.py:p", *options_of_it)
        yield Row(
            f"{command} an answer into the problem", asked, ("--json user.py is the problem",), text("user.py", "p = 1")
        )
    yield Row("probe a page of readings", (*base("probe"), "--report", "page"), ("--report draws what --field follows",))
    yield Row("probe a field in double precision", (*base("probe"), "--field", "--float64"), ("drop --float64",))
    yield Row("probe a field of one example", (*base("probe"), "--field", "--samples", "1"), ("examples is 1",))
    yield Row("scale an axis twice", (*base("scale"), "--vary", "depth=3"), ("depth is given twice",))
    yield Row("scale what is set", (*base("scale"), "--set", "depth=3"), ("depth",))
    yield Row("scale by nothing", ("scale", "digits-mlp", "--to", "depth=4"), ("depth",))
    yield Row("scale two sizes", ("scale", "digits-mlp", "--to", "depth=4", "--depth", "1,2"), ("got 2 sizes",))
    yield Row("scale a name that is no size", ("scale", "digits-mlp", "--to", "n=9", "--vary", "n=1,2,3"), ("n",))
    yield Row("scale without a target", ("scale", "digits-mlp", "--depth", "1,2,3"), ("--to",))
    yield Row("scale a problem", ("scale", "quadratic", "--to", "depth=4", "--depth", "1,2,3"), ("depth",))
    yield Row("study without a folder", ("study", "jelassi2023depth"), ("--out",))
    yield Row("a folder without a study", ("study", "--out", "record"), ("--out",))
    yield Row("data for no study", ("study", "--data", "."), ("--data",))
    yield Row("data a study does not use", ("study", "iyer2023maximal", "--out", "o", "--data", "."), ("--data", "."))


SPACES = {
    "nothing in it": "",
    "no TOML": "lr = [",
    "no text": b"\xff\xfe\x00",
    "a number": "lr = 3",
    "no high": "[lr]\nlow = 1e-3",
    "reversed": "[lr]\nlow = 1.0\nhigh = 0.1",
    "one value": "[lr]\nlow = 0.1\nhigh = 0.1",
    "a rate of zero": "[lr]\nlow = 0.0\nhigh = 0.1",
    "a rate below zero": "[lr]\nlow = -0.1\nhigh = 0.1",
    "an endless rate": "[lr]\nlow = 0.1\nhigh = inf",
    "a rate that is none": "[lr]\nlow = nan\nhigh = 1.0",
    "a rate in words": '[lr]\nlow = "a"\nhigh = 1.0',
    "a rate that is true": "[lr]\nlow = true\nhigh = 1.0",
    "a huge integer": f"[momentum]\nlow = 0\nhigh = {10**400}",
    "a word for log": '[lr]\nlow = 0.1\nhigh = 1.0\nlog = "yes"',
    "another word": "[lr]\nlow = 0.1\nhigh = 1.0\nstep = 2",
    "no choices": "[lr]\nchoices = []",
    "choices and a range": "[lr]\nlow = 0.1\nhigh = 1.0\nchoices = [1.0]",
    "a choice twice": "[lr]\nchoices = [0.1, 0.1]",
    "a choice that is a list": "[momentum]\nchoices = [[1]]",
    "a schedule that is none": '[schedule]\nchoices = ["cosin"]',
    "a setting that is not there": "[nosuch]\nlow = 0.1\nhigh = 1.0",
    "a table twice": "[lr]\nlow = 0.1\nhigh = 1.0\n[lr]\nlow = 0.1",
    "markup": '[schedule]\nchoices = ["[/x]"]',
    "batches of none": "[batch_size]\nlow = 0\nhigh = 8",
    "half a sample": "[batch_size]\nlow = 1.5\nhigh = 8.5",
}


def _places() -> Iterator[Row]:
    """Files and folders that are something else."""
    for name, content in SPACES.items():
        yield Row(
            f"search a space: {name}",
            (*base("search"), "--space", "s.toml"),
            ("space", "[", "schedule", "batch_size"),
            text("s.toml", content),
        )
    for command in BASE:
        if command not in ("problems",) and "--store" in valued(command):
            yield Row(
                f"{command} a store that is text",
                (*base(command, "--store"), "--store", "s"),
                ("s is", "s "),
                text("s", "no" * 999),
            )
            yield Row(
                f"{command} a store that is a pipe",
                (*base(command, "--store"), "--store", "s"),
                ("s is", "store"),
                pipe("s"),
            )
        yield Row(f"{command} --json to a pipe", (*base(command), "--json", "p"), ("--json p",), pipe("p"))
        if "--report" in valued(command):
            yield Row(
                f"{command} a report that is a file", (*base(command), "--report", "r"), ("--report r",), text("r", "x")
            )
    for content in (
        b"\0\0\0",
        "x = (",
        "# \xff".encode("latin-1"),
        "import nosuch_module",
        "1 / 0",
        "raise SystemExit(3)",
        "def p(: pass",
    ):
        yield Row(f"a file of {content[:12]!r}", ("find", "user.py:p"), ("user.py",), text("user.py", content))
    yield Row("a file that is a pipe", ("find", "user.py:p"), ("user.py",), pipe("user.py"))
    yield Row("a file that is a folder", ("find", "user.py:p"), ("user.py",), _folder("user.py"))


def _folder(name: str) -> Callable[[], None]:
    return lambda: os.mkdir(name)
