"""`etastar search`: every sampler for real, the JSON contract, the Optuna study afterwards, mistakes in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from cli_harness import Cli, Ran, told
from etastar.designs.search.optuna_samplers import SAMPLERS
from etastar.problems.quadratic import best_lr

Script = Callable[..., Path]
SMALL = ("search", "quadratic", "--set", "steps=20,curvatures=[1.0,0.5]", "--trials", "8")
"""Eight trials of twenty steps."""
NO_STUDY = ("--study-storage", ":memory:")


def answer(ran: Ran) -> dict[str, Any]:
    return told(ran.out)


def study_of(content: dict[str, Any]) -> optuna.Study:
    return optuna.load_study(study_name=content["study"], storage=content["storage"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_on_a_real_network(cli: Cli, sampler: str) -> None:
    ran = cli(
        "search", "digits-mlp", "--set", "width=16", "--steps", "30", "--sampler", sampler, "--trials", "6", "--json", "-"
    )
    assert ran.code == 0, ran.err
    content = answer(ran)
    assert content["plan"]["sampler"] == sampler
    trials = content["trials"]
    assert len(trials) == 6
    lowest = sorted(trials, key=lambda t: t["loss"])[:3]
    again = content["finalists"]
    assert sorted(f["number"] for f in again) == sorted(t["number"] for t in lowest), "the best three were trained again"
    assert content["best"] == again[0] == min(again, key=lambda f: f["loss"])
    for f in again:
        assert (f["trial_loss"], f["lr"]) == (trials[f["number"]]["loss"], trials[f["number"]]["lr"])
        assert f["confirmed"] and len(f["losses"]) == 3 and f["loss"] == pytest.approx(sum(f["losses"]) / 3)
        assert f["interval"]["low"] < f["loss"] < f["interval"]["high"]
    assert content["lr"]["low"] <= content["lr"]["value"] == content["best"]["lr"] <= content["lr"]["high"]
    assert content["cost"]["measure_steps"] > 0 and "prior-not-measured" not in content["flags"], "it was measured first"
    spent = sum(t["steps"] for t in (*trials, *again))
    assert content["cost"]["gradient_steps"] == spent + content["cost"]["measure_steps"]
    assert "9 of the lanes, 18 at most" in ran.err, "the plan says what training them again takes"
    (held,) = [t.params for t in study_of(content).trials if t.value == content["best"]["trial_loss"]]
    assert held == content["best"]["params"]


def test_the_rate_of_a_quadratic_is_found_and_its_own_is_judged(cli: Cli) -> None:
    content = answer(
        cli("search", "quadratic", "--set", "steps=20,curvatures=[1.0,0.5]", "--trials", "40", *NO_STUDY, "--json", "-")
    )
    assert content["lr"]["value"] == pytest.approx(best_lr(20, [1.0, 0.5]), rel=0.3)
    assert content["lr"]["low"] <= best_lr(20, [1.0, 0.5]) <= content["lr"]["high"]
    assert content["yours"]["lr"] == 0.1
    assert content["yours"]["verdict"] == "worse"
    assert "span-not-interval" in content["flags"]
    assert (
        content["objective"]
        == "mean training loss of the last 10 steps after 20 steps; a failed lane counts as twice its first loss"
    )


SPACE = """
[lr]
low = 1e-3
high = 1.0
[momentum]
low = 0
high = 1
[weight_decay]
low = 1e-5
high = 1e-2
log = true
[schedule]
choices = ["constant", "warmup-cosine"]
[batch_size]
choices = [16, 32]
[width]
choices = [4, 8]
"""


def test_several_parameters_of_every_kind(cli: Cli) -> None:
    Path("space.toml").write_text(SPACE)
    command = ("search", "digits-mlp", "--set", "depth=1", "--steps", "40", "--space", "space.toml", "--trials", "16")
    content = answer(cli(*command, "--pruner", "median", "--seeds", "2", "--json", "-"))
    assert {p["name"] for p in content["space"]["parameters"]} == {
        "lr",
        "momentum",
        "weight_decay",
        "schedule",
        "batch_size",
        "width",
    }
    assert all(0 <= t["params"]["momentum"] <= 1 for t in content["trials"])
    assert len({t["params"]["momentum"] for t in content["trials"]}) > 8, "a real number, though its range was written whole"
    assert {t["params"]["batch_size"] for t in content["trials"]} == {16, 32}
    assert all(len(t["losses"]) == 2 for t in content["trials"])
    pruned = [t for t in content["trials"] if t["state"] == "pruned"]
    assert pruned and all(t["steps"] <= 2 * 10 for t in pruned)
    assert content["eta_star"]["status"] == "not-measured", "the user said where to search"
    states = [t.state for t in study_of(content).trials]
    assert states.count(optuna.trial.TrialState.PRUNED) == len(pruned)
    again = answer(cli(*command, "--pruner", "median", "--seeds", "2", "--json", "-"))
    assert again["cost"]["new_gradient_steps"] == 0
    assert again["trials"] == content["trials"]
    assert len(study_of(again).trials) == 16, "each trial once"


def test_more_trials_go_on_from_what_is_there(cli: Cli) -> None:
    few = answer(cli(*SMALL, "--batch", "4", "--json", "-"))
    many = answer(cli(*SMALL[:-1], "16", "--batch", "4", "--json", "-"))
    assert many["trials"][:8] == few["trials"]
    assert many["study"] == few["study"]
    assert [t.user_attrs["etastar_trial"] for t in study_of(many).trials] == list(range(16))
    assert many["cost"]["new_gradient_steps"] < many["cost"]["gradient_steps"]


def test_a_study_of_ones_own(cli: Cli) -> None:
    """Named, in a file of the user's; trials they add themselves stay, and do not disturb ours."""
    named = ("--study", "mine", "--study-storage", "deep/mine.db", "--json", "-")
    content = answer(cli(*SMALL, *named))
    assert (content["study"], content["storage"]) == ("mine", "sqlite:///deep/mine.db")
    study = study_of(content)
    study.optimize(lambda trial: trial.suggest_float("lr", 1e-3, 1.0, log=True), n_trials=2)
    assert answer(cli(*SMALL, *named))["trials"] == content["trials"]
    assert len(study_of(content).trials) == 10
    other = cli(*SMALL, "--seed", "5", *named)
    assert other.code == 2
    assert (
        "the study 'mine' in sqlite:///deep/mine.db holds the trials of another search; pass another --study"
        in other.sentence
    )
    assert not Path(".etastar/optuna.db").exists()


def test_what_is_printed(cli: Cli) -> None:
    ran = cli(*SMALL)
    assert ran.code == 0
    assert ran.out.startswith("quadratic: best of 8 trials: lr = ")
    for part in (
        "trial    loss",
        "8 to their end, 0 pruned",
        "optuna-dashboard sqlite:///.etastar/optuna.db",
        "  cost: ",
        "span-not-int",
    ):
        assert part in ran.out, part
    assert ran.err.count("plan: at most") == 2, "the glance's and the search's"
    quiet = cli(*SMALL, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_page_and_json_together(cli: Cli) -> None:
    ran = cli(*SMALL, "--report", "out", "--json", "a.json")
    assert ran.code == 0 and "report: out/index.html" in ran.out
    content = json.loads(Path("a.json").read_text())
    page = Path("out/index.html").read_text()
    for words in (content["summary"], content["study"], "Had the search converged?", "no confidence interval"):
        assert words in page
    assert {p.stem for p in Path("out").glob("*.svg")} == {"rates", "progress"}
    refused = cli(*SMALL, "--report", "/dev/null/x")
    assert refused.code == 2 and "--report /dev/null/x cannot be written" in refused.sentence


def test_a_store_in_memory_keeps_no_study(cli: Cli) -> None:
    content = answer(cli(*SMALL, "--store", ":memory:", "--json", "-"))
    assert content["storage"] is None
    assert not list(Path().iterdir())


def test_a_loop_of_ones_own_is_searched_for_its_rate(cli: Cli, script: Script) -> None:
    script(
        "def train(lr, seed, report):\n    w = 1.0\n    while report(loss=w * w):\n        w -= lr * 2 * w\n"
        "p = etastar.Problem.from_loop(train, steps=15, lr=0.1, loss_threshold=0.5)"
    )
    content = answer(cli("search", "user.py:p", "--trials", "30", *NO_STUDY, "--json", "-"))
    assert content["lr"]["value"] == pytest.approx(0.5, rel=0.1)


NO_ANSWER = {
    "flat": ("flat()", ["the loss is the same in every trial"]),
    "diverged-everywhere": ("problem(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e9))", ["lower the range"]),
    "too-few-points": ("problem()", ["at least 3 are needed: raise --trials"]),
}


@pytest.mark.parametrize("status", NO_ANSWER)
def test_no_answer_is_exit_1_with_a_status(cli: Cli, script: Script, status: str) -> None:
    body, fragments = NO_ANSWER[status]
    script(f"p = {body}")
    Path("space.toml").write_text("[lr]\nlow = 1e5\nhigh = 1e9" if "div" in status else "[lr]\nlow = 0.01\nhigh = 0.1")
    trials = "2" if status == "too-few-points" else "6"
    ran = cli("search", "user.py:p", "--space", "space.toml", "--trials", trials, *NO_STUDY, "--json", "-")
    assert ran.code == 1, ran.err
    content = answer(ran)
    assert content["lr"]["status"] == status
    assert all(fragment in content["lr"]["reason"] for fragment in fragments)
    assert f"no answer ({status})" in ran.err
    assert content["yours"]["verdict"] == "unknown" and "cannot be judged" in content["yours"]["sentence"]


def test_a_best_rate_on_the_edge_of_the_users_range_is_flagged(cli: Cli) -> None:
    Path("space.toml").write_text("[lr]\nlow = 1e-3\nhigh = 0.2")
    content = answer(cli(*SMALL[:-1], "20", "--space", "space.toml", *NO_STUDY, "--json", "-"))
    assert "edge-of-range" in content["flags"]
    assert content["space"]["parameters"][0]["high"] == 0.2


# -- mistakes ----------------------------------------------------------------------------------------------------------

SPACES = {
    "a missing file": (None, ["space.toml", "cannot be read", "expected a TOML file"]),
    "empty": ("", ["is empty", "expected at least one hyper-parameter"]),
    "not TOML": ("lr: 0.1", ["space.toml is not TOML"]),
    "reversed": ("[lr]\nlow = 1.0\nhigh = 0.1", ["is reversed", "expected low < high"]),
    "not positive": ("[lr]\nlow = 0.0\nhigh = 0.1", ["low = 0", "more than 0"]),
    "negative": ("[lr]\nlow = -1.0\nhigh = 0.1", ["low = -1", "more than 0"]),
    "of nothing": (
        "[dropout]\nlow = 0.0\nhigh = 0.5",
        ["[dropout]", "expected some of lr, schedule", "momentum", "curvatures"],
    ),
    "an unknown schedule": ('[schedule]\nchoices = ["cosin"]', ["schedule is 'cosin'", "warmup-cosine"]),
    "a schedule from a range": ("[schedule]\nlow = 0\nhigh = 1", ["[schedule]", "list of names"]),
    "a batch size of none": ("[batch_size]\nchoices = [8, 0]", ["batch_size is 0", "at least 1"]),
    "a batch size too large": ("[batch_size]\nlow = 8\nhigh = 4096", ["batch_size is 4096", "<= 8"]),
    "an argument of the wrong kind": ('[scale]\nchoices = ["big"]', ["scale is 'big'"]),
}


@pytest.mark.parametrize(("text", "fragments"), SPACES.values(), ids=SPACES.keys())
def test_a_bad_space(cli: Cli, text: str | None, fragments: list[str]) -> None:
    if text is not None:
        Path("space.toml").write_text(text)
    ran = cli(*SMALL, "--space", "space.toml", "--no-measure")
    assert ran.code == 2
    assert all(fragment in ran.sentence for fragment in fragments), ran.sentence
    assert not Path(".etastar/optuna.db").exists()


@pytest.mark.parametrize(
    ("text", "options", "fragment"),
    [
        ("[dropout]\nlow = 0.0\nhigh = 0.5", (), "[dropout], which nothing has here"),
        ('[scale]\nchoices = ["big"]', (), "scale is 'big'"),
        ("[momentum]\nlow = 0.0\nhigh = 0.9", ("--sampler", "grid", "--trials", "3"), "at least 4 points"),
        ("[momentum]\nlow = 0.0\nhigh = 0.9", ("--pruner", "hyperband", "--steps", "5"), "at least 18 steps"),
    ],
    ids=["a name", "a value", "a grid", "a pruner"],
)
def test_a_space_without_the_rate_is_refused_before_the_rate_is_measured(
    cli: Cli, text: str, options: tuple[str, ...], fragment: str
) -> None:
    Path("space.toml").write_text(text)
    ran = cli(*SMALL, "--space", "space.toml", *options)
    assert ran.code == 2 and fragment in ran.sentence
    assert "plan:" not in ran.err and not Path(".etastar").exists(), "nothing was planned, trained or stored"


OPTIONS = {
    "a sampler": (["--sampler", "bayes"], ["sampler is 'bayes'", "grid, random, genetic, tpe, cmaes, gp"]),
    "a pruner": (["--pruner", "asha"], ["pruner is 'asha'", "none, median, hyperband"]),
    "no trials": (["--trials", "0"], ["trials is 0", ">= 1"]),
    "no seeds": (["--seeds", "0"], ["seeds is 0", ">= 1"]),
    "no batch": (["--batch", "0"], ["batch is 0", ">= 1"]),
    "no name": (["--study", " "], ["name is empty", "--study"]),
    "too few steps to prune": (["--steps", "5", "--pruner", "hyperband"], ["at least 18 steps", "--pruner none"]),
    "a grid with too few trials": (["--sampler", "grid", "--trials", "1"], ["at least 2 points", "raise --trials"]),
    "a storage of another kind": (["--study-storage", "ftp://x"], ["'ftp://x'", "sqlite:///study.db"]),
    "a storage that is a folder": (["--study-storage", "."], ["is a folder"]),
    "a storage under a file": (["--study-storage", "/dev/null/x.db"], ["cannot be written", "--study-storage"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), OPTIONS.values(), ids=OPTIONS.keys())
def test_a_bad_option(cli: Cli, arguments: list[str], fragments: list[str]) -> None:
    ran = cli(*SMALL, "--no-measure", *arguments)
    assert ran.code == 2
    assert all(fragment in ran.sentence for fragment in fragments), ran.sentence


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None], ids=["noise", "another program's"])
def test_a_study_storage_that_is_not_one_is_left_untouched(cli: Cli, content: bytes | None) -> None:
    import sqlite3

    path = Path("other.db")
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE recipe (id INTEGER)")
        connection.commit()
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    ran = cli(*SMALL, "--no-measure", "--study-storage", "other.db")
    assert ran.code == 2
    assert "left as it is" in ran.sentence
    assert path.read_bytes() == before


def test_without_optuna_it_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = cli(*SMALL)
    assert ran.code == 2
    assert "pip install 'etastar[search]'" in ran.sentence
    assert not list(Path().iterdir())
