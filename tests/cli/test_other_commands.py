"""`doctor`, `problems`, `runs`, `explain`, `--help`, `--version`; and how long the command line takes to start."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bad_inputs import options
from cli_harness import Cli
from etastar.core.codes import CODES
from processes import PATIENCE

Script = Callable[..., Path]

HELP = {
    "": ["find", "probe", "doctor", "problems", "runs", "learning rates"],
    "find": ["PROBLEM", "--set", "--steps", "--schedule", "--optimizer", "--threshold", "--effort", "--seed", "--workers",
             "--device", "--engine", "--max-seconds", "--store", "--report", "--json", "--quiet"],
    "probe": ["PROBLEM", "--set", "--optimizer", "--samples", "--seed", "--device", "--float64", "--json", "--quiet"],
    "doctor": ["PROBLEM", "--set", "--device", "--json"],
    "problems": ["--json"],
    "runs": ["--store", "--json"],
    "study": ["NAME", "--out", "--data", "--effort"],
}  # fmt: skip


@pytest.mark.parametrize("verb", HELP)
def test_help(cli: Cli, verb: str) -> None:
    ran = cli(*verb.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    for word in HELP[verb]:
        assert word.lower() in ran.out.lower()


def test_commands_that_measure_have_the_same_options() -> None:
    """One name, one help, one range everywhere; only a study has a seed and a device of its own."""
    shared = ("--workers", "--engine", "--on", "--ray-address", "--max-seconds", "--store", "--report", "--json", "--quiet")
    found = options.commands()
    told = {
        command: [(name, found[command][name].help, found[command][name].default) for name in shared]
        for command in options.MEASURING
    }
    assert len({repr(rows) for rows in told.values()}) == 1, told
    assert {command for command, names in found.items() if "--workers" in names} == set(options.MEASURING)
    assert {repr(found[command]["--device"].help) for command in options.MEASURING} == {"'auto, cpu, cuda or cuda:N.'"}


def test_no_line_of_the_list_of_commands_is_cut(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("--help").out.splitlines() + cli("schedule", "--help").out.splitlines()
    assert not [line for line in lines if line.startswith("  ") and line.endswith("...")]


def test_help_names_every_schedule_and_every_monitor() -> None:
    """Help is shown without torch, so it cannot read the registries; it is held to them here."""
    from etastar.policies.registry import SCHEDULES
    from etastar.probes.monitors.named import MONITORS

    found = options.commands()
    for option, names in (("--schedule", SCHEDULES), ("--monitor", MONITORS)):
        texts = {command: found[command][option].help for command in found if option in found[command]}
        told = {command: set(re.findall(r"[a-z0-9-]+", text)) for command, text in texts.items()}
        assert told and all(set(names) <= words for words in told.values()), texts


@pytest.mark.parametrize("command", options.parsers())
def test_help_ends_with_an_example_that_is_right(cli: Cli, command: str, tmp_path: Path) -> None:
    """It parses as it stands, beside the files that it names."""
    last = cli(*command.split(), "--help").out.strip().splitlines()[-1].strip()
    assert last.startswith(f"Example: etastar {command}")
    for name in ("mine.py", "run.csv"):
        Path(name).touch()
    words = shlex.split(last.removeprefix(f"Example: etastar {command}"))
    assert options.parsers()[command].make_context(command, words).params


def test_explain(cli: Cli) -> None:
    ran = cli("explain", "not-bracketed", "cannot tell")
    assert (ran.code, ran.err) == (0, "")
    assert "not-bracketed (flag): The best rate seen lies at the end" in ran.out and "cannot-tell (verdict)" in ran.out
    assert ran.out.count("next: ") == 2
    listed = cli("explain").out
    assert all(name in listed for table in CODES.values() for name in table)
    content = json.loads(cli("explain", "flat", "--json", "-").out)
    assert content["command"] == "explain" and [row["kind"] for row in content["codes"]] == ["flag", "status"]
    assert "expected not-bracketed, or another" in cli("explain", "notbracketed").sentence


def test_an_answer_names_the_codes_that_can_be_explained(cli: Cli, script: Script) -> None:
    """Once, below its flags: the line is a command that runs."""
    script("p = flat()")
    ran = cli("find", "user.py:p", "--effort", "glance")
    (line,) = [line for line in ran.out.splitlines() if "etastar explain" in line]
    asked = cli(*shlex.split(line.partition("etastar ")[2]))
    assert ran.code == 1 and asked.code == 0 and "(status)" in asked.out and "(flag)" in asked.out


def test_completion_can_be_installed() -> None:
    """In a real shell's words: what it runs to complete a command answers with the verbs."""
    asked = {"_ETASTAR_COMPLETE": "complete_bash", "COMP_WORDS": "etastar pre", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "etastar"]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.split() == ["predict"]


def test_set_may_be_given_several_times(cli: Cli) -> None:
    ran = cli("doctor", "digits-mlp", "--set", "depth=1", "--set", "width=3", "--json", "-")
    assert f"{(64 + 1) * 3 + (3 + 1) * 10} parameters" in ran.out
    assert "--set gives depth twice" in cli("doctor", "digits-mlp", "--set", "depth=1", "--set", "depth=2").sentence


@pytest.mark.parametrize("command", ["problems", "study", "explain flat"])
def test_a_list_of_words_waits_for_no_torch(command: str, tmp_path: Path) -> None:
    code = "import sys; from etastar.cli.main import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    words = [sys.executable, "-c", code, *command.split(), "--json", "a.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "a.json").read_text())["command"] == command.split()[0]


def test_version(cli: Cli) -> None:
    from etastar import __version__

    ran = cli("--version")
    assert (ran.code, ran.out.strip()) == (0, f"etastar {__version__}")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("find", "nosuch.py:p"), 2, "there is no file nosuch.py"),
        (("explain", "flat"), 0, "next:"),
        (("--help",), 0, "find"),
    ],
)
def test_the_command_line_starts_without_torch(words: tuple[str, ...], code: int, said: str) -> None:
    heavy = ("torch", "numpy", "scipy", "sklearn", "sqlalchemy", "pandas", "altair", "loky")
    program = f"""
import sys
from etastar.cli.main import main
sys.argv[1:] = {list(words)}
try:
    main()
except SystemExit as stop:
    print(stop.code, [m for m in {heavy} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip().endswith(f"{code} []") and said in done.stdout + done.stderr


def test_problems(cli: Cli) -> None:
    from etastar.problems import BUILTINS, builder

    ran = cli("problems", "--json", "-")
    content = json.loads(ran.out)
    assert (ran.code, content["command"]) == (0, "problems")
    assert [row["name"] for row in content["problems"]] == list(BUILTINS)
    assert all(row["what"] for row in content["problems"])
    assert all(callable(builder(row["name"])) for row in content["problems"])
    ran = cli("problems")
    assert all(name in ran.out for name in BUILTINS)


def test_runs(cli: Cli, script: Script) -> None:
    script("p = problem(train=(X, torch.arange(64) % 2), accuracy_threshold=1.0, name='my-own')")
    found = json.loads(cli("find", "user.py:p", "--effort", "quick", "--json", "-").out)
    ran = cli("runs", "--json", "-")
    assert ran.code == 0
    content = json.loads(ran.out)
    assert content["command"] == "runs"
    (row,) = content["problems"]
    assert (row["name"], row["optimizer"]) == ("my-own", "SGD")
    assert row["lanes"] == found["lr"]["n"] == row["trained"] + row["diverged"] + row["slow"] + row["dead"]
    assert row["gradient_steps"] == found["cost"]["gradient_steps"]
    rates = [point["lr"] for rung in found["best"]["rungs"] for point in rung["points"]]
    assert (row["lr_low"], row["lr_high"]) == pytest.approx((min(rates), max(rates)), rel=2e-3)


def test_runs_as_a_table_a_stranger_can_read(cli: Cli, script: Script) -> None:
    """No word is broken in pieces where there is no terminal, and its width, to speak of."""
    script("p = flat(name='my-own-problem')")
    cli("find", "user.py:p", "--effort", "glance")
    ran = cli("runs")
    assert ran.code == 0
    for word in ("problem", "optimizer", "diverged", "my-own-problem", "SGD"):
        assert word in ran.out


def test_runs_tells_problems_apart(cli: Cli, script: Script) -> None:
    """By the name that was typed, where the problem has none of its own."""
    script("p = flat()\nq = flat(steps=15, batch_size=8)")
    for name in ("user.py:p", "user.py:q"):
        cli("find", name, "--effort", "glance")
    rows = json.loads(cli("runs", "--json", "-").out)["problems"]
    assert {row["name"] for row in rows} == {"user.py:p", "user.py:q"}


def test_doctor(cli: Cli) -> None:
    ran = cli("doctor", "quadratic", "--json", "-")
    assert ran.code == 0
    content = json.loads(ran.out)
    assert (content["command"], content["problem"]) == ("doctor", "quadratic")
    levels = {f["topic"]: f["level"] for f in content["findings"]}
    assert set(levels.values()) <= {"ok", "note", "warn"}
    assert {"criterion", "loss at start", "optimizer", "data", "speed", "reproducible"} <= set(levels)
    assert all(f["sentence"] for f in content["findings"])
    assert not Path(".etastar").exists(), "the doctor measures and stores nothing"


SICK = {
    "inputs-badly-scaled": "problem(train=(1000 * X, Y))",
    "inputs-not-centred": "problem(train=(X + 3, Y))",
    "loss-starts-high": "problem(model=lambda: large(nn.Linear(4, 2)))",
    "not-reproducible": "problem(loss=lambda o, t: F.cross_entropy(o, t) * (1 + next(counter)))",
}


@pytest.mark.parametrize("flag", SICK)
def test_the_doctor_warns(cli: Cli, script: Script, flag: str) -> None:
    script(
        "import itertools\ncounter = itertools.count()\n\n\n"
        "def large(layer):\n    with torch.no_grad():\n        layer.weight.mul_(100)\n    return layer\n\n\n"
        f"p = {SICK[flag]}"
    )
    ran = cli("doctor", "user.py:p", "--json", "-")
    assert ran.code == 0
    levels = {f["topic"]: f["level"] for f in json.loads(ran.out)["findings"]}
    assert levels.get(flag) == "warn"


@pytest.mark.parametrize(("inputs", "flag"), [("X + 3", "inputs-not-centred"), ("1000 * X", "inputs-badly-scaled")])
def test_find_warns_of_inputs_too(cli: Cli, script: Script, inputs: str, flag: str) -> None:
    script(f"p = problem(train=({inputs}, Y))")
    ran = cli("find", "user.py:p", "--effort", "glance", "--json", "answer.json")
    assert ran.code in (0, 1)
    assert flag in json.loads(Path("answer.json").read_text())["flags"]
    assert f"{flag}: The inputs" in ran.out


def test_the_doctor_does_not_warn_of_a_healthy_problem(cli: Cli, script: Script) -> None:
    script("p = problem()")
    findings = json.loads(cli("doctor", "user.py:p", "--json", "-").out)["findings"]
    assert [f["topic"] for f in findings if f["level"] == "warn"] == []


def test_the_doctor_names_frozen_groups(cli: Cli, script: Script) -> None:
    script(
        "p = problem(optimizer=lambda m: torch.optim.SGD("
        "[{'params': [m.weight]}, {'params': [m.bias], 'lr': 0.0, 'name': 'head'}], lr=0.1))"
    )
    ran = cli("doctor", "user.py:p")
    assert ran.code == 0
    assert "frozen" in ran.out
    assert "head" in ran.out


def test_the_doctor_refuses_a_bad_problem(cli: Cli, script: Script) -> None:
    script("p = problem(model=lambda: net)")
    ran = cli("doctor", "user.py:p")
    assert ran.code == 2
    assert "share storage" in ran.sentence


def test_psi_says_its_price_first_and_where_it_is(cli: Cli) -> None:
    """In a log that is no terminal, too: half an hour of silence looks like a hang."""
    options = "--families cancer-linear,line --steps 10 --seeds 1 --fresh 1 --store :memory:"
    ran = cli("psi", "fit", *options.split())
    first, *rest = ran.err.splitlines()
    assert re.fullmatch(r"plan: at most [\d,]+ lanes of small networks, [\d,]+ gradient steps, about .+ on \d+ cores", first)
    assert rest[0] == "tuning linear decay on 4 tasks"
    lanes = re.search(r"; ([\d,]+) lanes; engine ", ran.out)
    assert lanes and 0 < int(lanes[1].replace(",", "")) <= int(first.split()[3].replace(",", ""))
