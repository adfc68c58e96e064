"""Five stops on one small network: predict, find, compare, forecast, watch; each is held to what comes after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar.core.problem import Problem
from etastar.problems.digits import digits_stream
from etastar.reports.kinds import kind_of
from etastar.reports.parts import Page
from etastar.tour.pages import watch_page
from etastar.tour.runs import WatchedRun, logged, watched
from etastar.verbs.compare.compare import compare
from etastar.verbs.compare.compare_answer import CompareAnswer
from etastar.verbs.find.find import find
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.forecast.forecast import forecast
from etastar.verbs.forecast.forecast_answer import ForecastAnswer
from etastar.verbs.options import Options
from etastar.verbs.predict.predict import PredictAnswer, predict
from etastar.verbs.workplace import Workplace

POLICIES, TRAININGS = ("linear", "wsd", "constant"), 12
LOGGED, ASKED = "wsd:decay=0.5", "cosine"
"""The schedule of the run whose log is read, and the one that is forecast from it and trained afterwards."""
TOO_FAR, RISES, WATCHED_STEPS = 40, "wsd:warmup=0.5,decay=0.2", 600
"""Times the recommended rate, by a warm-up that anyone may write: the network stops learning two thirds of the way up."""
STOPS = ("predict", "find", "compare", "forecast", "watch")


@dataclass(frozen=True)
class Stop:
    """One verb, asked.

    Args:
        verb: its name.
        command: what to type for it.
        question: that it answers.
        found: its verdict in a line.
        held: what a later measurement, or an earlier one, says of it; "" where nothing does.
        answer: what it returned; of `watch` the two runs.
        seconds: that it took.
    """

    verb: str
    command: str
    question: str
    found: str
    held: str
    answer: Any
    seconds: float

    @property
    def page(self) -> Page:
        """What its page shows."""
        return watch_page(*self.answer) if self.verb == "watch" else kind_of(self.answer).page(self.answer)


def tour(folder: Path, *, seed: int | None = None, options: Options | None = None) -> Iterator[Stop]:
    """The stops, one after the other; it ends after `find` where that has no rate.

    Args:
        folder: where the log of the run that is forecast from is written.
        seed, options: as the verbs take them.
    """
    with Workplace(options or Options()):
        pass  # no cluster, no store: said before anything else is
    problem = digits_stream()
    asked: dict[str, Any] = {"seed": seed, "options": options}
    began = time.monotonic()

    def stop(verb: str, command: str, question: str, found: str, held: str, answer: Any) -> Stop:
        nonlocal began
        before, began = began, time.monotonic()
        return Stop(verb, command, question, found, held, answer, began - before)

    said = predict(problem, seed=seed)
    name = problem.title
    yield stop("predict", f"etastar predict {name}", "Where to start, before anything is trained?", said.summary, "", said)
    best = find(problem, effort="thorough", **asked)
    question = "Which rate, and is mine any good?"
    yield stop("find", f"etastar find {name}", question, best.summary, predicted(said, best), best)
    if best.lr.value is None:
        return
    policies = compare(problem, POLICIES, budget=TRAININGS, **asked)
    command = f"etastar compare {name} --policies {','.join(POLICIES)} --budget {TRAININGS}"
    yield stop("compare", command, "Which schedule?", policies.summary, peaked(best, policies), policies)
    yield stop("forecast", *_forecast(problem, best.lr.value, folder))
    yield stop("watch", *_watch(problem, best.lr.value))


def predicted(said: PredictAnswer, best: FindAnswer) -> str:
    """What was predicted, against what was measured."""
    told = []
    if said.lr.value and best.lr.value:
        told.append(f"predict's start, {said.lr.value:.2g}, is {said.lr.value / best.lr.value:.2g} x the rate found")
    expected, measured = said.eta_star, best.eta_star
    if expected.low and expected.high and measured.value:
        where = "in" if expected.low <= measured.value <= expected.high else "outside of"
        told.append(f"eta*, {measured.value:.2g}, lies {where} the {expected.low:.2g} .. {expected.high:.2g} it expected")
    return "; ".join(told)


def peaked(best: FindAnswer, policies: CompareAnswer) -> str:
    """The rate that `find` recommends for a constant one, against the peak of `compare`'s own search."""
    own = next((row.peak for row in policies.compared if row.name == "constant"), None)
    if own is None or best.lr.value is None or best.lr.low is None or best.lr.high is None:
        return ""
    where = "in" if best.lr.low <= own <= best.lr.high else "outside of"
    return f"its own search puts the peak of a constant rate at {own:.2g}, {where} find's interval"


def forecast_held(answer: ForecastAnswer, trained: float) -> str:
    """What was forecast, against the run trained afterwards."""
    end = answer.asked.end if answer.asked else None
    if end is None or end.low is None or end.high is None:
        return f"trained afterwards: {trained:.3g}"
    return f"trained afterwards: {trained:.3g}, {'in' if end.low <= trained <= end.high else 'outside of'} the interval"


def _forecast(problem: Problem, lr: float, folder: Path) -> tuple[str, str, str, str, ForecastAnswer]:
    log = folder / "run.jsonl"
    log.unlink(missing_ok=True)
    logged(problem, LOGGED, lr, log)
    answer = forecast(log, schedule=ASKED, steps=problem.steps, loss="valid_loss")
    held = forecast_held(answer, logged(problem, ASKED, lr))
    command = f"etastar forecast {log} --schedule {ASKED} --steps {problem.steps} --loss valid_loss"
    return command, f"What would {ASKED} give, from the log of {LOGGED}?", answer.summary, held, answer


def _watch(problem: Problem, lr: float) -> tuple[str, str, str, str, tuple[WatchedRun, WatchedRun]]:
    alone, heeded = (
        watched(problem, RISES, TOO_FAR * lr, WATCHED_STEPS, 1 / TOO_FAR, heeded=heeded) for heeded in (False, True)
    )
    found = "no warning was given" if alone.warned is None else alone.warned[1]
    held = f"accuracy {alone.accuracy:.2f} left alone, {heeded.accuracy:.2f} where it was heeded"
    command = "etastar.watch(optimizer, model, loss), watcher.step(loss) in the loop"
    return command, "Will this rate, which still rises, diverge?", found, held, (alone, heeded)
