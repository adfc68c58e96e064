"""What `etastar search` prints: the verdict, the best trials and what fresh seeds made of them, the study, the cost."""

from __future__ import annotations

from etastar.cli.output import Console, cost_line
from etastar.cli.plain import new_table
from etastar.designs.search.trials import Trial
from etastar.reports.flags import flag_sentences
from etastar.verbs.search.search_answer import SearchAnswer, again_text, tally, written

BEST = 6
"""Trials shown, those that were trained again first."""


def show_search(console: Console, answer: SearchAnswer) -> None:
    """The verdict in one line, then a short table."""
    console.say(f"{answer.problem}: {answer.summary}")
    ended = sorted((t for t in answer.trials if t.state == "complete"), key=lambda t: t.loss or 0.0)
    if ended:
        names = [p.name for p in answer.space if p.name != "lr"]
        table = new_table(None, ("trial", "loss", "on fresh seeds", "lr", *names, ""))
        again = {finalist.number: finalist for finalist in answer.finalists}
        for trial in [*(f.trial for f in answer.finalists), *(t for t in ended if t.number not in again)][:BEST]:
            others = [written(trial.params[name]) for name in names]
            fresh = again_text(again.get(trial.number))
            table.add_row(str(trial.number), f"{trial.loss:.4g}", fresh, f"{trial.lr:.3g}", *others, _remark(trial))
        console.show(table)
    tried = f"{answer.plan['sampler']}, {len(answer.trials)} trials in batches of {answer.plan['batch']}"
    console.say(f"  {tried}: {tally(answer.trials)}")
    console.say(f"  loss: {answer.objective}")
    if answer.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in answer.importance.items())
        console.say(f"  importance: {shares}")
    for flag, sentence in flag_sentences(answer.flags, answer.runs):
        console.say(f"  {flag}: {sentence}")
    if answer.storage:
        console.say(f"  study: {answer.study} in {answer.storage} (optuna-dashboard {answer.storage})")
    console.say(cost_line(answer))


def _remark(trial: Trial) -> str:
    return f"{trial.diverged} of {len(trial.losses)} lanes failed" if trial.diverged else ""
