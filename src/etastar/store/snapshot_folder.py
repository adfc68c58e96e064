"""`SnapshotFolder`: long lanes that were killed, or are to be longer, need not begin again; its size is bounded."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from etastar.core.lane import Lane
from etastar.core.randomness import derive_seed
from etastar.core.snapshot import Snapshot, described
from etastar.errors import ProblemError
from etastar.policies.compose import squeezed
from etastar.policies.policy import Every, Policy
from etastar.policies.trunk import chain_of
from etastar.store.lane_key import code_of

EVERY = 30.0
"""Seconds of training after which lanes under way are kept: what a killed run loses is at most this and one stride."""
LARGEST = 2 * 2**30
"""Bytes on the shelf; the snapshots used least recently go first. Without one a trunk is trained again."""

HALF = 3600.0
"""Seconds after which a file half written is one of a process that was killed: writing 2 GiB takes a minute."""


@dataclass(frozen=True)
class SnapshotFolder:
    """Snapshots of the lanes of one problem by one engine.

    Args:
        folder: where they lie, with those of other problems.
        title: of problem and engine; lanes of another title are others.
        every: seconds of training between two looks at what is worth keeping.
        largest: bytes in the folder at most.
    """

    folder: Path
    title: str
    every: float = EVERY
    largest: int = LARGEST

    def find(self, lane: Lane, until: int | None = None) -> Snapshot | None:
        """See `core.training.Shelf`."""
        if not self.folder.is_dir():
            return None
        for policy, end in reversed(chain_of(_bare(lane).policy, lane.steps)):
            own = replace(lane, policy=policy)
            last = min(end, lane.steps - 1, lane.steps if until is None else until)
            for step in sorted(step for step in self._steps(own) if step <= last)[::-1]:
                with suppress(ProblemError, OSError):  # of another version, or gone: it is trained again
                    path = self._path(own, step)
                    found = Snapshot.load(path, own)
                    if _watched(found) >= _reads(lane.policy):
                        with suppress(OSError):  # it may be read and not written
                            os.utime(path)
                        return found
        return None

    def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """See `core.training.Shelf`: instead of earlier ones of lanes that nobody else goes on from."""
        try:
            self._keep(snapshots)
        except Exception as error:  # whatever torch, pickle and the disk make of it: a run never ends here
            why = getattr(error, "strerror", None) or type(error).__name__  # the same each time: Python says it once
            warnings.warn(
                f"lanes under way cannot be kept in {self.folder} ({why}): training goes on, and would begin again if it "
                "were killed; expected a folder with room that may be written, and policies whose states are numbers",
                stacklevel=2,
            )

    def _keep(self, snapshots: Sequence[Snapshot]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for snapshot in snapshots:
            lane = _bare(snapshot.lane)
            snapshot.as_lane(lane).save(self._path(lane, snapshot.step))
            if not _lasts(lane):
                self._forget(lane, but=snapshot.step)
        self._make_room()

    def drop(self, lanes: Iterable[Lane]) -> None:
        """Forget lanes that are stored: nobody goes on from one, unless its policy is the same over more steps."""
        for lane in lanes if self.folder.is_dir() else ():
            if not _lasts(lane):
                with suppress(OSError):  # of a folder that may not be written, they stay
                    self._forget(lane)

    def _forget(self, lane: Lane, but: int | None = None) -> None:
        for step in self._steps(lane):
            if step != but:
                self._path(lane, step).unlink(missing_ok=True)

    def _steps(self, lane: Lane) -> list[int]:
        return [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"{self._key(lane)}-*.pt")]

    def _key(self, lane: Lane) -> str:
        return f"{derive_seed(self.title, described(lane), str(code_of(lane.policy))):016x}"

    def _path(self, lane: Lane, step: int) -> Path:
        return self.folder / f"{self._key(lane)}-{step}.pt"

    def _make_room(self) -> None:
        for half in self.folder.glob(".*.pt.*"):
            with suppress(FileNotFoundError):
                if time.time() - half.stat().st_mtime > HALF:
                    half.unlink()
        files = []
        for path in self.folder.glob("*.pt"):
            with suppress(FileNotFoundError):  # another process made room
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.largest:
                return
            path.unlink(missing_ok=True)
            total -= size


def _bare(lane: Lane) -> Lane:
    """The lane without what its policy watches for others only."""
    return replace(lane, policy=getattr(lane.policy, "bare", lane.policy))


def _reads(policy: Policy) -> set[tuple[str, int]]:
    return {(read.signal, read.steps) if isinstance(read, Every) else (read, 1) for read in policy.reads}


def _watched(snapshot: Snapshot) -> set[tuple[str, int]]:
    return {(name, every) for name, every, _ in snapshot.steering["signals"]["last"]}


def _lasts(lane: Lane) -> bool:
    """Whether a longer lane goes on as this one does: the policy has no horizon."""
    return squeezed(lane.policy, lane.steps + 1) == lane.policy
