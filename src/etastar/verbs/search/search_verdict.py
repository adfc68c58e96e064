"""What the trials of a search amount to: the best, the span of rates near it, the rate in use beside it; or no answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.estimate import Estimate, Status
from etastar.designs.search.confirmation import Finalist
from etastar.designs.search.trials import Found, Trial
from etastar.verbs.answer import Yours

NEAR = 0.02
"""A trial is near the best if its loss is within this share of the way from the first loss to the best: 0.04 nats or so for
ten classes, and the same rates whatever the loss is multiplied by or shifted by."""
FEWEST = 3
"""Trials that trained, below which there is no answer."""


@dataclass(frozen=True)
class Tried(Yours):
    """The rate in use, as a trial of the search.

    Args:
        verdict: near-best, worse, not-tried, or unknown where there is no answer.
        loss: its own; None if it was not among the trials.
    """

    loss: float | None = None


def best_of(found: Found, finalists: Sequence[Finalist]) -> Finalist | None:
    """The finalist of the lowest loss on fresh seeds; the luckiest trial where none was trained again.

    None where no trial trained, or a fresh lane failed in every finalist.
    """
    if finalists:
        return finalists[0] if finalists[0].confirmed else None
    return None if found.best is None else Finalist(found.best)


def refusal(found: Found) -> tuple[Status, str] | None:
    """Why these trials carry no answer; None if they do."""
    n = len(found.trials)
    trained = [t for t in found.trials if t.trained]
    if not n:
        return Status.NOT_MEASURED, "no trial was trained before the search stopped; give it more time"
    if not trained:
        if any(t.diverged for t in found.trials):
            reason = f"a lane diverged in each of the trials that ran to their end, of {n}; lower the range of rates"
            return Status.DIVERGED_EVERYWHERE, reason
        return Status.TOO_FEW_POINTS, f"none of {n} trials ran to its end; raise --trials"
    if len(trained) < FEWEST:
        reason = (
            f"{len(trained)} of {n} trials ran to their end without diverging; at least {FEWEST} are needed: raise --trials"
        )
        return Status.TOO_FEW_POINTS, reason
    if len({t.loss for t in trained}) == 1 and len({t.lr for t in trained}) > 1:
        return Status.FLAT, "the loss is the same in every trial; check that it depends on what is searched"
    return None


def estimate(found: Found, finalists: Sequence[Finalist], cost: int, flags: Sequence[str] = ()) -> Estimate:
    """The best rate with the span of rates of near-best trials; or why there is no answer."""
    n, best, why = len(found.trials), best_of(found, finalists), refusal(found)
    if why is None and best is None:
        failed, lanes = sum(f.failed for f in finalists), sum(len(f.losses) for f in finalists)
        why = (
            Status.DIVERGED_EVERYWHERE,
            f"each of the {len(finalists)} best of {n} trials failed on some fresh seed ({failed} of {lanes} lanes): that "
            "it trained was luck; lower the range of rates, or train more seeds a trial (--seeds 3)",
        )
    if why is not None or best is None:
        status, reason = why or (Status.NOT_MEASURED, "there is no best trial")
        return Estimate.none(status, reason, n=n, cost=cost, flags=tuple(flags))
    near = [t.lr for t in near_best(found, finalists)]
    how = f"the best of {len(finalists)} on {len(best.losses)} fresh seeds" if best.confirmed else "unconfirmed"
    return Estimate(
        value=best.lr,
        low=min(near),
        high=max(near),
        n=n,
        cost=cost,
        method=f"best of {n} trials ({how}); low and high span the rates of the {len(near)} trials within {NEAR:.0%} of the "
        "way from the first loss to the best",
        flags=(*flags, "span-not-interval"),
    )


def near_best(found: Found, finalists: Sequence[Finalist]) -> list[Trial]:
    """Trials that come within `NEAR` of the best: finalists on the fresh seeds, the others on their own.

    Those are held against the best one's loss on their seeds or on fresh ones, whichever is higher: a lucky trial is no
    measure for its neighbours, and seeds may be harder than others for all.
    """
    best = best_of(found, finalists)
    if best is None or best.trial.loss is None:
        return []
    bar = lambda loss: loss + NEAR * max(found.first_loss - loss, 0.0)
    again = {f.number: f for f in finalists}
    on_own = bar(max(best.loss, best.trial.loss))

    def is_near(trial: Trial) -> bool:
        finalist = again.get(trial.number)
        if finalist is not None:
            return finalist.confirmed and finalist.loss <= bar(best.loss)
        return trial.trained and trial.loss is not None and trial.loss <= on_own

    return [t for t in found.trials if is_near(t)]


def judge(
    lr: float | None, said: str, found: Found, finalists: Sequence[Finalist], best: Estimate, eta_star: float | None
) -> Tried | None:
    """The rate in use, `said` in words: what its own trial says, where it was among them with the user's other settings."""
    if lr is None:
        return None
    of_best = lr / best.value if best.value else None
    of_eta_star = lr / eta_star if eta_star else None
    own = [t for t in found.trials if t.state == "complete" and math.isclose(t.lr, lr, rel_tol=2e-3)]
    if of_best is None:
        return Tried(lr, "unknown", f"without an answer your {said} cannot be judged", None, of_eta_star)
    if not own:
        return Tried(lr, "not-tried", f"your {said} was not among the trials", of_best, of_eta_star)
    trial = own[0]
    again = next((f for f in finalists if f.number == trial.number), None)
    loss, where = (trial.loss, "in its trial") if again is None else (again.loss, "on the fresh seeds")
    near = trial in near_best(found, finalists)
    text = f"your {said} reaches {loss:.4g} {where}" + (", near the best" if near else f" at {of_best:.2g} of the best rate")
    return Tried(lr, "near-best" if near else "worse", text, of_best, of_eta_star, loss)
