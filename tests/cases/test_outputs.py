"""Places that cannot be used are refused before the user's file is imported; answers reach the screen before files."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli_harness import HEADER, Ran, run_here
from etastar import Options, ProblemError, StoreError, find, search
from etastar.cli.outputs import write_json
from etastar.problems import builder
from processes import PATIENCE

READS = "import pathlib\npathlib.Path('read').touch()\n"
LONG = "n" * 300
QUICK = ("--effort", "glance", "--engine", "loop", "--store", "runs.db")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a problem that leaves a trace when it is imported, and what stands in the way of outputs."""
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("user", None)
    Path("user.py").write_text(HEADER + READS + "p = flat()\ndef family(width):\n    return flat()\n")
    os.mkfifo("pipe")
    Path("file").write_text("mine")
    Path("folder").mkdir()
    Path("page/loss.svg").mkdir(parents=True)
    Path("page2/index.html").mkdir(parents=True)
    Path("broken.db").write_bytes(b"SQLite format 3\0" + b"\7" * 5000)


def refused(ran: Ran, *fragments: str) -> None:
    assert (ran.code, ran.out) == (2, ""), ran
    for fragment in fragments:
        assert fragment in ran.sentence
    assert not Path("read").exists(), "the user's file was imported first"


PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "JSON without a name": (("--json", ""), "--json is empty"),
    "JSON in a pipe": (("--json", "pipe"), "named pipe"),
    "JSON in a folder": (("--json", "folder"), "Is a directory"),
    "JSON with a long name": (("--json", LONG), "File name too long"),
    "JSON under a file": (("--json", "file/a.json"), "Not a directory"),
    "JSON in a folder that is not there": (("--json", "nosuch/a.json"), "No such file or directory"),
    "a report in a file": (("--report", "file"), "File exists"),
    "a report under a file": (("--report", "file/page"), "Not a directory"),
    "a report in a pipe": (("--report", "pipe"), "File exists"),
    "a report with a long name": (("--report", LONG), "File name too long"),
    "a report whose chart is a folder": (("--report", "page"), "loss.svg there is a folder"),
    "a report whose page is a folder": (("--report", "page2"), "index.html there is a folder"),
    "a store in a folder": (("--store", "folder"), "is a folder"),
    "a store that is corrupt": (("--store", "broken.db"), "left as it is"),
    "a store of something else": (("--store", "file"), "left as it is"),
    "a store in a pipe": (("--store", "pipe"), "is a pipe or a device"),
    "a store on a device": (("--store", "/dev/zero"), "is a pipe or a device"),
    "a store with a long name": (("--store", LONG), "File name too long"),
    "a store under a file": (("--store", "file/runs.db"), "its folder is a file"),
    "a store on a server that is away": (("--store", "postgresql://127.0.0.1:1/x"), "cannot be used"),
    "a store of another kind": (("--store", "mysql://h/x"), "'mysql'"),
}


@pytest.mark.parametrize(("arguments", "says"), PLACES.values(), ids=PLACES.keys())
def test_find_refuses_before_it_reads(arguments: tuple[str, ...], says: str) -> None:
    before = sorted(os.listdir())
    refused(run_here("find", "user.py:p", "--effort", "glance", *arguments), says)
    assert sorted(os.listdir()) == before, "nothing is left behind"


VERBS = {
    "surface": ("surface", "user.py:p"),
    "sensitivity": ("sensitivity", "user.py:p"),
    "momentum": ("momentum", "user.py:p"),
    "search": ("search", "user.py:p", "--trials", "2"),
    "scale": ("scale", "user.py:family", "--width", "2,4,8", "--to", "width=16"),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
@pytest.mark.parametrize("place", ["a store that is corrupt", "JSON in a pipe", "a report under a file"])
def test_every_verb_does(verb: tuple[str, ...], place: str) -> None:
    arguments, says = PLACES[place]
    refused(run_here(*verb, *arguments), says)


@pytest.mark.parametrize("verb", [("doctor", "user.py:p"), ("probe", "user.py:p"), ("predict", "user.py:p")])
def test_and_those_without_a_store(verb: tuple[str, ...]) -> None:
    refused(run_here(*verb, "--json", "pipe"), "named pipe")


def test_a_study_refuses_before_it_reads_its_data() -> None:
    for arguments, says in ((("--out", "file"), "--out file"), (("--out", "o", "--store", "folder"), "is a folder")):
        ran = run_here("study", "iyer2023maximal", "--data", "nosuch", *arguments)
        assert (ran.code, says in ran.sentence) == (2, True), ran
    assert not Path("o").exists()


STORAGES = {
    "a folder": ("folder", "is a folder"),
    "a pipe": ("pipe", "is a pipe or a device"),
    "corrupt": ("broken.db", "left as it is"),
    "a long name": (LONG, "File name too long"),
    "under a file": ("file/o.db", "its folder is a file"),
    "a server that is away": ("postgresql+psycopg://u:s3cret@127.0.0.1:1/x", "u:***@127.0.0.1:1/x cannot be reached"),
    "a driver that is not there": ("mysql+pymysql://u:s3cret@127.0.0.1:1/x", "u:***@127.0.0.1:1/x needs a driver"),
    "a URL that is none": ("postgresql+psycopg://u:s3cret@h:port/x", "u:***@h:port/x cannot be reached"),
    "another kind": ("redis://u:s3cret@h/x", "u:***@h/x"),
}


@pytest.mark.parametrize(("storage", "says"), STORAGES.values(), ids=STORAGES.keys())
def test_the_place_of_a_study_is_looked_at_first(storage: str, says: str) -> None:
    pytest.importorskip("optuna")
    ran = run_here("search", "user.py:p", "--trials", "2", "--study-storage", storage)
    refused(ran, says, "study storage")
    assert "s3cret" not in ran.err


def test_python_is_refused_as_early() -> None:
    def train() -> Any:
        raise AssertionError("the model was built first")

    problem = builder("quadratic")(steps=20).but(model=train)
    with pytest.raises(StoreError, match="is a folder"):
        find(problem, effort="glance", options=Options(store="folder"))
    pytest.importorskip("optuna")
    with pytest.raises(StoreError, match="its folder is a file"):
        search(problem, trials=1, study_storage="file/o.db", options=Options(store=":memory:"))


def test_looking_at_a_store_makes_nothing_and_a_bad_problem_leaves_nothing() -> None:
    ran = run_here("find", "user.py:nosuch", "--store", "new/runs.db", "--json", "a.json", "--report", "new-page")
    assert ran.code == 2
    assert not Path("new").exists() and not Path("a.json").exists() and not Path("new-page").exists()


# -- the verdict comes first -------------------------------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 64 bytes."""
    import signal

    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_answer_on_the_screen_and_the_old_file_as_it_was() -> None:
    for target, before in (("a.json", None), ("old.json", '{"old": 1}')):
        if before:
            Path(target).write_text(before)
        with full_disk():
            ran = run_here("problems", "--json", target)
        assert ran.code == 2
        assert "digits-mlp" in ran.out
        assert f"--json {target} cannot be written (File too large)" in ran.sentence
        assert (Path(target).read_text() if Path(target).exists() else None) == before
    assert not list(Path().glob(".etastar*")), "no half of a file is left"


def test_the_report_is_written_even_if_the_json_is_not() -> None:
    Path("user.py").write_text(HEADER + "import os\np = flat(label='x')\nif os.path.exists('go'): os.mkdir('a.json')\n")
    Path("go").touch()
    ran = run_here("find", "user.py:p", *QUICK, "--json", "a.json", "--report", "new-page")
    assert ran.code == 2
    assert ran.out.startswith("x: ") and Path("new-page/index.html").exists()
    assert "--json a.json cannot be written (Is a directory)" in ran.sentence


@pytest.mark.parametrize("json_to", ["new/page/a.json", "new/page/../a.json"])
def test_a_json_in_a_folder_that_is_made_for_the_report(json_to: str) -> None:
    """`make demo` on a fresh machine."""
    Path("user.py").write_text(HEADER + "p = flat(label='x')\n")
    ran = run_here("find", "user.py:p", *QUICK, "--json", json_to, "--report", "new/page")
    assert json.loads(Path(json_to).read_text())["command"] == "find"
    assert ran.code != 2 and Path("new/page/index.html").exists()


@pytest.mark.parametrize("json_to", ["a.json", "-"])
def test_standard_output_that_is_full(json_to: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from etastar.cli.main import main; main()", "problems", "--json", json_to],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "etastar: standard output cannot be written (No space left on device); redirect it elsewhere"
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert json_to == "-" or json.loads(Path(json_to).read_text())["command"] == "problems"


def test_nobody_reads_the_verdict_and_the_json_is_written() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-c", "from etastar.cli.main import main; main()", "problems", "--json", "a.json"],
        stdout=writes, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
    )  # fmt: skip
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(Path("a.json").read_text())["command"] == "problems"


PRINTS = """
import os
class Loud(nn.Linear):
    def forward(self, z):
        print("hi")
        if ALSO: os.write(1, b"raw")
        return super().forward(z)
p = problem(model=lambda: Loud(4, 2), name=print("imported"))
"""


@pytest.mark.parametrize("verb", ["find", "doctor", "probe"])
def test_what_the_users_code_prints_is_no_part_of_the_json(verb: str) -> None:
    Path("loud.py").write_text(HEADER + PRINTS.replace("ALSO", "False"))
    options = ("--effort", "glance", "--store", ":memory:") if verb == "find" else ()
    ran = run_here(verb, "loud.py:p", *options, "--json", "-")
    assert json.loads(ran.out)["command"] == verb
    assert "imported" in ran.err and "hi" in ran.err
    sys.modules.pop("loud", None)
    assert "hi" in run_here(verb, "loud.py:p", *options).out, "it is theirs, and stays where it was without JSON there"


def test_nor_is_what_other_processes_print() -> None:
    Path("loud.py").write_text(HEADER + PRINTS.replace("ALSO", "True"))
    command = "from etastar.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "find", "loud.py:p", "--effort", "glance", "--engine", "loop", "--workers", "2",
         "--store", ":memory:", "--json", "-"],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["command"] == "find" and "raw" in done.stderr


def test_standard_output_that_is_closed() -> None:
    command = f"{sys.executable} -c 'from etastar.cli.main import main; main()' problems --json - >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    sentence = "--json - cannot be written (standard output is closed); pass a file, e.g. --json answer.json"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"etastar: {sentence}\n")


# -- how a file is written ---------------------------------------------------------------------------------------------


def test_a_link_stays_a_link_and_the_rights_stay_as_they_were() -> None:
    Path("real.json").write_text("old")
    Path("real.json").chmod(0o640)
    Path("link.json").symlink_to("real.json")
    write_json("link.json", {"a": 1})
    assert Path("link.json").is_symlink() and json.loads(Path("real.json").read_text()) == {"a": 1}
    assert Path("real.json").stat().st_mode & 0o777 == 0o640


def test_a_pipe_of_the_shell_is_written_to() -> None:
    """What >(command) and /dev/stdout are: a pipe without a name."""
    reads, writes = os.pipe()
    got: list[str] = []

    def read() -> None:
        with os.fdopen(reads) as pipe:
            got.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    assert run_here("problems", "--json", f"/dev/fd/{writes}").code == 0
    os.close(writes)
    reader.join(timeout=PATIENCE)
    assert json.loads(got[0])["command"] == "problems"


def test_a_device_is_written_to_as_it_is() -> None:
    write_json("/dev/null", {"a": 1})
    with pytest.raises(ProblemError, match=r"--json /dev/full cannot be written \(No space left on device\)"):
        write_json("/dev/full", {"a": 1})
    assert not Path("/dev/null").is_file()
