"""`etastar surface`, `sensitivity` and `momentum`: JSON contracts, tables, exit codes, reruns from the store, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_harness import Cli, Ran, run_here, timeless, told
from etastar.problems.quadratic import loss_curve

Script = Callable[..., Path]
SMALL = ("quadratic", "--set", "steps=20", "--engine", "loop", "--store", ":memory:")
SURFACE = ("surface", *SMALL, "--seeds", "1", "--schedules", "constant,wsd:decay=0.5,curve=sqrt", "--horizons", "10,20")


def answer(ran: Ran) -> dict[str, Any]:
    return told(ran.out)


@pytest.fixture(scope="module")
def quadratic() -> Ran:
    return run_here(*SURFACE, "--json", "-")


def test_a_surface_has_every_schedule_over_every_horizon(quadratic: Ran) -> None:
    content = answer(quadratic)
    assert quadratic.code == 0, quadratic.err
    rows = [(b["schedule"], b["horizon"]) for b in content["rows"]]
    assert rows == [(s, h) for s in ("constant", "wsd:decay=0.5,curve=sqrt") for h in (10, 20)]
    assert content["lr"]["status"] == "ok" and content["chosen"]["horizon"] == 20
    keys = [(c["time"] if c["time"] is not None else math.inf, c["loss"], -c["reliability"]) for c in content["front"]]
    assert keys and all(not (a != b and all(x <= y for x, y in zip(a, b, strict=True))) for a in keys for b in keys)


def test_its_losses_are_the_exact_ones(quadratic: Ran) -> None:
    for cell in answer(quadratic)["cells"]:
        if cell["schedule"] == "constant" and cell["loss"] is not None:
            losses = loss_curve(cell["lr"], cell["horizon"])
            assert cell["loss"] == pytest.approx(losses[-10:].mean(), rel=1e-9)


def test_the_same_again_says_the_same_and_what_is_printed_beside_it(cli: Cli, quadratic: Ran) -> None:
    ran = cli(*SURFACE, "--json", "answer.json")
    contents = [timeless(told(text)) for text in (quadratic.out, Path("answer.json").read_text())]
    assert contents[0] == contents[1]
    assert "plan: at most " in ran.err and ran.out.startswith("quadratic: use about ")
    for words in ("no cell beats these", "best rate ~ steps^-gamma", "cost: "):
        assert words in ran.out


def test_a_rerun_trains_nothing_and_more_horizons_only_what_is_new(cli: Cli) -> None:
    command = ("surface", "quadratic", "--set", "steps=20", "--engine", "loop", "--seeds", "1", "--schedules", "constant")
    stopped = cli(*command, "--horizons", "10,20", "--max-seconds", "0.001", "--json", "-")
    assert stopped.code == 1 and answer(stopped)["lr"]["status"] == "not-measured"
    assert "time-limit" in answer(stopped)["flags"]
    first, again, more = (answer(cli(*command, "--horizons", h, "--json", "-")) for h in ("10,20", "10,20", "5,10,20"))
    assert first["cost"]["new_gradient_steps"] > 0 == again["cost"]["new_gradient_steps"]
    assert first["cells"] == again["cells"] and first["lr"] == again["lr"]
    assert more["cost"]["new_gradient_steps"] == more["cost"]["gradient_steps"] - first["cost"]["gradient_steps"] > 0


def test_the_target_changes_the_times_and_trains_nothing(cli: Cli) -> None:
    command = ("surface", "quadratic", "--set", "steps=20", "--engine", "loop", "--seeds", "1", "--schedules", "constant")
    for target, expected in (("0.5", True), ("1e-300", False)):
        content = answer(cli(*command, "--horizons", "20", "--target", target, "--json", "-"))
        assert content["target_loss"] == float(target)
        assert any(c["time"] is not None for c in content["cells"]) == expected
    assert content["cost"]["new_gradient_steps"] == 0


def test_an_edge_is_no_answer(cli: Cli, script: Script) -> None:
    """The larger the rate the better: past the limit the range ends."""
    body = """
class P(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.zeros(()))

p = problem(model=P, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-3), loss=None,
            loss_fn=lambda m, b: torch.exp(-m.p), train=torch.zeros(8, 1), batch_size=8, loss_threshold=0.5, steps=12)
"""
    script(body)
    command = ("surface", "user.py:p", "--store", ":memory:", "--engine", "loop", "--seeds", "1", "--schedules", "constant")
    content = answer(cli(*command, "--horizons", "12", "--json", "-"))
    assert content["lr"]["status"] == "edge-of-range" and content["lr"]["low"] == pytest.approx(10.0)
    assert {"range-extended", "rows-at-the-edge"} <= set(content["flags"])


def test_sensitivity_is_the_classic_grid(cli: Cli) -> None:
    ran = cli("sensitivity", *SMALL, "--set", "lr=0.3", "--seeds", "1", "--json", "-", "--report", "out")
    content = answer(ran)
    assert [c["lr"] for c in content["cells"]] == pytest.approx([10.0**k for k in range(-6, 1)])
    assert ran.code == 1 and content["lr"]["status"] == "edge-of-range" and content["lr"]["low"] == 1.0
    assert Path("out/index.html").stat().st_size > 100_000
    half = answer(cli("sensitivity", *SMALL, "--seeds", "1", "--half-decades", "--json", "-"))
    assert len(half["cells"]) == 13


def test_momentum_finds_a_rate_for_every_value(cli: Cli) -> None:
    content = answer(cli("momentum", *SMALL, "--seeds", "1", "--values", "0,0.5", "--json", "-", "--report", "out"))
    assert [r["value"] for r in content["rows"]] == [0.0, 0.5] and content["setting"] == "momentum"
    for row in content["rows"]:
        for cell in row["cells"]:
            if cell["loss"] is not None:
                losses = loss_curve(cell["lr"], 20, momentum=row["value"])
                assert cell["loss"] == pytest.approx(losses[-10:].mean(), rel=1e-9)
    assert Path("out/index.html").stat().st_size > 100_000
    adam = cli("momentum", *SMALL, "--optimizer", "adam:lr=0.01", "--seeds", "1", "--values", "0.9", "--json", "-")
    assert answer(adam)["setting"] == "beta1" and answer(adam)["rows"][0]["effective_lr"] is None


def test_a_report_has_its_four_charts(cli: Cli) -> None:
    assert cli(*SURFACE, "--report", "out", "--quiet").out == ""
    assert {p.stem for p in Path("out").glob("*.svg")} == {"loss", "reliability", "time", "front"}
    page = Path("out/index.html").read_text()
    for words in ("Accuracy: which rate ends best?", "Reliability", "Time: which rates get there first?", "Best rates"):
        assert words in page


@pytest.mark.slow
def test_a_surface_of_a_network(cli: Cli) -> None:
    command = ("surface", "digits-mlp", "--steps", "100", "--schedules", "constant,linear", "--horizons", "50,100")
    ran = cli(*command, "--json", "-")
    content = answer(ran)
    assert ran.code == 0 and 0.01 < content["lr"]["value"] < 0.5 and content["loss_name"] == "validation loss"
    assert answer(cli(*command, "--json", "-"))["cost"]["new_gradient_steps"] == 0


BAD = {
    "an unknown schedule": (["surface", "--schedules", "constant,cosin"], ["schedule is 'cosin'", "warmup-cosine"]),
    "no schedule": (["surface", "--schedules", ","], ["no schedule was given", "--schedules"]),
    "an unknown setting of one": (["surface", "--schedules", "wsd:tail=3"], ["expected settings of warmup"]),
    "a horizon of zero": (["surface", "--horizons", "10,0"], ["a horizon is 0", "steps >= 1", "--horizons"]),
    "a negative horizon": (["surface", "--horizons", "-5"], ["a horizon is -5", "--horizons"]),
    "a horizon that is no number": (["surface", "--horizons", "10,long"], ["'10,long'", "whole numbers"]),
    "no horizon": (["surface", "--horizons", ","], ["no horizon was given"]),
    "reversed rates": (["surface", "--rates", "1:0.01:0.5"], ["1:0.01:0.5", "lowest < highest", "--rates"]),
    "negative rates": (["surface", "--rates", "-1:1:0.5"], ["-1:1:0.5", "0 < lowest"]),
    "rates without a step": (["surface", "--rates", "0.01:1"], ["'0.01:1'", "LOW:HIGH:STEP"]),
    "a step of zero": (["surface", "--rates", "0.01:1:0"], ["step of 0.05 decades or more"]),
    "a step beyond the range": (["surface", "--rates", "0.01:0.02:5"], ["are 1; expected 2 to 100"]),
    "too many rates": (["surface", "--rates", "1e-9:1e9:0.05"], ["are 361; expected 2 to 100"]),
    "no seeds": (["surface", "--seeds", "0"], ["--seeds is 0", ">= 1"]),
    "a target that is NaN": (["surface", "--target", "nan"], ["--target is nan", "finite"]),
    "no seeds for a sensitivity": (["sensitivity", "--seeds", "0"], ["--seeds is 0"]),
    "no seeds for momenta": (["momentum", "--seeds", "-1"], ["--seeds is -1"]),
    "a momentum of one": (["momentum", "--values", "0,1"], ["a momentum is 1", "[0, 1)"]),
    "a momentum that is no number": (["momentum", "--values", "much"], ["'much'", "numbers"]),
    "no momentum": (["momentum", "--values", ","], ["no momentum was given"]),
    "an optimizer without momentum": (["momentum", "--optimizer", "adagrad"], ["Adagrad has neither momentum nor betas"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(cli: Cli, arguments: list[str], fragments: list[str]) -> None:
    verb, *rest = arguments
    ran = cli(verb, "quadratic", "--set", "steps=20", "--max-seconds", "60", *rest)
    assert ran.code == 2, ran.err
    for fragment in fragments:
        assert fragment in ran.sentence
    assert ran.out == "" and not Path(".etastar").exists()


LOOP = "def train(lr, seed, report):\n    w = 1.0\n    while report(loss=w * w): w -= lr * 2 * w\n"
REFUSED = {
    "schedules": (["surface", "--schedules", "constant"], ["schedules were given for a training loop of your own"]),
    "horizons": (["surface", "--horizons", "10"], ["horizons were given for a training loop of your own"]),
    "momentum": (["momentum"], ["training loop of your own", "change the loop itself"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_users_own_loop_cannot_have(cli: Cli, script: Script, arguments: list[str], fragments: list[str]) -> None:
    script(LOOP + "p = etastar.Problem.from_loop(train, steps=20, lr=0.1, loss_threshold=0.5)")
    ran = cli(arguments[0], "user.py:p", *arguments[1:])
    assert ran.code == 2
    for fragment in fragments:
        assert fragment in ran.sentence


def test_a_users_own_loop_has_a_surface_of_its_rates(cli: Cli, script: Script) -> None:
    script(LOOP + "p = etastar.Problem.from_loop(train, steps=20, lr=0.05, loss_threshold=0.5)")
    content = answer(cli("surface", "user.py:p", "--store", ":memory:", "--seeds", "1", "--json", "-"))
    assert content["lr"]["status"] == "ok" and content["lr"]["low"] <= 0.5 <= content["lr"]["high"]
    assert {b["schedule"] for b in content["rows"]} == {"own"}
