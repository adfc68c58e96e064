"""What a search found: the best trial, the span of rates near it, every trial, the study, the cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Runs
from etastar.core.problem import Problem
from etastar.designs.search_space import Space
from etastar.designs.trials import Found, Trial, on_edge
from etastar.engine.choice import Choice
from etastar.engine.preflight import Preflight
from etastar.records.study import StudyRecord
from etastar.verbs.find import FindAnswer
from etastar.verbs.finite import finite
from etastar.verbs.prior import Prior
from etastar.verbs.session import Session, environment
from etastar.version import __version__

NEAR = 0.02
"""A trial is near the best if its loss is within this share of the way from the first loss to the best: 0.04 nats or so for
ten classes, and the same rates whatever the loss is multiplied by or shifted by."""
FEWEST = 3
"""Trials that trained, below which there is no answer."""


@dataclass(frozen=True)
class Tried:
    """The rate in use, as a trial of the search.

    Args:
        lr: the rate.
        of_best, of_eta_star: its ratio to the best trial's rate and to eta*; None without an answer.
        loss: its own; None if it was not among the trials.
        verdict: near-best, worse, not-tried, or unknown where there is no answer.
        sentence: the verdict in words.
    """

    lr: float
    of_best: float | None
    of_eta_star: float | None
    loss: float | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class SearchAnswer:
    """What `search` found; `to_json()` is the same in the contract's form.

    Args:
        problem: its name.
        lr: the best trial's rate, and the span of rates of near-best trials (not a confidence interval).
        lr_per_group: (group, rate) at the best trial's rate.
        best: the trial of the lowest loss; None if none trained.
        trials: every trial told.
        space: as searched, widened where it was.
        importance: name -> share of the variation among good trials; None with one parameter or few trials.
        plan: sampler, pruner, seeds, batch, steps, seed, trials.
        objective: what the loss of a trial is, in words.
        measured: the glance before the search; None if there was none.
        yours: the rate in use, judged; None if unknown.
        study, storage: name of the Optuna study and its URL without passwords; storage is None if it was not kept.
        cost: gradient_steps, new_gradient_steps, full_runs, seconds; measure_steps of them before the search.
        flags: keys of `etastar.FLAGS`.
        runs: every lane's outcome, the glance's apart.
        optimizer, engine, choice, environment: with what it was searched.
    """

    problem: str
    lr: Estimate
    lr_per_group: tuple[tuple[str, float], ...]
    best: Trial | None
    trials: tuple[Trial, ...]
    space: Space
    importance: dict[str, float] | None
    plan: Mapping[str, Any]
    objective: str
    measured: FindAnswer | None
    yours: Tried | None
    study: str
    storage: str | None
    cost: dict[str, float]
    flags: tuple[str, ...]
    runs: Runs
    optimizer: str
    engine: str
    choice: Choice
    environment: dict[str, Any]

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
        text += f" (loss {self.best.loss:.4g}); rates {self.lr.low:.3g} .. {self.lr.high:.3g} come near it"
        return text + (f"; {self.yours.sentence}" if self.yours else "")

    def to_json(self) -> dict[str, Any]:
        """The JSON contract, with NaN and infinities as null."""
        return finite(
            {
                "etastar": __version__,
                "command": "search",
                "problem": self.problem,
                "summary": self.summary,
                "lr": self.lr.to_json(),
                "lr_per_group": [{"group": name, "lr": lr} for name, lr in self.lr_per_group],
                "plateau": {"low": self.lr.low, "high": self.lr.high} if self.lr.ok else None,
                "eta_star": self.eta_star.to_json(),
                "yours": vars(self.yours) if self.yours else None,
                "best": _row(self.best) if self.best else None,
                "trials": [_row(trial) for trial in self.trials],
                "objective": self.objective,
                "plan": dict(self.plan),
                "space": [p.to_json() for p in self.space],
                "importance": self.importance,
                "study": {"name": self.study, "storage": self.storage},
                "optimizer": self.optimizer,
                "cost": self.cost,
                "flags": list(self.flags),
                "engine": self.engine,
                "engine_choice": self.choice.to_json(),
                "seed": self.plan["seed"],
                "environment": self.environment,
            }
        )


def answer_of(
    session: Session,
    outcome: Found,
    found: FindAnswer | None,
    prior: Prior | None,
    record: StudyRecord,
    plan: Mapping[str, Any],
    problem: Problem,
) -> SearchAnswer:
    """The answer of a finished search."""
    flags = _flags(session, outcome, found, prior)
    lr = estimate(outcome, session.runs.gradient_steps, tuple(f for f in flags if f in ("edge-of-range", "range-widened")))
    groups = session.facts.groups
    return SearchAnswer(
        problem=problem.title,
        lr=lr,
        lr_per_group=tuple((g.name, lr.require() * g.multiplier) for g in groups) if lr.ok else (),
        best=outcome.best,
        trials=outcome.trials,
        space=outcome.space,
        importance=outcome.importance,
        plan=plan,
        objective=_objective(problem, plan),
        measured=found,
        yours=_judge(session.facts, outcome, lr, found),
        study=record.name,
        storage=record.where,
        cost=_cost(session, found),
        flags=tuple(dict.fromkeys((*flags, *lr.flags))),
        runs=session.runs,
        optimizer=session.facts.optimizer,
        engine=session.engine.name,
        choice=session.choice,
        environment=environment(),
    )


def estimate(outcome: Found, cost: int, flags: Sequence[str] = ()) -> Estimate:
    """The best trial's rate with the span of rates of near-best trials; or why there is no answer."""
    trained = [t for t in outcome.trials if t.trained and t.loss is not None]
    n = len(outcome.trials)
    facts: dict[str, Any] = {"n": n, "cost": cost, "flags": tuple(flags)}
    if not n:
        return Estimate.none(
            Status.NOT_MEASURED, "no trial was trained before the search stopped; give it more time", **facts
        )
    best = outcome.best
    if best is None or best.loss is None:
        if any(t.diverged for t in outcome.trials):
            reason = f"a lane diverged in each of the trials that ran to their end, of {n}; lower the range of rates"
            return Estimate.none(Status.DIVERGED_EVERYWHERE, reason, **facts)
        return Estimate.none(Status.TOO_FEW_POINTS, f"none of {n} trials ran to its end; raise --trials", **facts)
    if len(trained) < FEWEST:
        reason = (
            f"{len(trained)} of {n} trials ran to their end without diverging; at least {FEWEST} are needed: raise --trials"
        )
        return Estimate.none(Status.TOO_FEW_POINTS, reason, **facts)
    if len({t.loss for t in trained}) == 1 and len({t.lr for t in trained}) > 1:
        reason = "the loss is the same in every trial; check that it depends on what is searched"
        return Estimate.none(Status.FLAT, reason, **facts)
    near = [t.lr for t in near_best(outcome)]
    return Estimate(
        value=best.lr,
        low=min(near),
        high=max(near),
        method=f"best of {n} trials; low and high span the rates of the {len(near)} trials within {NEAR:.0%} of the way "
        "from the first loss to the best",
        **{**facts, "flags": (*facts["flags"], "span-not-interval")},
    )


def near_best(outcome: Found) -> list[Trial]:
    """Trials that ran to their end and come within `NEAR` of the best."""
    best = outcome.best
    if best is None or best.loss is None:
        return []
    bound = best.loss + NEAR * max(outcome.first_loss - best.loss, 0.0)
    return [t for t in outcome.trials if t.trained and t.loss is not None and t.loss <= bound]


def tally(trials: Sequence[Trial]) -> str:
    """How many ran to their end, were pruned, had a lane that diverged (those are among the others, too)."""
    ended, pruned = (sum(t.state == state for t in trials) for state in ("complete", "pruned"))
    return f"{ended} to their end, {pruned} pruned, {sum(t.diverged > 0 for t in trials)} with a diverged lane"


def written(value: Any) -> str:
    """A parameter's value for a reader."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _flags(session: Session, outcome: Found, found: FindAnswer | None, prior: Prior | None) -> list[str]:
    flags = list(session.facts.flags)
    if found is not None:
        flags += [flag for flag in found.eta_star.flags if flag == "wide-transition"]
    if prior is not None:
        flags += prior.flags
    if outcome.widened:
        flags.append("range-widened")
    if outcome.best is not None and on_edge(outcome.space, outcome.best.lr):
        flags.append("edge-of-range")
    if outcome.stopped:
        flags.append("search-stopped")
    if session.choice.fell_back:
        flags.append("fallback-loop")
    return flags


def _judge(facts: Preflight, outcome: Found, best: Estimate, found: FindAnswer | None) -> Tried | None:
    """The rate in use: what its own trial says, where it was among them with the user's other settings."""
    if facts.lr is None:
        return None
    lr, said = facts.lr, facts.said(facts.lr)
    of_best = lr / best.value if best.value else None
    eta_star = found.eta_star.value if found else None
    of_eta_star = lr / eta_star if eta_star else None
    own = [t for t in outcome.trials if t.state == "complete" and math.isclose(t.lr, lr, rel_tol=2e-3)]
    if of_best is None:
        return Tried(lr, None, of_eta_star, None, "unknown", f"without an answer your {said} cannot be judged")
    if not own:
        return Tried(lr, of_best, of_eta_star, None, "not-tried", f"your {said} was not among the trials")
    trial = own[0]
    near = trial in near_best(outcome)
    text = f"your {said} reaches {trial.loss:.4g}" + (", near the best" if near else f" at {of_best:.2g} of the best rate")
    return Tried(lr, of_best, of_eta_star, trial.loss, "near-best" if near else "worse", text)


def _objective(problem: Problem, plan: Mapping[str, Any]) -> str:
    what = "validation loss" if problem.valid is not None else "mean training loss of the last 10 steps"
    over = f", mean over {plan['seeds']} seeds" if plan["seeds"] > 1 else ""
    return f"{what} after {plan['steps']} steps{over}; a diverged lane counts as twice its first loss"


def _cost(session: Session, found: FindAnswer | None) -> dict[str, float]:
    """Search and glance together; every rung a trial was trained on counts."""
    own, before = session.cost(), found.cost if found else {}
    total = {key: value + before.get(key, 0) for key, value in own.items() if key != "seconds"}
    seconds = time.monotonic() - session.started + before.get("seconds", 0.0)
    return {**total, "seconds": seconds, "measure_steps": before.get("gradient_steps", 0)}


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "params": trial.params,
        "lr": trial.lr,
        "loss": trial.loss,
        "losses": list(trial.losses),
        "diverged": trial.diverged,
        "state": trial.state,
        "steps": trial.steps,
    }
