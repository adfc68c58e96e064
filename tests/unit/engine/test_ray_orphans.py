"""Ray's processes that write to a dead cluster's folder are ended; readers, other drivers and other folders are not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from etastar.engine.ray import orphans as ray_orphans
from etastar.engine.ray.orphans import OrphanWatch, end_writers, writers
from processes import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def holding(path, mode, name="ray::Agent"):
    named = f"open('/proc/self/comm', 'w').write({name!r})"
    code = f"import time; {named}; file = open({str(path)!r}, {mode!r}); print('open', flush=True); time.sleep(3600)"
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


@pytest.fixture
def four(tmp_path):
    """Ray's writer of the session's logs; a reader, a writer of a folder whose name begins alike, another driver."""
    log, other = tmp_path / "session" / "logs" / "raylet.out", tmp_path / "session_2" / "raylet.out"
    for path in (log, other):
        path.parent.mkdir(parents=True)
        path.touch()
    processes = [holding(log, "a"), holding(log, "r"), holding(other, "a"), holding(log, "a", "python3")]
    yield tmp_path / "session", processes
    for process in processes:
        process.kill()
        process.communicate()


def test_only_rays_writers_are_ended(four, monkeypatch):
    folder, (writer, *others) = four
    assert set(writers(folder)) == {writer.pid, others[-1].pid}
    monkeypatch.setattr(ray_orphans, "AT_MOST", 2.0)
    end_writers(folder)
    assert writer.wait(PATIENCE) == -9 and [other.poll() for other in others] == [None] * 3


def test_the_watch_acts_when_its_process_ends_and_not_before(four):
    folder, (writer, *others) = four
    code = f"from etastar.engine.ray.orphans import OrphanWatch; watch = OrphanWatch({str(folder)!r}); input()"
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(2)
    driver.communicate(b"\n")
    assert writer.wait(PATIENCE) == -9 and [other.poll() for other in others] == [None] * 3


def test_a_watch_that_is_ended_ends_nothing(four):
    folder, (writer, *_) = four
    watch = OrphanWatch(str(folder))
    watch.end()
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(2)
