"""What the flags of an answer say, in sentences."""

from __future__ import annotations

from etastar.core.estimate import FLAGS
from etastar.core.lane import Runs
from etastar.core.monitor import REFUSED


def flag_sentences(flags: tuple[str, ...], runs: Runs | None = None) -> list[tuple[str, str]]:
    """(flag, its sentence); with `runs` what their first exception, or a monitor that read nothing, said."""
    first = {"raised": runs.raised[0].error} if runs is not None and runs.raised else {}
    refused = [r.block for outcome in runs or () for r in outcome.readings if r.name == REFUSED]
    if refused:
        first["monitor-refused"] = refused[0]
    said = lambda flag: f" The first: {first[flag]}." if flag in first else ""
    return [(flag, FLAGS[flag] + said(flag)) for flag in flags]
