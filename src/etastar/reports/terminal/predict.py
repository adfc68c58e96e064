"""Of `predict`: one row per rung, the check, what does not apply and why."""

from __future__ import annotations

from etastar.reports.parts import Table
from etastar.verbs.predict.predict import PredictAnswer
from etastar.verbs.predict.predictions import Prediction


def predict_short(answer: PredictAnswer) -> list[Table]:
    """The ladder."""
    if not answer.samples:
        return []
    rows = [(r.name, f"{r.lr.value:.3g}", _interval(r), r.says) for r in answer.rungs if r.lr.value is not None]
    e = answer.eta_star
    if e.value is not None:
        rows.append(("eta*, expected", f"{e.value:.2g}", f"{e.low:.2g} .. {e.high:.2g}", e.method))
    if answer.yours is not None:
        rows.append(("yours", f"{answer.yours.lr:.3g}", "", answer.yours.sentence))
    return [Table("", ("rung", "rate", "interval", "what it is"), tuple(rows))]


def predict_notes(answer: PredictAnswer) -> list[str]:
    """Why rungs have no rate, and the check."""
    notes = [f"no {', '.join(names)}: {reason}" for reason, names in answer.without_rate.items()]
    shown = [r for r in answer.rungs if not r.lr.ok and r.quantity is not None and r.quantity.ok]
    notes += [f"{rung.name}: {rung.lr.reason}" for rung in shown]
    return [*notes, f"check: {answer.threshold.sentence}"] if answer.threshold else notes


def predict_cost(answer: PredictAnswer) -> list[str]:
    """On what it was computed."""
    if not answer.samples:
        return []
    return [
        f"loss: {answer.loss}; {answer.optimizer}, {answer.parameters:,} parameters, {answer.samples} samples, "
        f"seed {answer.seed}, {answer.seconds:.1f} s; nothing was trained"
    ]


def _interval(rung: Prediction) -> str:
    low, value, high = rung.lr.low, rung.lr.value, rung.lr.high
    if low is None or high is None or value is None or (high - low) < 1e-3 * value:
        return ""
    return f"{low:.3g} .. {high:.3g}"
