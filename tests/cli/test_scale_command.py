"""`etastar scale`: a family with a known law, its JSON, reruns from the store, refusals and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_harness import Cli, Ran, run_here, told

Script = Callable[..., Path]
QUADRATIC = ("scale", "quadratic", "--set", "steps=20", "--engine", "loop", "--vary", "scale=1,2,4", "--to", "scale=8")
FAMILY = """
def family(depth=1, width=8, batch_size=16, samples=64):
    def model():
        sizes = [4, *[width] * depth]
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(width, 2))
    return problem(model=model, train=(X[:samples], Y[:samples]), batch_size=batch_size)

def odd(width=8):
    return family(width=width).but(optimizer=lambda m: torch.optim.Adagrad(m.parameters(), lr=0.1))

def deaf(depth=1, width=8):
    return problem(model=lambda: nn.Linear(4, 2))

def dead(width):
    return problem(model=lambda: nn.Linear(4, 2 + width), loss=lambda o, t: (o * 0).sum() + 1.0, loss_threshold=0.5)

one = problem()
"""


def answer(ran: Ran) -> dict[str, Any]:
    return told(ran.out)


def test_a_loss_times_c_divides_eta_star_by_c(cli: Cli) -> None:
    ran = cli(*QUADRATIC, "--json", "-")
    content = answer(ran)
    assert ran.code == 0, ran.err
    assert "plan: 3 members, at most " in ran.err
    values = [m["lr"]["value"] for m in content["members"]]
    assert values[0] / values[2] == pytest.approx(4, rel=0.05)  # rates lie on a lattice
    assert content["candidates"][0]["exponents"]["scale"]["value"] == pytest.approx(-1, abs=0.04)
    assert content["lr"]["value"] == pytest.approx(values[2] / 2, rel=0.08)
    assert content["lr"]["low"] < content["lr"]["value"] < content["lr"]["high"]
    again = answer(cli(*QUADRATIC, "--json", "-"))
    assert again["cost"]["new_gradient_steps"] == 0 < content["cost"]["new_gradient_steps"]
    assert again["lr"] == content["lr"] and again["members"][0]["lr"] == content["members"][0]["lr"]


def test_a_real_family_its_best_rate_tables_and_transfer(cli: Cli, script: Script) -> None:
    script(FAMILY)
    ran = cli(
        "scale",
        "user.py:family",
        "--width",
        "16,32,64",
        "--to",
        "width=128",
        "--transfer",
        "--report",
        "out",
        "--json",
        "a.json",
    )
    assert ran.code == 0, ran.err
    for words in (
        "user.py:family: eta* at width 128: ",
        "predicted",
        "laws, leave-one-out error",
        "does the rate transfer",
        "muP",
    ):
        assert words in ran.out
    content = answer(Ran(0, Path("a.json").read_text(), ""))
    points = content["transfer"]["points"]
    assert [(p["parametrisation"], p["width"]) for p in points] == [
        (n, w) for n in ("standard", "muP") for w in (16, 32, 64)
    ]
    assert points[0]["lr"]["value"] == pytest.approx(points[3]["lr"]["value"], rel=0.2)  # at the base both are the same
    assert all(len(p["moves"]) == 2 for p in points)
    page = Path("out/index.html").read_text()
    assert "Which law?" in page and "coordinate" in page and Path("out/law.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--depth", "4,8", "--width", "64,128", "--to", "depth=8,width=64"), "width 64 is less than 16 x depth 8"),
        (("--depth", "4,8", "--width", "128,256", "--to", "depth=2,width=256"), "fewer than 4 hidden layers"),
        (("--depth", "4,8", "--width", "128,256", "--to", "depth=8,width=2048"), "8 x beyond the largest measured"),
        (("--depth", "8,16", "--width", "64,128", "--to", "depth=8,width=256"), "at least 3 sizes and has 1"),
    ],
)
def test_what_no_law_reaches_is_refused_before_anything_is_trained(cli: Cli, script: Script, arguments, sentence) -> None:
    script(FAMILY)
    ran = cli("scale", "user.py:family", *arguments, "--json", "-")
    content = answer(ran)
    assert ran.code == 1 and content["lr"]["value"] is None and content["cost"]["gradient_steps"] == 0
    assert sentence in content["lr"]["reason"]
    if "beyond" in sentence:
        assert content["next"] and content["next"][0]["sizes"]["width"] >= 512


def test_the_time_limit_gives_an_answer_without_a_value(cli: Cli) -> None:
    ran = cli(*QUADRATIC, "--max-seconds", "0.001", "--json", "-")
    content = answer(ran)
    assert ran.code == 1 and content["lr"]["status"] == "too-few-points" and "time-limit" in content["flags"]


def test_all_members_without_an_answer_are_no_law(cli: Cli, script: Script) -> None:
    script(FAMILY)
    ran = cli("scale", "user.py:dead", "--width", "1,2,3", "--to", "width=4", "--engine", "loop", "--json", "-")
    content = answer(ran)
    assert ran.code == 1 and content["lr"]["status"] == "too-few-points" and "no eta*" in content["members"][0]["left_out"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("user.py:family", "--width", "8,16", "--to", "width=32"), "got 2 sizes (width 8; width 16); expected at least 3"),
        (("user.py:family", "--to", "width=32"), "the target has width, which no member has"),
        (("user.py:family", "--width", "8,16,32", "--to", "depth=2"), "the target has no width"),
        (("user.py:family", "--width", "8,16,x", "--to", "width=32"), "width got 'x'; expected numbers"),
        (("user.py:family", "--vary", "width", "--to", "width=32"), "expected name=values"),
        (("user.py:family", "--vary", "heads=1,2,4", "--to", "heads=8"), "does not take heads; it takes depth, width"),
        (("user.py:deaf", "--width", "8,16,32", "--to", "width=64"), "the family ignores width: width 8 and width 16 are"),
        (("user.py:odd", "--width", "8,16,32", "--to", "width=64", "--transfer"), "optimizer is 'Adagrad'; muP's tables"),
        (
            ("user.py:family", "--vary", "batch_size=8,16,32", "--to", "batch_size=64", "--transfer"),
            "has no width to compare",
        ),
        (("user.py:one", "--width", "8,16,32", "--to", "width=64"), "is one Problem; expected a function of its sizes"),
        (("user.py:family", "--width", "8,16,32", "--to", "width=64", "--measure", "luck"), "measure is 'luck'"),
        (("user.py:family", "--width", "8,16,32", "--to", "width=64", "--set", "width=4"), "both scaled and set"),
        (("user.py:family", "--width", "8,16,32", "--to", "width=64", "--precision", "3"), "--precision is 3.0"),
    ],
)
def test_bad_input_is_one_sentence(cli: Cli, script: Script, arguments, sentence) -> None:
    script(FAMILY)
    ran = cli("scale", *arguments)
    assert ran.code == 2 and sentence in ran.sentence


@pytest.mark.slow
def test_the_example_family_and_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = Path(__file__).parents[2] / "examples" / "mlp_family.py"
    monkeypatch.chdir(tmp_path)
    grid = ("--depth", "4,8", "--width", "128,256", "--to", "depth=8,width=512")
    content = answer(run_here("scale", f"{example}:family", *grid, "--json", "-"))
    assert content["lr"]["status"] == "ok" and content["lr"]["low"] < 0.134 < content["lr"]["high"]  # measured: 0.134
    ran = run_here("find", f"{example}:family", "--set", "depth=8,width=512", "--effort", "quick", "--json", "-")
    assert ran.code == 0 and json.loads(ran.out)["lr"]["status"] == "ok"
