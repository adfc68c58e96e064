"""Ends what a killed driver leaves of the Ray cluster it started, within seconds.

Ray's own processes end with their parents, but for its agents: they try for a minute to report the death of their node to a
head that is dead too. A small process waits for the driver's end and kills those of Ray's processes that then still write to
the cluster's folder. Another driver that was connected to the cluster writes there, too, and is left alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROC = Path("/proc")
GRACE, AT_MOST = 1.0, 15.0
"""Seconds in which they may end by themselves, and in which the rest are killed."""
TITLE = "ray::"
"""How the names of Ray's agents and workers begin; head and raylet end with the driver."""


class OrphanWatch:
    """Waits in a process of its own for the end of this one; `end` it once the cluster is shut down as it should be.

    Does nothing where there is no /proc: Ray's minute it is.

    Args:
        folder: the cluster's session folder, where all its processes keep their logs.
    """

    def __init__(self, folder: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if (PROC / "self/fdinfo").exists():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, folder],
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the driver
            )

    def end(self) -> None:
        """Stop waiting; nothing is killed."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def writers(folder: Path) -> list[int]:
    """Processes with a file under the folder open for writing: not those that only read a log there."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _writes(entry, folder)]


def _writes(process: Path, folder: Path) -> bool:
    try:
        files = list((process / "fd").iterdir())
    except OSError:  # it has ended, or is another user's
        return False
    return any(_is_written(process / "fdinfo" / file.name, file, folder) for file in files)


def _is_written(info: Path, file: Path, folder: Path) -> bool:
    try:
        if not Path(os.readlink(file)).is_relative_to(folder):
            return False
        flags = next(line.split()[1] for line in info.read_text().splitlines() if line.startswith("flags:"))
    except OSError:  # closed meanwhile
        return False
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def end_writers(folder: Path) -> None:
    """Wait `GRACE` for them to end, then kill Ray's; until none is left, or `AT_MOST`."""
    begun = time.monotonic()
    while (left := writers(folder)) and (waited := time.monotonic() - begun) < AT_MOST:
        for pid in left if waited > GRACE else []:
            try:
                if (PROC / str(pid) / "comm").read_text().startswith(TITLE):
                    os.kill(pid, signal.SIGKILL)
            except OSError:  # it has ended
                continue
        time.sleep(0.1)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_writers(Path(sys.argv[1]).resolve())  # as links in /proc are
