"""`Estimate`: a number with an interval, a cost and a verdict, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from etastar.core.told import told
from etastar.errors import NoAnswer

Z90 = 1.645
"""Half of a 90 % interval in standard errors, where the scatter is normal."""


class Status(StrEnum):
    """Why an estimate has a value, or why it has none."""

    OK = "ok"
    FLAT = "flat"
    EDGE_OF_RANGE = "edge-of-range"
    DIVERGED_EVERYWHERE = "diverged-everywhere"
    SUCCEEDS_EVERYWHERE = "succeeds-everywhere"
    NEVER_SUCCEEDS = "never-succeeds"
    NO_PROGRESS = "no-progress"
    TOO_FEW_POINTS = "too-few-points"
    OUTSIDE_THE_LAW = "outside-the-law"
    NOT_MEASURED = "not-measured"
    PRIOR_ONLY = "prior-only"
    """The measurement says no more than is known of other tasks."""


FLAGS: dict[str, str] = {
    "wide-transition": "Training turns into failing over more than 0.25 decade of rates, which is wide; read the interval.",
    "fallback-loop": "No engine could train this problem's lanes together; they run one by one (`etastar doctor` says why).",
    "islands": "Some lanes trained well above eta* or failed well below it; they are treated as lapses, not as the edge.",
    "max-runs": "The search stopped at its limit of runs before the interval was as narrow as asked for.",
    "time-limit": "The search stopped at the time limit before the interval was as narrow as asked for.",
    "prior-quality": (
        "The lanes were so short that measuring adds little to what is known of the optimizer; spend more to know more."
    ),
    "not-bracketed": (
        "The best rate seen lies at the end of the rates that were run; the true one may lie further out on that side."
    ),
    "flat": "The loss hardly depends on the rate over more than 1.5 decades; any rate of the plateau will do.",
    "flat-when-short": (
        "The loss of lanes shorter than the training hardly depends on the rate over more than 1.5 decades; over all steps "
        "one end of that plateau may be much better than the other."
    ),
    "late-overfitting": (
        "A lane nearly as long as the training ended above one of half its length: memorising sets in late. The rate is set "
        "lower and the interval reaches further down; stopping earlier may be worth more than any rate."
    ),
    "two-basins": (
        "Where short lanes end alike, a longer one at a high rate fell faster than training did before: there is a second "
        "basin that lower rates do not reach in time, and the recommended rate lies near it."
    ),
    "one-seed": (
        "Each step of this optimizer is a search of its own, and its lanes end by luck: one seed does not tell which of the "
        "rates that train is best, so the interval spans all of them; --effort thorough trains more seeds."
    ),
    "scored-on-training-loss": "Without validation data lanes are scored on their training loss, which sees no overfitting.",
    "validated-on-part": (
        "Lanes are scored on one part of the validation data, 2,000 samples or a tenth of what they train on; rates that "
        "are close may rank otherwise on all of it."
    ),
    "schedule-not-squeezed": (
        "Short lanes may have run the beginning of the schedule instead of all of its shape: it has no horizon (`over`), or "
        'the training loop reads neither report.steps nor report.lr (schedule="constant" says that it has none).'
    ),
    "schedule-from-optimizer": (
        "The schedule is the scheduler that optimizer(model) returned beside the optimizer, stepped as it says (where it "
        "says nothing: once an epoch in Lightning's dicts and lists, else at every step); all its rates scale with the rate."
    ),
    "schedule-unknown": (
        "The optimizer's groups carry initial_lr, left by a scheduler or a checkpoint: rates are taken from it, and no "
        "schedule is followed; pass schedule= if you train with one."
    ),
    "raised": "In some lanes your code raised an exception; they count as failed, as diverged ones do.",
    "monitor-refused": "A monitor does not apply to this training and read nothing.",
    "loop-ended-early": "Your training loop returned before a lane's steps were over; such lanes say less than they seem.",
    "loop-ignores-stop": "Your training loop went on after report() had returned False; its cost counts what it really ran.",
    "half-of-eta-star": "The rate was lowered to half of what still trains at the end of the steps.",
    "range-extended": "The first range of rates did not contain the answer and was widened.",
    "rows-at-the-edge": (
        "For some schedules, horizons or settings the best rate lies at an end of the range even after widening; they carry "
        "no best rate."
    ),
    "steep-above": (
        "Fewer seeds train within a factor of two above the best rate; the recommended rate lies half an octave below it."
    ),
    "inputs-not-centred": "The inputs have a large common mean; centring them is worth about a factor 2 of stable rate.",
    "inputs-badly-scaled": "The inputs' mean square is far from 1; the stable SGD rate scales as its inverse.",
    "not-reproducible": "The same lane trained twice gave different losses; its stored lanes are not reused.",
    "loss-changes": (
        "The loss changes by itself as it is called (a counter, a running scale): every lane starts with it as it was "
        "passed, but losses of different steps do not compare, and thresholds come from its first calls."
    ),
    "shared-state": (
        "The model or the loss changes a variable outside of itself, which lanes share: a lane depends on those before it, "
        "and stored ones are not reused. Keep such a thing in the module, or in an object that is the loss."
    ),
    "parts-in-eval": (
        "Part of the model stays in eval mode, as the model function left it (a frozen BatchNorm; a from_pretrained part); "
        "call .train() on it there if it should train."
    ),
    "edge-of-range": "The best trial's rate lies on the edge of the range searched; a better one may lie beyond it.",
    "range-widened": "The best rate lay on the edge of the first range, so the range was widened during the search.",
    "span-not-interval": (
        "The interval is the span of rates of near-best trials, not a confidence interval; its coverage is not tested."
    ),
    "prior-not-measured": "Nothing was measured before the search; its range lies around the rate in use.",
    "search-stopped": "The search stopped at the time limit before all of its trials were trained.",
    "unconfirmed": (
        "The search ended before its best trials were trained again on fresh seeds: its loss is that of the luckiest trial, "
        "too good on average."
    ),
    "equal-steps": (
        "Trials of different batch sizes train equally many steps, not epochs: larger batches see (and cost) more samples."
    ),
    "loss-of-the-batch": (
        "The loss depends on which samples share a batch, as contrastive losses do: trials of different batch sizes are "
        "compared on validation batches of one size."
    ),
    "reduction-unknown": (
        "Batches could not be cut, so it is not known whether the loss is a mean over samples; if it is not, the losses of "
        "different batch sizes do not compare."
    ),
    "luckiest-cell": (
        "Each cell was trained on one seed, and the lowest of many such losses is low by luck, too: its rate may be a "
        "neighbour's equal and its loss is too good; raise --seeds."
    ),
    "members-left-out": "Some sizes lie outside the law's conditions or gave no answer; the law rests on the others.",
    "wide-interval": "The interval spans more than a factor of 4; measure what is suggested next, or the target itself.",
    "criterion-too-easy": (
        "Networks meet the criterion untrained (or were trained before): it tells little, and eta* may come out far "
        "too high; pass a stricter loss_threshold or accuracy_threshold."
    ),
    "loss-starts-high": "The first loss is far above an uninformed guess; a smaller output layer would train sooner.",
}
"""Every flag an answer can carry, with its sentence."""


@dataclass(frozen=True)
class Estimate:
    """A measured or predicted number.

    Args:
        value: the number, or None when there is no answer.
        low, high: interval that contains the true number with probability `level`. Either may be given without `value`
            as a one-sided bound ("at least `low`").
        level: the interval's probability; its coverage is tested.
        unit: what the number is, e.g. "learning rate" or "decades".
        n: number of lanes it rests on.
        method: how it was found.
        status: a `Status`; `ok` if and only if there is a value.
        reason: a sentence, required unless `ok`.
        cost: gradient steps spent on it.
        flags: keys of `FLAGS`.

    Raises:
        ValueError: `ok` without a finite value inside [low, high], or not `ok` without a reason, or an unknown flag.

    >>> Estimate(value=0.1, low=0.08, high=0.12).require()
    0.1
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.9
    unit: str = "learning rate"
    n: int = 0
    method: str = ""
    status: Status = Status.OK
    reason: str = ""
    cost: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := set(self.flags) - FLAGS.keys():
            raise ValueError(f"unknown flags {sorted(unknown)}; expected some of {sorted(FLAGS)}")
        if self.status is Status.OK:
            numbers = (self.low, self.value, self.high)
            if not all(x is not None and math.isfinite(x) for x in numbers):
                raise ValueError(f"an ok estimate needs finite low, value and high, got {numbers}")
            if not numbers[0] <= numbers[1] <= numbers[2]:  # type: ignore[operator]
                raise ValueError(f"an ok estimate needs low <= value <= high, got {numbers}")
        elif self.value is not None or not self.reason:
            raise ValueError(f"an estimate with status {self.status.value!r} carries a reason and no value")

    @classmethod
    def none(cls, status: Status, reason: str, **fields: Any) -> Estimate:
        """An estimate without a value: `status` and the sentence that explains it."""
        return cls(status=status, reason=reason, **fields)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.status is Status.OK

    def require(self) -> float:
        """The value; raises `NoAnswer`, which carries this estimate, when there is none."""
        if self.value is None:
            raise NoAnswer(self)
        return self.value

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; status and flags are strings."""
        return told(self)


def log_error(low: float | None, high: float | None) -> float:
    """Standard error of log10 of a rate, from the ends of its 90 % interval: log10(high / low) / (2 x 1.645).

    Zero where an end is missing or not positive: nothing is known of it then.

    >>> round(log_error(1.0, 10**0.329), 12), log_error(0.0, 1.0)
    (0.1, 0.0)
    """
    return math.log10(high / low) / (2 * Z90) if low and high and low > 0 else 0.0
