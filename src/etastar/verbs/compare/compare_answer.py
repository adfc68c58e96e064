"""`CompareAnswer`: every policy at its own peak, against tuned linear decay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from etastar.core.estimate import Estimate, Status
from etastar.designs.compare import FINE
from etastar.verbs.answer import Answer
from etastar.verbs.compare.learning import LearningPoint

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference"
REFERENCE, FAILED, CANNOT_TELL = "reference", "failed", "cannot tell"


class WrongPeak(NamedTuple):
    """The mean loss of the search at a multiple of the peak; None where a lane broke there or none was trained."""

    multiple: float
    loss: float | None


@dataclass(frozen=True)
class Compared:
    """One policy at its peak.

    Args:
        name, policy: what it is called, and in full.
        verdict: against linear decay: better, worse, no difference that so many seeds show, cannot tell (fewer than three
            seeds trained under both), failed.
        peak: its best rate; of an optimizer that finds its own, the `lr` it was given.
        at_the_end: whether that is an end of the rates tried.
        loss: mean final loss over the fresh seeds; accuracy: mean, where there is one.
        difference: of the final loss to linear decay's on the same seeds, with the interval of the mean.
        p_value: of no difference, Holm-adjusted over the policies.
        failures: lanes that broke, of `seeds`.
        to_target: median step at which the training loss reached the target; None where half of the lanes never did;
            never: how many did not.
        at_quarter, at_half: median training loss on the way.
        wrong_peaks: what a wrong peak costs.
        trainings: all that it took.
        curve: training loss and rate over the steps.
    """

    TOLD: ClassVar = (
        "name", "policy", "verdict", "peak", "at_the_end", "loss", "accuracy", "difference", "p_value", "failures", "seeds",
        "to_target", "never", "at_quarter", "at_half", "wrong_peaks", "trainings", "curve",
    )  # fmt: skip

    name: str
    policy: str
    verdict: str
    peak: float | None
    at_the_end: bool
    loss: float | None
    accuracy: float | None
    difference: Estimate
    p_value: float | None
    failures: int
    seeds: int
    to_target: float | None
    never: int
    at_quarter: float | None
    at_half: float | None
    wrong_peaks: tuple[WrongPeak, ...]
    trainings: int
    curve: tuple[LearningPoint, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CompareAnswer(Answer):
    """Several policies on one problem, at equal budget.

    Args:
        steps: of every training.
        budget: trainings of a policy, at most.
        loss_name: what the final loss is.
        target: training loss whose first step is noted.
        compared: the policies, those that broke on the fewest seeds first, then by loss.
    """

    command = "compare"
    TOLD: ClassVar = ("steps", "budget", "loss_name", "target", "best", "compared")

    steps: int
    budget: int
    loss_name: str
    target: float | None
    compared: tuple[Compared, ...]

    @property
    def best(self) -> Compared | None:
        """The policy with the lowest final loss of those that broke on the fewest seeds."""
        return next((own for own in self.compared if own.loss is not None), None)

    @property
    def lr(self) -> Estimate:
        """The best policy's peak, between the rates tried beside it: a span, no interval of any probability."""
        own = self.best
        if own is None or own.peak is None:
            return Estimate.none(Status.DIVERGED_EVERYWHERE, "no policy trained at any rate that was tried")
        return Estimate(
            own.peak,
            own.peak / FINE,
            own.peak * FINE,
            n=own.trainings,
            method="grid of full-length lanes",
            flags=("span-not-interval",),
        )

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        best = self.best
        if best is None or (low := best.loss) is None:
            return f"no answer ({self.lr.status.value}): {self.lr.reason}"
        verdicts = (BETTER, NO_DIFFERENCE, CANNOT_TELL, WORSE, FAILED)
        by = {v: [c.name for c in self.compared if c.verdict == v] for v in verdicts}
        said = [f"{verdict}: {', '.join(names)}" for verdict, names in by.items() if names]
        at = f"{best.name} at lr {best.peak:.3g} has the lowest {self.loss_name}, {low:.4g}"
        if any(own.loss is not None and own.loss < low for own in self.compared):
            at += f", of those that broke on {best.failures} of {best.seeds} seeds"
        return f"{at}; against tuned linear decay: {'; '.join(said) or 'nothing to compare'}"
