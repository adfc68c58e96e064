"""What `forecast` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from etastar.core.estimate import Estimate
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import Predicted
from etastar.laws.curves.shapes import Shape
from etastar.verbs.answer import Answer
from etastar.verbs.forecast.back_test import Check


class Point(NamedTuple):
    """The loss expected after a step, with its interval; None where no law speaks. `lr` is that step's rate."""

    step: int
    lr: float
    loss: float | None
    low: float | None
    high: float | None


class LogRead(NamedTuple):
    """What was read from a log: the kind of its losses, how many there are, its steps, largest rate and warm-up."""

    name: str
    kind: str
    losses: int
    steps: int
    peak: float
    warmup: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Answered:
    """One question: the rates asked about and the curve expected under them.

    Args:
        question: its name: own-plan, schedule, cooldown-now or twice.
        words: what was asked.
        rates: [T] of every update.
        curve: the losses expected.
    """

    TOLD = ("question", "words", "steps", "end", "points")

    question: str
    words: str
    rates: Array
    curve: Predicted

    @property
    def steps(self) -> int:
        """Updates asked about, those already made included."""
        return len(self.rates)

    @property
    def end(self) -> Estimate:
        """The loss after the last update."""
        return self.curve.end

    @property
    def sentence(self) -> str:
        """In one line."""
        end = self.end
        if end.value is None:
            return f"{self.words}: no answer: {end.reason}"
        return f"{self.words}: loss {end.value:.4g} [{end.low:.4g}, {end.high:.4g}] at step {self.steps:,}"

    @property
    def points(self) -> tuple[Point, ...]:
        """The curve, as JSON holds it."""
        estimates = zip(self.curve.steps.tolist(), self.curve, strict=True)
        return tuple(Point(n, float(self.rates[max(n - 1, 0)]), e.value, e.low, e.high) for n, e in estimates)


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastAnswer(Answer):
    """Curves nobody ran, from logs; `problem` is the name of this run's log, or of the one checked.

    Args:
        curves: of the logs, this run's first.
        notes: log -> what was taken for what, masked, left out.
        law: name of the law.
        exponents: its numbers.
        rms: relative, of its residuals.
        answers: to each question.
        shapes: for the rest of this run at the rate in use, best first.
        checks: back-tests, where asked for; the default law first.
    """

    command = "forecast"
    TOLD = ("ok", "logs", "law", "exponents", "rms", "answers", "shapes", "checks")

    curves: tuple[Curve, ...] = field(repr=False)
    notes: dict[str, tuple[str, ...]]
    law: str
    exponents: dict[str, float]
    rms: float
    answers: tuple[Answered, ...] = ()
    shapes: tuple[Shape, ...] = ()
    checks: tuple[Check, ...] = ()

    def __getitem__(self, question: str) -> Answered:
        for answer in self.answers:
            if answer.question == question:
                return answer
        raise KeyError(f"no answer to {question!r}; there are {', '.join(a.question for a in self.answers)}")

    @property
    def logs(self) -> tuple[LogRead, ...]:
        """What was read."""
        return tuple(
            LogRead(c.name, c.kind, len(c.steps), int(c.steps[-1]), c.peak, int(c.warmup), self.notes[c.name])
            for c in self.curves
        )

    @property
    def ok(self) -> bool:
        """Whether anything was answered."""
        return any(a.end.ok for a in self.answers) or any(c.mae is not None for c in self.checks)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.checks and not self.answers:
            first = self.checks[0]
            if first.mae is None:
                return f"no answer: {first.reason}"
            return f"{first.law} is off by {first.mae:.4f}, and holds {first.coverage:.0%} of the losses"
        answered = [a for a in self.answers if a.end.ok]
        return (answered or list(self.answers))[0].sentence if self.answers else "nothing was asked"
