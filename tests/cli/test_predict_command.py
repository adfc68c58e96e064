"""`etastar predict`: the ladder for a reader and for a program, on any problem, in seconds; exit codes and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli_harness import Cli, told

Script = Callable[..., Path]


def by_name(content: dict) -> dict[str, dict]:
    return {r["name"]: r for r in content["rungs"]}


def test_every_rung_of_a_plain_network(cli: Cli) -> None:
    ran = cli("predict", "digits-deep-mlp", "--samples", "256", "--json", "-")
    assert ran.code == 0
    content = told(ran.out)
    rungs = by_name(content)
    assert [name for name, rung in rungs.items() if rung["lr"]["value"] is None] == ["Adam one-shot", "Newton step"]
    assert content["widths"] == [64, *[64] * 12, 10]
    kernel, measured = rungs["kernel"], rungs["lambda1"]
    assert kernel["quantity"]["low"] <= measured["quantity"]["value"] <= kernel["quantity"]["high"]
    assert kernel["lr"]["value"] == pytest.approx(1 / kernel["quantity"]["value"])
    assert content["lr"]["value"] <= min(rungs[name]["lr"]["value"] for name in ("closed form", "kernel", "lambda1"))
    assert content["eta_star"]["low"] > content["lr"]["value"]
    assert rungs["Newton step"]["parts"]["decrease"] > rungs["Newton step"]["parts"]["decrease_of_gradient_descent"]
    assert content["threshold"]["below_descends"] and not content["threshold"]["above_descends"]
    assert content["cost"]["seconds"] > 0
    assert not Path(".etastar").exists(), "nothing is trained, nothing is stored"


def test_a_convolution_has_no_closed_form_and_says_why(cli: Cli) -> None:
    content = told(cli("predict", "digits-cnn", "--samples", "128", "--json", "-").out)
    rungs = by_name(content)
    for name in ("closed form", "kernel"):
        assert rungs[name]["lr"]["status"] == "outside-the-law"
        assert "convolution" in rungs[name]["lr"]["reason"]
    assert content["widths"] is None and content["lr"]["value"] is not None


def test_the_table(cli: Cli) -> None:
    ran = cli("predict", "digits-mlp", "--samples", "128", "--optimizer", "adam:lr=1e-3", "--seed", "3")
    assert (ran.code, ran.err) == (0, "")
    for text in (
        "digits-mlp: start from ",
        "eta* is expected in ",
        "Adam one-shot",
        "a safe start as far as this rung sees; the lowest is used",
        "yours",
        "no closed form, kernel: for SGD",
        "Newton step: one Newton step lowers",
        "seed 3",
        "nothing was trained",
    ):
        assert text in ran.out  # fmt: skip


def test_the_same_seed_gives_the_same_numbers(cli: Cli) -> None:
    first, second = (told(cli("predict", "digits-mlp", "--samples", "64", "--json", "-").out) for _ in range(2))
    assert first["rungs"] == second["rungs"] and first["lr"] == second["lr"]


def test_a_quadratic_starts_at_one_over_its_curvature(cli: Cli) -> None:
    content = told(cli("predict", "quadratic", "--set", "curvatures=[4.0,1.0]", "--json", "-").out)
    rungs = by_name(content)
    assert content["lr"]["value"] == pytest.approx(1 / 4)
    assert rungs["Cauchy step"]["lr"]["value"] == pytest.approx((16 + 1) / (64 + 1), rel=1e-6)
    assert rungs["curvature along update"]["lr"]["value"] == pytest.approx(2 * (16 + 1) / (64 + 1), rel=1e-6)
    assert rungs["Newton step"]["parts"]["loss_after"] < 1e-2 * rungs["Cauchy step"]["parts"]["loss_after"]
    assert (content["threshold"]["below_descends"], content["threshold"]["above_descends"]) == (True, False)


def test_a_loop_of_ones_own_has_no_answer_and_says_why(cli: Cli, script: Script) -> None:
    script("p = etastar.Problem.from_loop(lambda lr, seed, report: None, steps=5, lr=0.1)")
    ran = cli("predict", "user.py:p", "--json", "answer.json")
    assert ran.code == 1
    assert "a training loop of your own" in ran.out
    content = told(Path("answer.json").read_text())
    assert content["lr"]["status"] == "not-measured" and content["yours"]["lr"] == 0.1
    assert len({rung["lr"]["reason"] for rung in content["rungs"]}) == 1


def test_a_flat_loss_has_no_answer(cli: Cli, script: Script) -> None:
    script("p = flat()")
    content = told(cli("predict", "user.py:p", "--json", "-").out)
    assert content["lr"]["value"] is None and content["lr"]["reason"]
    assert content["threshold"] is None


@pytest.mark.parametrize(
    ("inputs", "flag"), [("X + 3", "inputs-not-centred"), ("1000 * X", "inputs-badly-scaled"), ("X", None)]
)
def test_inputs_are_judged(cli: Cli, script: Script, inputs: str, flag: str | None) -> None:
    script(f"p = problem(train=({inputs}, Y))")
    flags = told(cli("predict", "user.py:p", "--json", "-").out)["flags"]
    assert flags == ([flag] if flag else [])


def test_the_page_holds_the_ladder(cli: Cli, script: Script) -> None:
    script("p = problem()\nq = etastar.Problem.from_loop(lambda lr, seed, report: None, steps=5, lr=0.1)")
    ran = cli("predict", "user.py:p", "--report", "out")
    assert ran.code == 0 and "report: out/index.html" in ran.out
    page = Path("out/index.html").read_text()
    for text in ("Start from", "eta*, expected", "closed form", "when it holds", "Nothing was trained"):
        assert text in page
    assert Path("out/ladder.png").stat().st_size > 5000 and Path("out/ladder.svg").exists()
    assert cli("predict", "user.py:q", "--report", "none").code == 1
    assert "No answer: not-measured" in Path("none/index.html").read_text()


def test_quiet_prints_nothing(cli: Cli, script: Script) -> None:
    script("p = problem()")
    ran = cli("predict", "user.py:p", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


MISTAKES = {
    "samples": ("p = problem()", ["--samples", "0"], "samples is 0; expected an integer >= 1"),
    "device": ("p = problem()", ["--device", "abacus"], "device"),
    "data": ("p = problem(train=(spoiled(X, 0, float('inf')), Y))", [], "NaN or infinite"),
    "loss": ("p = problem(loss=lambda o, t: o.sum() * float('nan'))", [], "the loss at initialisation is nan"),
    "optimizer": ("p = problem()", ["--optimizer", "adamm"], "expected one of"),
    "json": ("p = problem()", ["--json", "no/such/folder/a.json"], "cannot be written"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(cli: Cli, script: Script, mistake: str) -> None:
    body, options, sentence = MISTAKES[mistake]
    script(body)
    ran = cli("predict", "user.py:p", *options)
    assert ran.code == 2
    assert sentence in ran.sentence
