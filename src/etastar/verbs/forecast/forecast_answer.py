"""What `forecast` says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from etastar.core.estimate import Estimate
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import Predicted
from etastar.laws.curves.shapes import Shape
from etastar.verbs.forecast.back_test import Check
from etastar.version import __version__


def _finite(value: Any) -> Any:
    """`value` with None for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    return [_finite(x) for x in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True, eq=False)
class Answered:
    """One question: the rates asked about and the curve expected under them.

    Args:
        question: its name: own-plan, schedule, cooldown-now or twice.
        words: what was asked.
        rates: [T] of every update.
        curve: the losses expected.
    """

    question: str
    words: str
    rates: Array
    curve: Predicted

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
        return f"{self.words}: loss {end.value:.4g} [{end.low:.4g}, {end.high:.4g}] at step {len(self.rates):,}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "question": self.question,
            "words": self.words,
            "steps": len(self.rates),
            "end": self.end.to_json(),
            "curve": {
                "step": self.curve.steps.tolist(),
                "lr": [float(self.rates[max(step - 1, 0)]) for step in self.curve.steps],
                **{name: self.curve.column(name).tolist() for name in ("value", "low", "high")},
            },
        }


@dataclass(frozen=True, eq=False)
class ForecastAnswer:
    """Curves nobody ran, from logs.

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

    flags: ClassVar[tuple[str, ...]] = ()
    runs: ClassVar[None] = None
    """It rests on logs and not on lanes."""

    curves: tuple[Curve, ...]
    notes: dict[str, tuple[str, ...]]
    law: str
    exponents: dict[str, float]
    rms: float
    answers: tuple[Answered, ...]
    shapes: tuple[Shape, ...]
    checks: tuple[Check, ...]

    def __getitem__(self, question: str) -> Answered:
        for answer in self.answers:
            if answer.question == question:
                return answer
        raise KeyError(f"no answer to {question!r}; there are {', '.join(a.question for a in self.answers)}")

    @property
    def problem(self) -> str:
        """The name of this run's log, or of the one checked."""
        return self.curves[-1 if self.checks else 0].name

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

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        shapes = [{"name": s.name, "end": s.loss.to_json(), "score": s.score} for s in self.shapes]
        curves = [
            {
                "name": c.name,
                "kind": c.kind,
                "losses": len(c.steps),
                "steps": int(c.steps[-1]),
                "peak": c.peak,
                "warmup": c.warmup,
            }
            for c in self.curves
        ]
        return _finite({
            "etastar": __version__,
            "command": "forecast",
            "summary": self.summary,
            "ok": self.ok,
            "logs": [c | {"notes": list(self.notes[c["name"]])} for c in curves],
            "law": {"name": self.law, "exponents": self.exponents, "rms": self.rms},
            "answers": [a.to_json() for a in self.answers],
            "shapes": shapes,
            "checks": [c.to_json() for c in self.checks],
        })  # fmt: skip
