"""Of `search`: the best trials and what fresh seeds made of them, what was tried, the study."""

from __future__ import annotations

from etastar.designs.search.trials import Trial
from etastar.reports.parts import Table
from etastar.verbs.search.search_answer import SearchAnswer, again_text, tally, written

BEST = 6
"""Trials shown, those that were trained again first."""


def search_tables(answer: SearchAnswer) -> list[Table]:
    """The best trials."""
    ended = sorted((t for t in answer.trials if t.state == "complete"), key=lambda t: t.loss or 0.0)
    if not ended:
        return []
    names = [p.name for p in answer.space if p.name != "lr"]
    again = {finalist.number: finalist for finalist in answer.finalists}
    rows = []
    for trial in [*(f.trial for f in answer.finalists), *(t for t in ended if t.number not in again)][:BEST]:
        others = [written(trial.params[name]) for name in names]
        fresh = again_text(again.get(trial.number))
        rows.append((str(trial.number), f"{trial.loss:.4g}", fresh, f"{trial.lr:.3g}", *others, _remark(trial)))
    return [Table("", ("trial", "loss", "on fresh seeds", "lr", *names, ""), tuple(rows))]


def search_notes(answer: SearchAnswer) -> list[str]:
    """What was tried, what a loss is, which parameter matters, where the study is."""
    tried = f"{answer.plan['sampler']}, {len(answer.trials)} trials in batches of {answer.plan['batch']}"
    notes = [f"{tried}: {tally(answer.trials)}", f"loss: {answer.objective}"]
    if answer.importance:
        notes.append("importance: " + ", ".join(f"{name} {share:.0%}" for name, share in answer.importance.items()))
    if answer.storage:
        notes.append(f"study: {answer.study} in {answer.storage} (optuna-dashboard {answer.storage})")
    return notes


def _remark(trial: Trial) -> str:
    return f"{trial.diverged} of {len(trial.losses)} lanes failed" if trial.diverged else ""
