"""Policies that another distribution offers by name: used as ours are, and refused in a sentence."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from cli_harness import run_here
from etastar import ProblemError
from etastar.policies.named import policy_over
from etastar.policies.policy import Policy, rates_over
from third_party.install import HALVING, install


@pytest.fixture
def halving(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(HALVING, tmp_path / "site"))
    yield
    sys.modules.pop("halving_policy", None)


def offers(folder: Path, monkeypatch, name: str, code: str, entries: str) -> None:
    """Install a distribution of one module, whose entry points are `entries`."""
    source = folder / f"source-{name}"
    source.mkdir()
    (source / f"{name}.py").write_text(code)
    (source / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.3"\n[project.entry-points."etastar.policies"]\n{entries}\n'
    )
    monkeypatch.syspath_prepend(install(source, folder / name))


def rates(schedule: str, steps: int) -> list[float]:
    return list(rates_over(policy_over(schedule, steps), 1.0, steps))


@pytest.mark.usefixtures("halving")
def test_a_name_of_another_distribution_is_a_schedule_like_ours():
    assert isinstance(policy_over("halving", 8), Policy)
    assert rates("halving", 8) == [1.0] * 4 + [0.5] * 4
    assert rates("halving:at=0.25", 8) == [1.0] * 2 + [0.5] * 6
    assert rates("by-thirds:share=2", 9) == [1.0] * 6 + [0.5] * 3
    assert rates("constant@0.75>halving", 16) == [1.0] * 14 + [0.5] * 2
    assert rates("halving:at=0.5@0.5>linear", 8) == [1.0] * 2 + [0.5] * 2 + [1.0, 0.75, 0.5, 0.25]


@pytest.mark.usefixtures("halving")
@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("halfing", "schedule is 'halfing'; expected one of constant, linear, .*wsd, .*, by-thirds, halving, a Policy"),
        ("halving:when=0.5", "'halving' of etastar-halving 1.2 has no setting 'when'; expected settings of at, steps"),
        ("by-thirds", "'by-thirds' of etastar-halving 1.2 needs share; expected settings of share"),
        ("halving:at=3", r"'halving' of etastar-halving 1.2 cannot be made: ValueError: at is 3"),
        ("halving:at", "expected settings NAME=VALUE"),
        ("halving:at=0.5,at=0.6", "gives at twice"),
        ("halving:", "expected settings after the colon"),
    ],
)
def test_what_cannot_be_made_of_a_name_is_a_sentence(schedule, words):
    with pytest.raises(ProblemError, match=words):
        policy_over(schedule, 100)


BROKEN = {
    "gone": ("", "p = 'broken:Nothing'", "'p' of broken 0.3 cannot be loaded: AttributeError: .*Nothing"),
    "raises": ("1 / 0", "p = 'broken:P'", "'p' of broken 0.3 cannot be loaded: ZeroDivisionError: division by zero"),
    "no function": ("P = 3", "p = 'broken:P'", "'p' of broken 0.3 is 3; expected a class or a function that makes a policy"),
    "no policy": ("P = lambda: 3", "p = 'broken:P'", "'p' of broken 0.3 is 3; expected a policy: reads, init"),
    "no hash": (
        "class P:\n    reads, init, step, __hash__ = (), print, print, None",
        "p = 'broken:P'",
        r"has no hash; expected one that cannot change: @dataclass\(frozen=True\)",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_entry_point_is_named_with_its_distribution(kind, tmp_path, monkeypatch):
    code, entries, words = BROKEN[kind]
    offers(tmp_path, monkeypatch, "broken", code, entries)
    try:
        with pytest.raises(ProblemError, match=words):
            policy_over("p", 100)
    finally:
        sys.modules.pop("broken", None)


@pytest.mark.usefixtures("halving")
def test_ours_wins_over_a_name_that_clashes_and_says_so(tmp_path, monkeypatch):
    offers(tmp_path, monkeypatch, "clashing", "P = 3", "cosine = 'clashing:P'\nhalving = 'clashing:P'")
    with pytest.warns(UserWarning, match="'cosine' is etastar's own, not the one of clashing 0.3"):
        assert repr(policy_over("cosine", 9)).startswith("Schedule(")
    with pytest.raises(ProblemError, match=r"'halving' is offered by clashing 0.3 and etastar-halving 1.2; .*uninstall"):
        policy_over("halving", 9)


@pytest.mark.usefixtures("halving")
def test_the_command_line_trains_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schedule = ("--schedule", "constant@0.5>halving", "--effort", "glance")
    ran = run_here("find", "digits-mlp", *schedule, "--json", "-", "--store", "runs.db")
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out)
    assert answer["schedule"] == "constant@0.5>halving" and answer["lr"]["value"] > 0
    lanes: dict[str, list[tuple[int, float]]] = {}
    with sqlite3.connect(tmp_path / "runs.db") as store:
        for key, step, lr in store.execute("select run_key, step, lr from step order by run_key, step"):
            lanes.setdefault(key, []).append((step, lr))
        ran_whole = dict(store.execute("select key, steps from run where until = 'end'"))
    whole = [key for key, steps in ran_whole.items() if steps == max(ran_whole.values())]
    assert whole
    for key in whole:
        at = 0.75 * ran_whole[key]
        assert {lr / lanes[key][0][1] for step, lr in lanes[key] if step >= at} == {0.5}
        assert {lr / lanes[key][0][1] for step, lr in lanes[key] if step < at - 1} == {1.0}
