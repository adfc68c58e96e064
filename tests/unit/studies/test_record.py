"""The record survives kills in the middle of a line, keeps rows of other settings, and refuses what is not its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from etastar.errors import ProblemError
from etastar.studies.record import StudyRecord, row_id


def test_rows_come_back_in_the_order_of_the_plan(tmp_path):
    first = StudyRecord(tmp_path / "out")
    a, b, other = ({"id": row_id(name), "value": value} for name, value in (("a", 1), ("b", 2), ("other", 3)))
    for row in (b, other, a):
        first.add(row)
    again = StudyRecord(tmp_path / "out")
    assert again.get(row_id("a")) == a and again.get(row_id("nothing")) is None
    again.finish([a, b], {"study": "x", "seed": 0}, {"cpus": 2}, "# x\n")
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [a, b, other]
    assert (tmp_path / "out" / "config.toml").read_text() == 'study = "x"\nseed = 0\n'
    assert json.loads((tmp_path / "out" / "environment.json").read_text()) == {"cpus": 2}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md", "config.toml", "environment.json", "results.jsonl"
    ]  # fmt: skip


def test_a_line_cut_by_a_kill_is_dropped_and_the_file_goes_on(tmp_path):
    record = StudyRecord(tmp_path)
    record.add({"id": "a"})
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"id": "b", "val')
    record = StudyRecord(tmp_path)
    assert record.get("a") == {"id": "a"} and record.get("b") is None
    record.add({"id": "c"})
    assert StudyRecord(tmp_path).get("c") == {"id": "c"}


def test_another_files_lines_are_left_alone(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("notes\nof mine\n")
    with pytest.raises(ProblemError, match=r"results\.jsonl, line 1, is not a row of a study; choose another --out"):
        StudyRecord(tmp_path)
    assert path.read_text() == "notes\nof mine\n"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProblemError, match=r"--out .*file/out cannot be written"):
        StudyRecord(tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProblemError, match="cannot be written"):
        StudyRecord(tmp_path)


def test_identity_depends_on_every_part():
    same = row_id("study", "1", "data", 0, {"depth": 2, "width": 3})
    assert same == row_id("study", "1", "data", 0, {"width": 3, "depth": 2})
    others = [("other", "1", "data", 0), ("study", "2", "data", 0), ("study", "1", None, 0), ("study", "1", "data", 1)]
    assert same not in {row_id(*parts, {"depth": 2, "width": 3}) for parts in others}
    assert same != row_id("study", "1", "data", 0, {"depth": 2, "width": 4})


def test_two_processes_do_not_share_a_folder_and_a_killed_one_frees_it(tmp_path):
    code = (
        "import sys, time; from etastar.studies.record import StudyRecord\n"
        "with StudyRecord(sys.argv[1]).alone(): print('in', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    record = StudyRecord(tmp_path)
    with pytest.raises(
        ProblemError, match=r"another process is running a study in .*; wait for it, or choose another --out"
    ):
        record.alone().__enter__()
    (tmp_path / "results.jsonl").write_text('{"id": "measured by the other"}\n')
    other.kill()
    other.communicate()
    with record.alone():
        assert record.get("measured by the other"), "read again once alone"
    with record.alone():
        pass
