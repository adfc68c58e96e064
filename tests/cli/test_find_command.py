"""`etastar find`: the JSON contract of docs, what is printed where, exit codes 0 and 1, and reruns from the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_harness import Cli, Ran, run_here, timeless, told, validator
from etastar.engine.scoring_cost import SHARPNESS_LOOK

Script = Callable[..., Path]
GLANCE = ("--effort", "glance", "--store", ":memory:")
THOROUGH = ("--effort", "thorough", "--store", ":memory:")
ROWS = ("--engine", "vmap")
"""What a short trial would choose on an idle machine: answers are compared to the last digit."""
ESTIMATE = {"value", "low", "high", "level", "unit", "n", "method", "status", "reason", "cost", "flags"}
STATUSES = {
    "ok", "flat", "edge-of-range", "diverged-everywhere", "succeeds-everywhere", "never-succeeds", "too-few-points",
    "outside-the-law", "not-measured",
}  # fmt: skip


def answer(ran: Ran) -> dict[str, Any]:
    return told(ran.out)


def estimates(content: Any) -> Iterator[dict[str, Any]]:
    """Every estimate anywhere in the answer."""
    if isinstance(content, dict):
        if "status" in content and "level" in content:
            yield content
        for value in content.values():
            yield from estimates(value)
    elif isinstance(content, list):
        for value in content:
            yield from estimates(value)


def check_contract(content: dict[str, Any]) -> None:
    """The schema, and what a schema cannot say."""
    validator("find").validate(content)
    found = list(estimates(content))
    assert len(found) >= 3
    for estimate in found:
        assert set(estimate) == ESTIMATE
        assert estimate["status"] in STATUSES
        assert 0 < estimate["level"] < 1
        if estimate["status"] == "ok":
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
        else:
            assert estimate["value"] is None
            assert estimate["reason"]


# -- the contract ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quadratic() -> Ran:
    return run_here("find", "quadratic", *THOROUGH, *ROWS, "--json", "-")


def test_json_keys(quadratic: Ran) -> None:
    assert quadratic.code == 0
    content = answer(quadratic)
    assert {"etastar", "command", "problem", "lr", "lr_per_group", "plateau", "eta_star", "yours", "cost", "flags"} <= set(
        content
    )
    assert content["command"] == "find"
    assert content["problem"] == "quadratic"
    assert {"lr", "of_best", "of_eta_star", "verdict"} <= set(content["yours"])
    assert {"gradient_steps", "new_gradient_steps", "full_runs", "seconds"} <= set(content["cost"])
    for name in ("lr", "eta_star"):
        assert set(content[name]) == ESTIMATE
        assert content[name]["status"] == "ok"
        assert content[name]["low"] <= content[name]["value"] <= content[name]["high"]


def test_json_follows_the_schema_in_the_package(quadratic: Ran) -> None:
    check_contract(answer(quadratic))


def test_looks_at_curvature_are_counted_apart_from_validation(cli: Cli) -> None:
    """Every lane looks at the sharpness at every second of its steps, and is scored as often as one that does not look."""
    command = ("find", "digits-mlp", "--set", "depth=1,width=4", "--steps", "40", "--effort", "glance")
    ran = cli(*command, "--schedule", "edge:every=2", "--store", ":memory:", "--json", "-")
    cost = json.loads(ran.out)["cost"]
    assert cost["look_steps"] == SHARPNESS_LOOK * cost["gradient_steps"] / 2
    assert cost["full_runs"] == pytest.approx((cost["gradient_steps"] + cost["look_steps"] + cost["validation_steps"]) / 40)
    plain = json.loads(cli(*command, "--store", ":memory:", "--json", "-").out)["cost"]
    assert plain["look_steps"] == 0
    assert cost["validation_steps"] == plain["validation_steps"]


def test_json_facts_agree_with_each_other(quadratic: Ran) -> None:
    content = answer(quadratic)
    yours, cost = content["yours"], content["cost"]
    assert yours["lr"] == pytest.approx(0.1)
    assert yours["of_best"] == pytest.approx(yours["lr"] / content["lr"]["value"])
    assert yours["of_eta_star"] == pytest.approx(yours["lr"] / content["eta_star"]["value"])
    assert [row["lr"] for row in content["lr_per_group"]] == pytest.approx([content["lr"]["value"]])
    parts = sum(content[name]["cost"] for name in ("eta_star", "eta_star_end", "lr"))
    assert cost["new_gradient_steps"] == cost["gradient_steps"] > parts > 0, "short lanes cost steps, too"
    assert content["best"]["rungs"][-1]["steps"] == content["steps"] == 200
    assert cost["full_runs"] == pytest.approx((cost["gradient_steps"] + cost["validation_steps"]) / 200)
    assert 0 < cost["validation_steps"] < 0.1 * cost["gradient_steps"]
    assert sum(row["runs"] for row in content["rates"]) == content["eta_star"]["n"]
    for row in content["rates"]:
        assert row["runs"] == row["trained"] + row["diverged"] + row["slow"] + row["dead"]


def test_eta_star_of_the_quadratic(quadratic: Ran) -> None:
    """The exact loss curve meets the criterion, a mean over 10 steps of half the first loss, at `low` and not at `high`."""
    from etastar.problems.quadratic import loss_curve

    def trains(lr: float) -> bool:
        losses = loss_curve(lr, 200)
        means = [losses[t : t + 10].mean() for t in range(191)]
        return min(means) <= 0.5 * losses[0]

    eta_star = answer(quadratic)["eta_star"]
    assert trains(eta_star["low"])
    assert not trains(eta_star["high"])


def test_groups_keep_their_multiples(cli: Cli, script: Script) -> None:
    script(
        "p = problem(optimizer=lambda m: torch.optim.SGD("
        "[{'params': [m.weight], 'lr': 0.02}, {'params': [m.bias], 'lr': 0.0}], lr=0.1))"
    )
    content = answer(cli("find", "user.py:p", *GLANCE, "--json", "-"))
    assert [row["lr"] for row in content["lr_per_group"]] == pytest.approx([0.2 * content["lr"]["value"], 0.0])


def test_json_in_a_file_says_the_same_beside_what_is_printed(cli: Cli, quadratic: Ran) -> None:
    Path("answer.json").write_text("x" * 100_000)
    ran = cli("find", "quadratic", *THOROUGH, *ROWS, "--json", "answer.json")
    assert ran.code == 0
    contents = [timeless(told(text)) for text in (quadratic.out, Path("answer.json").read_text())]
    assert contents[0] == contents[1]
    assert "plan: at most " in ran.err
    assert "gradient steps" in ran.err
    assert ran.out.startswith("quadratic: use ")
    assert "eta* = " in ran.out and "recommended" in ran.out and "plateau" in ran.out
    assert "cost: " in ran.out


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_quiet_prints_nothing(cli: Cli) -> None:
    ran = cli("find", "quadratic", *GLANCE, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_quiet_prints_json_if_asked(cli: Cli, script: Script) -> None:
    script("p = flat()")
    ran = cli("find", "user.py:p", *GLANCE, "--quiet", "--json", "-")
    assert (ran.code, ran.err) == (1, "")
    assert answer(ran)["lr"]["status"] == "flat"


def test_the_answer_says_which_problem(cli: Cli, script: Script) -> None:
    script("def make(width=3): return flat(steps=width)")
    content = answer(cli("find", "user.py:make", "--set", "width=12", *GLANCE, "--json", "-"))
    assert content["problem"] == "user.py:make"
    assert content["steps_to_start"] == 12


def test_options_change_the_problem(cli: Cli, script: Script) -> None:
    script("p = problem(train=(X, torch.arange(64) % 2))")
    options = ("--steps", "15", "--threshold", "0.99", "--optimizer", "adam:lr=0.003", "--seed", "5")
    content = answer(cli("find", "user.py:p", *GLANCE, *options, "--json", "-"))
    assert content["steps_to_start"] == 15
    assert "mean accuracy >= 0.99" in content["criterion"]
    assert (content["optimizer"], content["yours"]["lr"], content["seed"]) == ("Adam", 0.003, 5)


def test_the_folder_of_the_file_is_on_the_path(cli: Cli, script: Script) -> None:
    Path("parts_beside_the_file.py").write_text("STEPS = 11\n")
    script("import parts_beside_the_file as parts\np = flat(steps=parts.STEPS)")
    assert answer(cli("find", "user.py:p", *GLANCE, "--json", "-"))["steps_to_start"] == 11


# -- no answer ---------------------------------------------------------------------------------------------------------

PARAMETER = """
class Parameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.ones(2))


class Bomb(torch.autograd.Function):  # finite once, then never again
    @staticmethod
    def forward(ctx, p):
        return p.clone()

    @staticmethod
    def backward(ctx, g):
        return g * float("inf")


def scalar(loss_fn, **changes):
    return problem(model=Parameter, loss=None, loss_fn=loss_fn, train=torch.zeros(8, 1), batch_size=8, **changes)
"""

NO_ANSWER = {
    "never-succeeds": ("problem(accuracy_threshold=1.0, train=(X, torch.arange(64) % 2))", ["lower the threshold"]),
    "diverged-everywhere": (
        "scalar(lambda m, b: 1 + Bomb.apply(m.p).square().sum(), loss_threshold=0.5)",
        ["every lane diverged", "check data scale"],
    ),
    "flat": ("scalar(lambda m, b: (m.p * 0).sum() + 1.0, loss_threshold=0.5)", ["same at every learning rate", "check"]),
    "succeeds-everywhere": (
        "scalar(lambda m, b: torch.atan(m.p).square().sum(), loss_threshold=1e9)",
        ["every lane", "stricter threshold"],
    ),
}


@pytest.mark.parametrize(("status", "body", "fragments"), [(s, *rest) for s, rest in NO_ANSWER.items()], ids=NO_ANSWER)
def test_no_answer_is_exit_1_with_a_status(cli: Cli, script: Script, status: str, body: str, fragments: list[str]) -> None:
    script(PARAMETER + f"\np = {body}")
    ran = cli("find", "user.py:p", *THOROUGH, "--json", "-")
    assert "Traceback" not in ran.err
    content = answer(ran)
    assert content["eta_star"]["status"] == status, content["eta_star"]["reason"]
    assert content["eta_star"]["value"] is None
    for fragment in fragments:
        assert fragment in content["eta_star"]["reason"]
    if status in ("diverged-everywhere", "flat"):  # there is no best rate either
        assert ran.code == 1, ran.err
        assert (content["lr"]["status"], content["lr"]["value"]) == (status, None)
        for fragment in fragments:
            assert fragment in content["lr"]["reason"]
        assert content["lr_per_group"] == []
        assert content["yours"]["verdict"] == "unknown"
        assert f"no answer ({status})" in ran.err, "people are told too"
    else:  # a rate can be best where a threshold is met nowhere, or everywhere
        assert (ran.code, content["lr"]["status"]) == (0, "ok"), ran.err
        assert f"no eta* ({status})" in ran.err


@pytest.mark.parametrize("status", NO_ANSWER)
def test_no_answer_follows_the_schema(cli: Cli, script: Script, status: str) -> None:
    script(PARAMETER + f"\np = {NO_ANSWER[status][0]}")
    check_contract(answer(cli("find", "user.py:p", *THOROUGH, "--json", "-")))


def test_succeeds_everywhere_gives_a_bound(cli: Cli, script: Script) -> None:
    """There is no value, but a lower bound: the highest rate that was tried."""
    script(PARAMETER + f"\np = {NO_ANSWER['succeeds-everywhere'][0]}")
    content = answer(cli("find", "user.py:p", *THOROUGH, "--json", "-"))
    assert content["eta_star"]["low"] == max(row["lr"] for row in content["rates"])
    assert content["eta_star"]["high"] is None


# -- the store ---------------------------------------------------------------------------------------------------------


FACTS = ("lr", "lr_per_group", "eta_star", "eta_star_90", "transition_width", "rates", "yours", "summary", "flags")


def test_no_time_is_no_answer_and_a_rerun_trains_nothing(cli: Cli, quadratic: Ran) -> None:
    """Out of time before its first batch, then run, then asked again: the answer of a run that was left alone."""
    undisturbed = answer(quadratic)
    command = ("find", "quadratic", *ROWS, "--json", "-")
    stopped = cli(*command, "--max-seconds", "0.001")
    content = json.loads(stopped.out)
    assert stopped.code == 1 and content["lr"]["status"] == "too-few-points"
    assert content["eta_star"]["status"] == "not-measured" and "time-limit" in content["flags"]
    assert Path(".etastar/runs.db").exists() and content["cost"]["gradient_steps"] == 0
    resumed, again = answer(cli(*command)), answer(cli(*command))
    spent = undisturbed["cost"]["gradient_steps"]
    assert resumed["cost"]["new_gradient_steps"] == spent > 0
    assert again["cost"]["new_gradient_steps"] == 0
    assert again["cost"]["gradient_steps"] == spent
    for name in FACTS:
        assert undisturbed[name] == resumed[name] == again[name], name


def test_a_users_file_is_recognised_and_a_changed_one_is_not(cli: Cli, script: Script) -> None:
    """Also where lanes diverge, and for code that was imported anew."""
    command = ("find", "user.py:p", "--effort", "quick", "--json", "-")
    body = "def p(): return problem(train=(X, torch.arange(64) % 2), accuracy_threshold=1.0{})"
    new = []
    for changes in ("", "", ", loss=lambda o, t: 2 * F.cross_entropy(o, t)", ""):
        script(body.format(changes))
        content = answer(cli(*command))
        new.append((content["cost"]["new_gradient_steps"], content["cost"]["gradient_steps"]))
    assert [a for a, _ in new] == [new[0][1], 0, new[2][1], 0]
    assert new[0][1] > 0
    assert new[2][1] > 0


def test_what_monitors_read_is_said_and_a_number_without_a_value_is_null_in_json(cli: Cli) -> None:
    """Adam has no edge ratio."""
    ran = cli(
        "find", "digits-mlp", "--set", "steps=60,optimizer=adam", *GLANCE, *ROWS,
        "--monitor", "sharpness,norms", "--json", "-",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    content = answer(ran)
    check_contract(content)
    assert {r["value"] for r in content["readings"] if r["name"] == "edge_ratio"} == {None}
    assert {r["step"] for r in content["readings"]} == set(range(0, 61, 3))
    lines = [line.strip() for line in ran.err.splitlines()]
    first = next(i for i, line in enumerate(lines) if line.startswith("one lane of 60 steps at "))
    assert lines[first + 1].startswith("lambda1, the largest curvature of the loss: at most ")
    assert lines[first + 2].startswith("how much weights change between two looks") and ", module " in lines[first + 2]


@pytest.mark.slow
def test_more_effort_reuses_what_less_effort_trained(cli: Cli) -> None:
    cli("find", "noisy-quadratic", "--effort", "quick")
    content = answer(cli("find", "noisy-quadratic", "--effort", "thorough", "--json", "-"))
    assert 0 < content["cost"]["new_gradient_steps"] < content["cost"]["gradient_steps"]
