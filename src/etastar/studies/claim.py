"""`Claim`: a statement, where it should hold, and the rule that decides it from an interval. All declared beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from etastar.core.estimate import Estimate


class Verdict(StrEnum):
    """What a measurement says about a claim."""

    AGREES = "agrees"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"


class Rule(Protocol):
    """Decides from an estimate's interval; an estimate without a value decides nothing."""

    def __call__(self, estimate: Estimate) -> Verdict:
        """The verdict."""
        ...

    def sentence(self) -> str:
        """The rule in words."""
        ...


@dataclass(frozen=True)
class Inside:
    """The number lies in [low, high]: agrees if its whole interval does, differs if none of it does.

    >>> above_half = Inside(low=0.5)
    >>> above_half(Estimate(0.7, 0.6, 0.8)).value, above_half(Estimate(0.6, 0.4, 0.8)).value
    ('agrees', 'cannot tell')
    """

    low: float = -math.inf
    high: float = math.inf

    def __call__(self, estimate: Estimate) -> Verdict:
        """See `Rule`."""
        if not estimate.ok or estimate.low is None or estimate.high is None:
            return Verdict.CANNOT_TELL
        if self.low <= estimate.low and estimate.high <= self.high:
            return Verdict.AGREES
        return Verdict.DIFFERS if estimate.high < self.low or estimate.low > self.high else Verdict.CANNOT_TELL

    def sentence(self) -> str:
        """The rule in words."""
        if math.isinf(self.low):
            where, out = f"below {self.high:g}", "above it"
        elif math.isinf(self.high):
            where, out = f"above {self.low:g}", "below it"
        else:
            where, out = f"inside [{self.low:g}, {self.high:g}]", "outside it"
        return f"agrees if the whole interval lies {where}, differs if all of it lies {out}"


@dataclass(frozen=True)
class Near:
    """The number may be any in [low, high]: agrees if the interval meets that range and is not wider than `widest`.

    An interval that is wider says too little to agree; one that does not meet the range differs, however wide.

    >>> Near(-1.5, -1.5, widest=0.6)(Estimate(-1.3, -1.55, -1.05)).value
    'agrees'
    """

    low: float
    high: float
    widest: float

    def __call__(self, estimate: Estimate) -> Verdict:
        """See `Rule`."""
        if not estimate.ok or estimate.low is None or estimate.high is None:
            return Verdict.CANNOT_TELL
        if estimate.high < self.low or estimate.low > self.high:
            return Verdict.DIFFERS
        return Verdict.AGREES if estimate.high - estimate.low <= self.widest else Verdict.CANNOT_TELL

    def sentence(self) -> str:
        """The rule in words."""
        what = f"{self.low:g}" if self.low == self.high else f"some of [{self.low:g}, {self.high:g}]"
        return (
            f"agrees if the interval contains {what} and is at most {self.widest:g} wide, differs if it does not contain it"
        )


@dataclass(frozen=True)
class Apart:
    """The number is not `value`: agrees if the interval excludes it, differs if it lies within `margin` of it.

    >>> Apart(1.0, margin=0.1)(Estimate(0.6, 0.5, 0.7)).value, Apart(1.0, margin=0.1)(Estimate(0.9, 0.7, 1.2)).value
    ('agrees', 'cannot tell')
    """

    value: float
    margin: float

    def __call__(self, estimate: Estimate) -> Verdict:
        """See `Rule`."""
        if not estimate.ok or estimate.low is None or estimate.high is None:
            return Verdict.CANNOT_TELL
        if not estimate.low <= self.value <= estimate.high:
            return Verdict.AGREES
        inside = self.value - self.margin <= estimate.low and estimate.high <= self.value + self.margin
        return Verdict.DIFFERS if inside else Verdict.CANNOT_TELL

    def sentence(self) -> str:
        """The rule in words."""
        return f"agrees if the interval excludes {self.value:g}, differs if all of it lies within {self.margin:g} of it"


@dataclass(frozen=True)
class Claim:
    """One statement of a study.

    Args:
        name: short, unique within the study.
        statement: what is claimed, in a sentence.
        source: who claims it: "the paper", "derived for this project", "an earlier measurement of ours".
        region: for which members it is tested, in words.
        quantity: the number that decides it.
        rule: how.
    """

    TOLD: ClassVar = ("name", "statement", "source", "region", "quantity", "decided_by")

    name: str
    statement: str
    source: str
    region: str
    quantity: str
    rule: Rule

    def judge(self, estimate: Estimate) -> Conclusion:
        """What `estimate` of the quantity says about it."""
        return Conclusion(self, estimate, self.rule(estimate))

    @property
    def decided_by(self) -> str:
        """The rule in words."""
        return self.rule.sentence()


@dataclass(frozen=True)
class Conclusion:
    """A claim, the estimate of its quantity, and the verdict."""

    TOLD: ClassVar = (*(f"claim.{name}" for name in Claim.TOLD), "verdict", "estimate")

    claim: Claim
    estimate: Estimate
    verdict: Verdict

    @property
    def measured(self) -> str:
        """The quantity as text, or why there is none."""
        e = self.estimate
        if e.value is None:
            return f"no value: {e.reason}"
        return f"{e.value:.3g} ({100 * e.level:.3g} %: {e.low:.3g} to {e.high:.3g})"
