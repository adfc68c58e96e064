"""What a search found: the best trial and its loss on fresh seeds, the rates near it, every trial, the study, the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate, Status
from etastar.core.problem import Problem
from etastar.core.told import Range
from etastar.designs.search.confirmation import Finalist
from etastar.designs.search.search_space import Space
from etastar.designs.search.trials import Found, Trial, on_edge
from etastar.store.optuna_study import OptunaRecord
from etastar.verbs.answer import Answer, GivesRate, GroupRate, per_group
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.search.batch_sizes import BatchSizes
from etastar.verbs.search.prior import Prior
from etastar.verbs.search.search_verdict import Tried, best_of, estimate, judge, refusal
from etastar.verbs.workplace import Session


@dataclass(frozen=True, kw_only=True)
class SearchAnswer(GivesRate, Answer):
    """What `search` found; of `made.cost` measure_steps were spent before the search, whose lanes alone are its runs.

    Args:
        lr: the best rate, and the span of rates of near-best trials (not a confidence interval).
        lr_per_group: (group, rate) at the best rate.
        best: the trial of the lowest loss on fresh seeds, and that loss; None if none trained, or each failed there.
        finalists: every trial that was trained again, the best first.
        trials: every trial told.
        space: as searched, widened where it was.
        importance: name -> share of the variation among good trials; None with one parameter or few trials.
        plan: sampler, pruner, seeds, batch, steps, seed, trials.
        objective: what the loss of a trial is, in words.
        measured: the glance before the search; None if there was none.
        yours: the rate in use, judged; None if unknown.
        study, storage: name of the Optuna study and its URL without passwords; storage is None if it was not kept.
    """

    command = "search"
    TOLD = (
        "lr", "lr_per_group", "plateau", "best", "finalists", "trials", "eta_star", "yours", "objective", "plan",
        "space", "importance", "study", "storage",
    )  # fmt: skip

    lr: Estimate
    lr_per_group: tuple[GroupRate, ...]
    best: Finalist | None
    finalists: tuple[Finalist, ...]
    trials: tuple[Trial, ...]
    space: Space
    importance: dict[str, float] | None
    plan: Mapping[str, Any]
    objective: str
    measured: FindAnswer | None
    yours: Tried | None
    study: str
    storage: str | None

    @property
    def plateau(self) -> Range | None:
        """The span of rates of near-best trials."""
        return None if self.lr.low is None or self.lr.high is None or not self.lr.ok else Range(self.lr.low, self.lr.high)

    @property
    def eta_star(self) -> Estimate:
        """eta* as the glance before the search measured it."""
        reason = "eta* is measured before a search whose space has no [lr]"
        return self.measured.eta_star if self.measured else Estimate.none(Status.NOT_MEASURED, reason)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.best is None or self.lr.value is None:
            return f"no answer ({self.lr.status.value}): {self.lr.reason}"
        others = ", ".join(f"{k} = {written(v)}" for k, v in self.best.params.items() if k != "lr")
        text = f"best of {len(self.trials)} trials: lr = {self.best.lr:.3g}" + (f", {others}" if others else "")
        text += f" ({loss_text(self.best)}); rates {self.lr.low:.3g} .. {self.lr.high:.3g} come near it"
        return text + (f"; {self.yours.sentence}" if self.yours else "")


def answer_of(
    session: Session,
    outcome: Found,
    finalists: tuple[Finalist, ...],
    found: FindAnswer | None,
    prior: Prior | None,
    record: OptunaRecord,
    plan: Mapping[str, Any],
    sizes: BatchSizes,
) -> SearchAnswer:
    """The answer of a finished search."""
    problem = session.problem
    best = best_of(outcome, finalists)
    flags = [*_flags(session, outcome, best, found, prior), *sizes.flags]
    of_lr = tuple(f for f in flags if f in ("edge-of-range", "range-widened", "unconfirmed"))
    lr = estimate(outcome, finalists, session.runs.gradient_steps, of_lr)
    yours, said = session.facts.lr, session.facts.said(session.facts.lr) if session.facts.lr else ""
    measured = found.eta_star.value if found else None
    return SearchAnswer(
        problem=problem.title,
        lr=lr,
        lr_per_group=per_group(session.facts.groups, lr),
        best=best,
        finalists=finalists,
        trials=outcome.trials,
        space=outcome.space,
        importance=outcome.importance,
        plan=plan,
        objective=_objective(problem, plan, sizes),
        measured=found,
        yours=judge(yours, said, outcome, finalists, lr, measured),
        study=record.name,
        storage=record.where,
        made=session.made(plan["seed"], (*flags, *lr.flags), **cost_of_both(session, found)),
    )


def loss_text(best: Finalist) -> str:
    """The loss of the best on fresh seeds beside its own, which luck has made too low."""
    own = f"{best.trial.loss:.4g}"
    if not best.confirmed:
        return f"loss {own} in its trial, not confirmed on fresh seeds"
    return f"loss {again_text(best)} on {len(best.losses)} fresh seeds, {own} in its trial"


def again_text(finalist: Finalist | None) -> str:
    """What fresh seeds made of a trial, for a table."""
    if finalist is None:
        return ""
    if finalist.failed:
        return f"{finalist.failed} of {len(finalist.losses)} lanes failed"
    between = "" if finalist.interval is None else f" [{finalist.interval[0]:.3g}, {finalist.interval[1]:.3g}]"
    return f"{finalist.loss:.4g}{between}"


def tally(trials: Sequence[Trial]) -> str:
    """How many ran to their end, were pruned, had a lane that failed (those are among the others, too)."""
    ended, pruned = (sum(t.state == state for t in trials) for state in ("complete", "pruned"))
    return f"{ended} to their end, {pruned} pruned, {sum(t.diverged > 0 for t in trials)} with a failed lane"


def written(value: Any) -> str:
    """A parameter's value for a reader."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _flags(
    session: Session, outcome: Found, best: Finalist | None, found: FindAnswer | None, prior: Prior | None
) -> list[str]:
    flags = []
    if not session.facts.squeezes and any(len(trial.rungs) > 1 or trial.state == "pruned" for trial in outcome.trials):
        flags.append("schedule-not-squeezed")
    if found is not None:
        flags += [flag for flag in found.eta_star.flags if flag == "wide-transition"]
    if prior is not None:
        flags += prior.flags
    if outcome.widened:
        flags.append("range-widened")
    if best is not None and on_edge(outcome.space, best.lr):
        flags.append("edge-of-range")
    if best is not None and not best.confirmed and refusal(outcome) is None:
        flags.append("unconfirmed")
    if outcome.stopped:
        flags.append("search-stopped")
    return flags


def _objective(problem: Problem, plan: Mapping[str, Any], sizes: BatchSizes) -> str:
    what = "validation loss" if problem.valid is not None else "mean training loss of the last 10 steps"
    over = f", mean over {plan['seeds']} seeds" if plan["seeds"] > 1 else ""
    lost = "; a failed lane counts as twice its first loss"
    return f"{what} after {plan['steps']} steps{over}{lost}{sizes.sentence(plan['steps'])}"


def cost_of_both(session: Session, found: FindAnswer | None) -> dict[str, float]:
    """Search and the glance before it together; every rung a trial was trained on counts."""
    before = found.cost if found else {}
    total = {key: value + before.get(key, 0) for key, value in session.cost().items()}
    return {**total, "measure_steps": before.get("gradient_steps", 0)}
