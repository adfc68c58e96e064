"""What `etastar search` prints: the verdict, the best trials, what matters, where the study is, the cost."""

from __future__ import annotations

from etastar.cli.output import Console, cost_line, new_table
from etastar.designs.trials import Trial
from etastar.verbs.find import flag_sentences
from etastar.verbs.search_answer import SearchAnswer, tally, written

BEST = 5
"""Trials shown."""


def show_search(console: Console, answer: SearchAnswer) -> None:
    """The verdict in one line, then a short table."""
    console.say(f"{answer.problem}: {answer.summary}")
    ended = sorted((t for t in answer.trials if t.state == "complete"), key=lambda t: t.loss or 0.0)
    if ended:
        names = [p.name for p in answer.space if p.name != "lr"]
        table = new_table(None, ("trial", "loss", "lr", *names, ""))
        for trial in ended[:BEST]:
            others = [written(trial.params[name]) for name in names]
            table.add_row(str(trial.number), f"{trial.loss:.4g}", f"{trial.lr:.3g}", *others, _remark(trial))
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
    return f"{trial.diverged} of {len(trial.losses)} lanes diverged" if trial.diverged else ""
