"""What writes to a dead cluster's folder is ended; what reads there, and what belongs elsewhere, is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from etastar.engine.ray_orphans import OrphanWatch, end_writers, writers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def holding(path, mode):
    code = f"import time; file = open({str(path)!r}, {mode!r}); print('open', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


@pytest.fixture
def three(tmp_path):
    """A writer and a reader of the session's logs, and a writer of a folder whose name begins alike."""
    log, other = tmp_path / "session" / "logs" / "raylet.out", tmp_path / "session_2" / "raylet.out"
    for path in (log, other):
        path.parent.mkdir(parents=True)
        path.touch()
    processes = [holding(log, "a"), holding(log, "r"), holding(other, "a")]
    yield tmp_path / "session", processes
    for process in processes:
        process.kill()
        process.communicate()


def test_only_writers_are_ended(three):
    folder, (writer, reader, stranger) = three
    assert writers(folder) == [writer.pid]
    end_writers(folder)
    assert writer.wait(5) == -9 and reader.poll() is stranger.poll() is None


def test_the_watch_acts_when_its_process_ends_and_not_before(three):
    folder, (writer, reader, stranger) = three
    code = f"from etastar.engine.ray_orphans import OrphanWatch; watch = OrphanWatch({str(folder)!r}); input()"
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(2)
    driver.communicate(b"\n")
    assert writer.wait(10) == -9 and reader.poll() is stranger.poll() is None


def test_a_watch_that_is_ended_ends_nothing(three):
    folder, (writer, *_) = three
    watch = OrphanWatch(str(folder))
    watch.end()
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(2)
