"""`etastar probe`: the table a stranger can read, the JSON a program can, exit codes and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli_harness import Cli, told

Script = Callable[..., Path]


def by_name(content: dict) -> dict[str, dict]:
    return {r["name"]: r for r in content["readings"]}


def test_a_quadratic_gives_its_known_edge(cli: Cli) -> None:
    ran = cli("probe", "quadratic", "--set", "momentum=0.5,curvatures=[4.0,1.0]", "--json", "-")
    content = told(ran.out)
    assert ran.code == 0
    readings = by_name(content)
    assert readings["lambda1"]["estimate"]["value"] == pytest.approx(4.0)
    assert readings["lambda1"]["rate"] == pytest.approx(2 * 1.5 / 4)
    truth = 2 * (16 + 1) / (64 + 1)
    assert readings["eta_c"]["estimate"]["low"] <= truth <= readings["eta_c"]["estimate"]["high"]
    assert readings["lambda1, Gauss-Newton"]["estimate"]["value"] is None
    assert content["yours"]["verdict"] == "below-the-edge"
    assert content["yours"]["of_edge"] == pytest.approx(0.1 / 0.75)
    assert not Path(".etastar").exists(), "nothing is trained, nothing is stored"


@pytest.mark.parametrize(
    ("lr", "verdict"),
    [(0.4, "below-the-edge"), (0.51, "below-eta_c"), (0.6, "above-eta_c")],
    ids=["below", "between", "above"],
)
def test_the_rate_in_use_is_judged(cli: Cli, lr: float, verdict: str) -> None:
    content = told(cli("probe", "quadratic", "--set", f"curvatures=[4.0,1.0],lr={lr}", "--json", "-").out)
    assert content["yours"]["verdict"] == verdict
    assert content["yours"]["sentence"] in content["summary"]


def test_the_table(cli: Cli) -> None:
    ran = cli("probe", "digits-mlp", "--samples", "128", "--optimizer", "adam:lr=1e-3", "--seed", "3")
    assert (ran.code, ran.err) == (0, "")
    for word in (
        "digits-mlp: lambda1 = ",
        "eta_c",
        "error bound",
        "+- 1 %",
        " 128 ",
        "noise scale",
        "lambda_P",
        "Adam one-shot",
    ):
        assert word in ran.out
    assert "cross_entropy, mean over the samples" in ran.out
    assert "None of these is eta*" in ran.out
    assert "seed 3" in ran.out


def test_the_same_seed_gives_the_same_numbers(cli: Cli) -> None:
    contents = [told(cli("probe", "digits-mlp", "--samples", "64", "--json", "-").out) for _ in range(2)]
    assert contents[0]["readings"] == contents[1]["readings"]
    other = told(cli("probe", "digits-mlp", "--samples", "64", "--seed", "9", "--json", "-").out)
    assert other["readings"] != contents[0]["readings"]


def test_float64(cli: Cli) -> None:
    single, double = (
        told(cli("probe", "digits-mlp", "--samples", "64", *more, "--json", "-").out) for more in ((), ("--float64",))
    )
    assert (single["dtype"], double["dtype"]) == ("float32", "float64")
    values = [by_name(c)["lambda1"]["estimate"]["value"] for c in (single, double)]
    assert values[0] == pytest.approx(values[1], rel=1e-2) and values[0] != values[1]


def test_a_loop_of_ones_own_has_no_answer_and_says_why(cli: Cli, script: Script) -> None:
    script("p = etastar.Problem.from_loop(lambda lr, seed, report: None, steps=5, lr=0.1)")
    ran = cli("probe", "user.py:p", "--json", "answer.json")
    assert ran.code == 1
    assert "a training loop of your own" in ran.out
    assert told(Path("answer.json").read_text())["yours"] is None


def test_a_flat_loss_has_readings_without_values_or_zero_curvature(cli: Cli, script: Script) -> None:
    script("p = flat()")
    content = told(cli("probe", "user.py:p", "--json", "-").out)
    readings = by_name(content)
    assert readings["eta_c"]["estimate"]["status"] != "ok"
    assert readings["lambda1"]["estimate"]["value"] == 0
    assert content["yours"]["verdict"] == "unknown"


def test_a_field_is_told_and_written(cli: Cli, script: Script) -> None:
    script("p = problem()")
    ran = cli("probe", "user.py:p", "--field", "--samples", "12", "--json", "field.json")
    assert (ran.code, ran.err) == (0, "") and "12 examples, followed from step 200 on" in ran.out
    content = told(Path("field.json").read_text())
    assert [[m["step"] for m in own["moments"]] for own in content["rates"]] == [[0, 1, 3, 10, 30, 100, 200]] * 2
    assert content["summary"] in ran.out


def test_quiet_prints_nothing(cli: Cli, script: Script) -> None:
    script("p = problem()")
    ran = cli("probe", "user.py:p", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


MISTAKES = {
    "samples": ("p = problem()", ["--samples", "0"], "samples is 0; expected an integer >= 1"),
    "device": ("p = problem()", ["--device", "abacus"], "device"),
    "labels": ("p = problem(train=(X, Y + 2))", [], "the loss raised IndexError"),
    "data": ("p = problem(train=(spoiled(X, 0, float('inf')), Y))", [], "NaN or infinite"),
    "loss": ("p = problem(loss=lambda o, t: o.sum() * float('nan'))", [], "the loss at initialisation is nan"),
    "shape": ("p = problem(loss=lambda o, t: o)", [], "expected a real scalar"),
    "storage": ("p = problem(model=lambda: net)", [], "share storage"),
    "optimizer": ("p = problem()", ["--optimizer", "adamm"], "expected one of"),
    "json": ("p = problem()", ["--json", "no/such/folder/a.json"], "cannot be written"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(cli: Cli, script: Script, mistake: str) -> None:
    body, options, sentence = MISTAKES[mistake]
    script(body)
    ran = cli("probe", "user.py:p", *options)
    assert ran.code == 2
    assert sentence in ran.sentence
