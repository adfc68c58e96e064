"""What `etastar predict` prints: the verdict, one row per rung, the check, what does not apply and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etastar.cli.plain import new_table
from etastar.core.estimate import FLAGS

if TYPE_CHECKING:
    from etastar.cli.output import Console
    from etastar.verbs.predict.predict import PredictAnswer
    from etastar.verbs.predict.predictions import Prediction


def show_predict(console: Console, answer: PredictAnswer) -> None:
    """The verdict in one line, then the ladder."""
    console.say(f"{answer.problem}: {answer.summary}")
    rows = new_table(None, ("rung", "rate", "interval", "what it is"))
    for rung in answer.rungs:
        if rung.lr.value is not None:
            rows.add_row(rung.name, f"{rung.lr.value:.3g}", _interval(rung), rung.says)
    if answer.eta_star.value is not None:
        e = answer.eta_star
        rows.add_row("eta*, expected", f"{e.value:.2g}", f"{e.low:.2g} .. {e.high:.2g}", e.method)
    if answer.yours is not None:
        rows.add_row("yours", f"{answer.yours:.3g}", "", answer.judgement)
    if answer.samples:
        console.show(rows)
    for reason, names in answer.without_rate.items():
        console.say(f"  no {', '.join(names)}: {reason}")
    for rung in answer.rungs:
        if not rung.lr.ok and rung.quantity is not None and rung.quantity.ok:
            console.say(f"  {rung.name}: {rung.lr.reason}")
    if answer.threshold is not None:
        console.say(f"  check: {answer.threshold.sentence}")
    for flag in answer.flags:
        console.say(f"  {flag}: {FLAGS[flag]}")
    if answer.samples:
        console.say(
            f"  loss: {answer.loss}; {answer.optimizer}, {answer.parameters:,} parameters, {answer.samples} samples, "
            f"seed {answer.seed}, {answer.seconds:.1f} s; nothing was trained"
        )


def _interval(rung: Prediction) -> str:
    low, value, high = rung.lr.low, rung.lr.value, rung.lr.high
    if low is None or high is None or value is None or (high - low) < 1e-3 * value:
        return ""
    return f"{low:.3g} .. {high:.3g}"
