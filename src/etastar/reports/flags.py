"""What the flags of an answer say, in sentences, and which of its words can be explained."""

from __future__ import annotations

from etastar.core.estimate import Estimate, Status
from etastar.core.flags import FLAGS
from etastar.core.lane import Runs
from etastar.core.monitor import REFUSED
from etastar.verbs.answer import Answer


def flag_sentences(flags: tuple[str, ...], runs: Runs | None = None) -> list[tuple[str, str]]:
    """(flag, its sentence); with `runs` what their first exception, or a monitor that read nothing, said."""
    first = {"raised": runs.raised[0].error} if runs is not None and runs.raised else {}
    refused = [r.block for outcome in runs or () for r in outcome.readings if r.name == REFUSED]
    if refused:
        first["monitor-refused"] = refused[0]
    said = lambda flag: f" The first: {first[flag]}." if flag in first else ""
    return [(flag, FLAGS[flag] + said(flag)) for flag in flags]


def codes_of(answer: Answer) -> tuple[str, ...]:
    """The words of an answer that `etastar explain` says more about: why it has no rate, and its flags."""
    lr = getattr(answer, "lr", None)
    refused = (lr.status.value,) if isinstance(lr, Estimate) and lr.status is not Status.OK else ()
    return (*refused, *(flag for flag in answer.flags if flag not in refused))
