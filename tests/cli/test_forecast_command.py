"""`etastar forecast`: tables a stranger can read, JSON a program can, a page, exit codes and mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cli_harness import Cli, told
from loss_curves import SCHEDULES, STEPS, fading, warmed

pytestmark = pytest.mark.usefixtures("few_refits")
LOGS = Path(__file__).parents[1] / "logs"


@pytest.fixture
def logs(tmp_path: Path) -> dict[str, str]:
    """name -> file, of runs whose law is known."""
    found = {}
    for seed, name in enumerate(("constant", "cosine", "wsd")):
        rates, at = warmed(SCHEDULES[name]), np.arange(100, STEPS + 1, 100)
        losses = fading(rates)[at - 1] * (1 + 5e-4 * np.random.default_rng(seed).standard_normal(len(at)))
        rows = "\n".join(f"{n},{rates[n - 1]},{x}" for n, x in zip(at, losses, strict=True))
        (tmp_path / f"{name}.csv").write_text(f"step,lr,loss\n{rows}\n")
        found[name] = str(tmp_path / f"{name}.csv")
    return found


def test_questions_are_answered_on_the_terminal_and_on_a_page(cli: Cli, logs: dict[str, str], tmp_path: Path) -> None:
    ran = cli("forecast", *logs.values(), "--schedule", "linear", "--steps", "20000", "--report", str(tmp_path / "out"))
    assert ran.code == 0
    for words in (
        "constant.csv: linear at 0.001 over 20,000 steps: loss ",
        "this run under its own plan",
        "a cooldown started now",
        "the rest of this run, best first",
        "wsd.csv: steps from 'step', rate from 'lr', training loss from 'loss', no evaluation loss",
        "law: fading noise, off by 0.0",
        "losses of 3 runs; nothing was trained",
    ):
        assert words in ran.out
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Which loss to expect?" in page and (tmp_path / "out" / "losses.svg").exists()


def test_json_alone_is_on_standard_output(cli: Cli, logs: dict[str, str]) -> None:
    content = told(cli("forecast", logs["constant"], logs["wsd"], "--schedule", "linear", "--json", "-").out)
    answers = {a["question"]: a for a in content["answers"]}
    true = fading(warmed(lambda x: 1 - x))[-1]
    assert answers["schedule"]["end"]["low"] < true + 0.05 and content["ok"]
    assert answers["cooldown-now"]["points"][-1]["step"] == answers["cooldown-now"]["steps"] == STEPS + STEPS // 10


def test_a_check_prints_each_law_and_exits_with_0(cli: Cli, logs: dict[str, str]) -> None:
    ran = cli("forecast", logs["constant"], logs["cosine"], "--check", logs["wsd"], "--json", "-")
    content = told(ran.out)
    assert ran.code == 0 and not content["answers"]
    assert [c["law"] for c in content["checks"]] == [
        "fading noise", "blind power law", "same gain", "momentum law", "multi-power law",
    ]  # fmt: skip
    table = cli("forecast", logs["constant"], "--cut", "0.5").out
    assert "constant.csv: fading noise and blind power law is off by 0.00" in table and "in the interval" in table


@pytest.mark.parametrize("file", sorted(p.name for p in LOGS.iterdir()))
def test_each_format_is_read_and_one_constant_run_is_no_answer(cli: Cli, file: str) -> None:
    ran = cli("forecast", str(LOGS / file), "--json", "-")
    content = told(ran.out)
    assert ran.code == 1 and not content["ok"] and content["logs"][0]["peak"] == pytest.approx(1e-3)
    assert "measure one branch, a cooldown over a tenth of the steps" in content["answers"][0]["end"]["reason"]
    assert cli("forecast", str(LOGS / file), "--steps", "2400", "--quiet").code == 0, "going on is answered"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Missing argument 'LOG...'"),
        (("nosuch.csv",), "the log 'nosuch.csv' cannot be read: No such file or directory"),
        (("{log}", "{log}"), "is given twice; give each once"),
        (("{log}", "--json", "{log}"), "is a log, which it would replace; pass another file"),
        (("{log}", "--ran", "cosine"), "got ran alone; expected ran, lr and horizon together"),
        (("{log}", "--loss", "accuracy"), "the log has no column 'accuracy' for the loss; it has step, lr, loss"),
        (("{log}", "--cut", "2"), "--cut is 2.0; expected a share of the log in (0, 1)"),
    ],
)
def test_a_mistake_is_one_sentence(cli: Cli, logs: dict[str, str], options: tuple[str, ...], sentence: str) -> None:
    ran = cli("forecast", *(option.format(log=logs["constant"]) for option in options))
    assert ran.code == 2 and sentence in ran.err and ran.err.strip().count("\n") == 0
    assert Path(logs["constant"]).read_text().startswith("step,lr,loss"), "nothing lost"


AT = np.arange(100, 4001, 100)
GOOD = {"step": AT, "lr": np.full(40, 1e-3), "loss": 2 + (AT / 1000) ** -0.5}
BAD = {
    "no rate": ({"lr": None}, "the log has no learning rate; name its column"),
    "no number": ({"loss": np.where(AT == 2000, np.inf, GOOD["loss"])}, "has a loss of inf at step 2000"),
    "nothing but NaN": ({"loss": np.full(40, np.nan)}, "no losses|has 0 losses"),
    "descending": ({"step": AT[::-1]}, "the steps fall from 4000 to 100; sort the rows by step"),
    "two runs": ({"step": np.repeat(AT[:20], 2), "loss": np.tile([3.0, 4.0], 20)}, "two runs mixed"),
    "percent": ({"loss": [f"{x:.1f}%" for x in GOOD["loss"]]}, "which is no number; divide by 100"),
    "not positive": ({"loss": GOOD["loss"] - 3}, "laws need losses > 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_log_that_cannot_be_forecast_is_one_sentence(cli: Cli, tmp_path: Path, case: str) -> None:
    changes, sentence = BAD[case]
    table = {name: column for name, column in (GOOD | changes).items() if column is not None}
    rows = "\n".join(",".join(map(str, row)) for row in zip(*table.values(), strict=True))
    text = ",".join(table) + f"\n{rows}\n"
    (tmp_path / "bad.csv").write_text(text)
    ran = cli("forecast", str(tmp_path / "bad.csv"))
    assert ran.code == 2 and re.search(sentence, ran.err) and ran.err.strip().count("\n") == 0
    assert (tmp_path / "bad.csv").read_text() == text, "nothing lost"


def test_three_points_and_a_plan_too_short_are_one_sentence(cli: Cli, tmp_path: Path) -> None:
    for rows, options, sentence in (
        (3, (), "has 3 losses from step 0 on; a curve needs at least 4"),
        (40, ("--ran", "cosine", "--lr", "1e-3", "--horizon", "500"), "goes to step 4000 and the schedule that ran to 500"),
        (
            40,
            ("--ran", "cosine", "--lr", "1e-3", "--horizon", "5000", "--steps", "9000"),
            "the schedule that ran ends at 5000",
        ),
    ):
        lines = "\n".join(f"{n},{x}" for n, x in zip(AT[:rows], GOOD["loss"], strict=False))
        (tmp_path / "log.csv").write_text(f"step,loss\n{lines}\n")
        if rows == 3:
            options = ("--ran", "cosine", "--lr", "1e-3", "--horizon", "500")
        ran = cli("forecast", str(tmp_path / "log.csv"), *options)
        assert ran.code == 2 and sentence in ran.err and ran.err.strip().count("\n") == 0


def test_another_run_of_the_same_name_is_checked_as_another(cli: Cli, logs: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "constant.csv"
    other.write_text(Path(logs["wsd"]).read_text())
    content = told(cli("forecast", logs["constant"], logs["cosine"], "--check", str(other), "--json", "-").out)
    assert [log["name"] for log in content["logs"]] == ["constant.csv", "cosine.csv", "constant.csv (checked)"]
