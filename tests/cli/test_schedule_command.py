"""`etastar schedule show`: a schedule's phases, rates and sum against plain formulas, its page, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from tools.schemas import path_of

import etastar
from cli_harness import Cli
from etastar.policies.policy import Constant
from etastar.verbs.schedule import ScheduleAnswer, show_schedule


def shown(cli: Cli, *arguments: str) -> dict:
    ran = cli("schedule", "show", *arguments, "--json", "-")
    assert ran.code == 0, ran.err
    content = json.loads(ran.out)
    jsonschema.validate(content, json.loads(path_of(ScheduleAnswer).read_text()))
    return content


def test_a_schedule_by_hand(cli: Cli) -> None:
    """300 steps at 1, then over 100: 5 up, 45 at 1, 50 down to 1 / 50; all of it times 0.2."""
    content = shown(cli, "constant@0.75>wsd:decay=0.5", "--steps", "400", "--lr", "0.2")
    rates = [0.2] * 300 + [0.2 * t / 5 for t in range(1, 6)] + [0.2] * 45 + [0.2 * left / 50 for left in range(50, 0, -1)]
    assert len(rates) == content["steps"] == 400
    assert content["sum_of_rates"] == pytest.approx(sum(rates)) and content["constant_steps"] == pytest.approx(
        sum(rates) / 0.2
    )
    assert [p["step"] for p in content["points"]] == [0, 40, 80, 120, 160, 200, 239, 279, 319, 359, 399]
    assert [p["rate"] for p in content["points"]] == pytest.approx([rates[p["step"]] for p in content["points"]])
    phases = [(p["what"], p["first"], p["last"]) for p in content["phases"]]
    assert phases == [("holds", 0, 299), ("jumps", 299, 300), ("rises", 300, 304), ("holds", 304, 350), ("falls", 350, 399)]
    assert all(
        (p["first_rate"], p["last_rate"]) == pytest.approx((rates[p["first"]], rates[p["last"]])) for p in content["phases"]
    )


def test_it_is_printed_and_drawn(cli: Cli, tmp_path: Path) -> None:
    ran = cli("schedule", "show", "warmup-cosine", "--steps", "50", "--report", "page")
    assert ran.code == 0 and not ran.err
    for words in (
        "warmup-cosine: rises, holds, falls over 50 steps",
        "rises",
        "0 .. 4",
        "sum of the rates",
        "policy: Schedule(",
    ):
        assert words in ran.out
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Equivalent constant steps" in page and "What happens to the rate?" in page
    assert (tmp_path / "page" / "rate.svg").stat().st_size > 1000 and not (tmp_path / ".etastar").exists()


@pytest.mark.parametrize("steps", [1, 2, 3, 25_000])
def test_any_number_of_steps(cli: Cli, steps: int) -> None:
    content = shown(cli, "linear", "--steps", str(steps), "--report", "page")
    assert content["constant_steps"] == pytest.approx((steps + 1) / 2), "1 + (n - 1) / n + ... + 1 / n"
    assert content["phases"][0]["first"] == 0 and content["phases"][-1]["last"] == steps - 1


@dataclass(frozen=True)
class Halves:
    """Half of the rate once the loss is small."""

    reads = ("loss", etastar.policies.Every("valid_loss", 5))

    def init(self, lr):
        return lr

    def step(self, observation, state):
        return state * 0.5 if observation["loss"] < 0.1 else state, state


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            Halves(),
            r"the schedule Halves\(\) reads loss, valid_loss, so its rates depend on the training; expected",
        ),
        (etastar.Then(Constant(), 5, Halves()), r"reads loss, valid_loss, so its rates depend"),
        (etastar.PerGroup({"head": Constant()}), r"gives head rates of their own; show one group's at a time"),
        (3, r"schedule is 3; expected a name, e.g. wsd:decay=0.5, or a Policy"),
    ],
)
def test_what_cannot_be_known_before_the_training_is_refused(policy, said: str) -> None:
    with pytest.raises(etastar.ProblemError, match=said):
        show_schedule(policy, steps=10)


def test_too_many_steps_to_show(cli: Cli) -> None:
    ran = cli("schedule", "show", "linear", "--steps", "100001")
    assert ran.code == 2 and "steps is 100001; expected 1 to 100,000 steps" in ran.sentence
