"""TensorBoard event files: every scalar of a file, or of all files of a folder."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from etastar.errors import MissingExtra, ProblemError
from etastar.verbs.forecast.readers.log import Frame, Log, Reader

MARK = "tfevents"


def _recognises(path: Path, head: str) -> bool:
    return MARK in path.name or (os.path.isdir(path) and any(path.rglob(f"*{MARK}*")))


def read(path: Path) -> Log:
    """One column for each tag, named by its folder, too, where several hold it.

    Steps that a restart purged are not in it, none of the others is sampled away.

    Raises:
        MissingExtra: tensorboard is not installed.
        ProblemError: no scalars.
    """
    import pandas as pd

    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore
    except ImportError:
        raise MissingExtra(
            f"reading {str(path)!r} needs TensorBoard; pip install tensorboard, or export it as CSV"
        ) from None
    folders = sorted({p.parent for p in path.rglob(f"*{MARK}*")}) if path.is_dir() else [path]
    events = {folder: EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload() for folder in folders}
    tags = [(folder, tag) for folder in folders for tag in events[folder].Tags()["scalars"]]
    times = Counter(tag for _, tag in tags)
    columns: list[Frame] = []
    for folder, tag in tags:
        scalars = events[folder].Scalars(tag)
        name = tag if times[tag] == 1 else f"{folder.relative_to(path).as_posix()}/{tag}"
        column: Frame = pd.Series([s.value for s in scalars], index=[s.step for s in scalars], name=name)
        columns.append(column[~column.index.duplicated(keep="last")])
    if not columns:
        raise ProblemError(f"the event files of {str(path)!r} hold no scalars; log the loss with add_scalar")
    frame = pd.concat(columns, axis=1).sort_index().rename_axis("step").reset_index()
    return Log(frame, "TensorBoard's events")


READER = Reader("TensorBoard's events", _recognises, read)
