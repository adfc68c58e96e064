"""`etastar study`: the list, bad input, a time limit, a kill, and reruns that measure nothing."""

from __future__ import annotations

import json
import signal
import time
import uuid

import pytest

from cli_harness import told
from etastar.studies import STUDIES
from etastar.studies.run import study_named
from kill_harness import start
from processes import PATIENCE, wait_for_none


def rows(folder) -> list[dict]:
    """What the record holds, its last line perhaps unfinished."""
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def test_without_a_name_the_studies_are_listed(cli):
    ran = cli("study")
    assert ran.code == 0 and all(name in ran.out for name in STUDIES)
    listed = json.loads(cli("study", "--json", "-").out)
    assert [row["name"] for row in listed["studies"]] == list(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_whose_its_claims_are_and_decides_them_by_rule(name):
    study = study_named(name)
    assert study.name == name and "ours" in study.source
    names = [claim.name for claim in study.claims]
    assert len(names) == len(set(names)) >= 3
    for claim in study.claims:
        assert claim.statement.endswith(".") and claim.source and claim.region and claim.quantity
        assert "agrees if" in claim.rule.sentence() and "differs if" in claim.rule.sentence()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody2020nothing", "--out", "o"], "study is 'nobody2020nothing'; expected one of"),
        (["nobody2020nothing"], "study is 'nobody2020nothing'; expected one of"),
        (["iyer2023maximal"], "--out is missing; expected a folder"),
        (["iyer2023maximal", "--out", "o", "--effort", "heroic"], "effort is 'heroic'; expected one of quick, full"),
        (["iyer2023maximal", "--out", "o", "--data", "nowhere"], "the data folder nowhere is not there"),
        (["iyer2023maximal", "--out", "o", "--data", "empty"], "empty has no train-images-idx3-ubyte"),
        (["jelassi2023depth", "--out", "o", "--data", "empty"], "jelassi2023depth draws its own inputs; drop --data"),
        (
            ["jelassi2023depth", "--out", "o", "--problem", "letters"],
            "jelassi2023depth has no choice of problems; drop --problem",
        ),
        (["network_stability", "--out", "o"], "pass --data FOLDER with data_batch_1 .. 5"),
        (["network_stability", "--out", "o", "--data", "empty"], "empty has no data_batch_1"),
        (
            ["network_stability", "--out", "o", "--problem", "nosuch"],
            "problem is 'nosuch'; expected one of resnet18, letters",
        ),
        (["network_stability", "--out", "o", "--problem", "letters", "--data", "empty"], "empty holds no text"),
        (["jelassi2023depth", "--out", "file/o"], "--out file/o cannot be written"),
        (["jelassi2023depth", "--out", "notes"], "notes/results.jsonl, line 1, is not a row of a study"),
        (["jelassi2023depth", "--out", "o", "--max-seconds", "0"], "--max-seconds is 0.0; expected more than 0"),
        (["jelassi2023depth", "--out", "o", "--on", "ray", "--ray-address", "host:x"], "'host:x'"),
    ],
)
def test_bad_input_is_one_sentence(cli, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "results.jsonl").write_text("mine\n\n")
    ran = cli("study", *arguments)
    assert ran.code == 2 and said in ran.sentence


def test_a_truncated_data_file_is_named(cli, tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09" + bytes(4))
    ran = cli("study", "iyer2023maximal", "--out", "o", "--data", ".")
    assert ran.code == 2 and "train-images-idx3-ubyte is truncated: 12 bytes where 17 are expected" in ran.sentence
    assert not (tmp_path / "o").exists(), "nothing is written for data that cannot be read"


BOTH = [signal.SIGKILL, signal.SIGINT]


@pytest.mark.parametrize(
    "signals", [BOTH[:1], pytest.param(BOTH, marks=pytest.mark.slow)], ids=["killed", "and interrupted"]
)
def test_killed_cut_and_resumed_it_measures_everything_once(cli, tmp_path, signals):
    command = ("study", "jelassi2023depth", "--out", "o", "--effort", "quick")
    seen: list[dict] = []
    for how in signals:
        mark = uuid.uuid4().hex
        process = start(tmp_path, mark, *command)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and len(rows(tmp_path / "o")) < len(seen) + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be stopped"
        process.send_signal(how)
        _, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err and wait_for_none(mark) == []
        assert how is signal.SIGKILL or (process.returncode == 130 and "run the same command again to go on" in err)
        now = rows(tmp_path / "o")
        assert now[: len(seen)] == seen, "what was measured stays"
        seen = now
    assert not (tmp_path / "o" / "index.html").exists()

    cut = cli(*command, "--max-seconds", "1e-6", "--json", "-")
    assert cut.code == 1 and "the same command goes on" in cut.err
    answer = told(cut.out)
    assert (answer["complete"], answer["measured"]) == (False, len(seen)) and answer["cost"]["measured_now"] == 0
    assert "measurements are still missing" in (tmp_path / "o" / "index.html").read_text()

    done = cli(*command, "--json", "-")
    answer = told(done.out)
    assert done.code == 0 and answer["complete"] and answer["cost"]["measured_now"] == answer["planned"] - len(seen)
    full = rows(tmp_path / "o")
    assert full[: len(seen)] == seen and len(full) == answer["planned"]

    again = told(cli(*command, "--report", "page", "--json", "-").out)
    page = (tmp_path / "page" / "index.html").read_text()
    assert page == (tmp_path / "o" / "index.html").read_text(), "the page, where it was asked for, too"
    assert again["cost"]["measured_now"] == 0 and again["claims"] == answer["claims"] and rows(tmp_path / "o") == full
    readme = (tmp_path / "o" / "README.md").read_text()
    assert all(claim["name"] in readme and claim["verdict"] in readme for claim in answer["claims"])
    assert 'study = "jelassi2023depth"' in (tmp_path / "o" / "config.toml").read_text()


@pytest.mark.slow
def test_the_quick_study_of_eta_star_on_digits(cli, tmp_path):
    command = ("study", "iyer2023maximal", "--out", "o", "--effort", "quick", "--workers", "1", "--json", "-")
    answer = told(cli(*command).out)
    claims = {claim["name"]: claim for claim in answer["claims"]}
    assert claims["falls with size"]["verdict"] == "agrees" and claims["sharpness is linear"]["verdict"] == "agrees"
    again = json.loads(cli(*command).out)
    assert again["claims"] == answer["claims"] and again["cost"]["new_gradient_steps"] == again["cost"]["measured_now"] == 0
    (tmp_path / "o" / "results.jsonl").unlink()
    stored = json.loads(cli(*command).out)
    assert stored["cost"]["new_gradient_steps"] == 0, "every lane came from the store"
    assert stored["claims"] == answer["claims"]


@pytest.mark.slow
def test_the_quick_study_of_network_stability_cannot_tell_and_goes_on_without_its_states(cli, tmp_path):
    command = ("study", "network_stability", "--problem", "digits-mlp", "--effort", "quick", "--json", "-", "--out")
    answer = told(cli(*command, "o").out)
    assert answer["complete"] and not (tmp_path / "o" / "states").exists()
    verdicts = {claim["name"]: claim["verdict"] for claim in answer["claims"]}
    assert verdicts["an effect besides averaging"] == "cannot tell", "two seeds are too few"
    values = lambda answer: {n["name"]: n["estimate"]["value"] for n in answer["numbers"] if n["name"] != "steps spent"}
    spent = {n["name"]: n["estimate"]["value"] for n in answer["numbers"]}["steps spent"]
    assert spent <= 0.5 and (tmp_path / "o" / "rates.png").stat().st_size > 10_000

    lines = (tmp_path / "o" / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "results.jsonl").write_text("".join(lines[:5] + lines[20:]))
    again = told(cli(*command, "p").out)
    assert again["cost"]["measured_now"] == 15 and values(again) == values(answer), "what is gone is trained again, alike"
