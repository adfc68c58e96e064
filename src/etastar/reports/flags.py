"""What the flags of an answer say, in sentences."""

from __future__ import annotations

from etastar.core.estimate import FLAGS
from etastar.core.lane import Runs


def flag_sentences(flags: tuple[str, ...], runs: Runs | None = None) -> list[tuple[str, str]]:
    """(flag, its sentence); with `runs` what their first exception said."""
    first = runs.raised[0].error if runs is not None and runs.raised else None
    said = lambda flag: f" The first: {first}." if first and flag == "raised" else ""
    return [(flag, FLAGS[flag] + said(flag)) for flag in flags]
