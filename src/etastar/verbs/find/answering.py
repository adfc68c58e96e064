"""`answer_of`: what a session has found, as the answer of `find`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.find.judge import judge
from etastar.verbs.workplace import Session


def answer_of(
    session: Session,
    effort: str,
    best: BestRate,
    steps_to_start: int,
    seed: int,
    *,
    band: SuccessBand | None = None,
    end: SuccessBand | None = None,
    flags: Iterable[str] = (),
    **more: Any,
) -> FindAnswer:
    """The rate in use is judged against it.

    Args:
        flags: beside those of the best rate and of eta*.
        more: further fields of the answer.
    """
    facts, problem = session.facts, session.problem
    of_band = band.eta_star.flags if band else ()
    flags = (*of_band, *best.lr.flags, *flags)
    return FindAnswer(
        problem=problem.title,
        effort=effort,
        schedule=problem.schedule_name,
        steps=problem.steps,
        best=best,
        band=band,
        end=end,
        yours=judge(facts.lr, best, band, end, facts.said(facts.lr)) if facts.lr else None,
        facts=facts,
        steps_to_start=steps_to_start,
        made=session.made(seed, flags, full_run_seconds=facts.seconds_per_step * problem.steps),
        **more,
    )
