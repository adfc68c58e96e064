"""What `scale` found: the members measured, the laws compared, the target's rate, what to measure next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from etastar.core.estimate import Estimate
from etastar.core.told import Range
from etastar.laws.scaling.fitted import NONE, Fitted
from etastar.laws.scaling.next_member import Suggestion
from etastar.laws.scaling.scaling_law import ScalingLaw
from etastar.verbs.answer import Answer, GivesRate, GroupRate
from etastar.verbs.scale.family import Numbers, size_text
from etastar.verbs.scale.transfer import Transfer

QUANTITY = {"eta-star": "eta*", "best": "best rate"}
"""what is measured -> its name."""


@dataclass(frozen=True)
class MeasuredMember:
    """One member.

    Args:
        sizes: of it.
        lr: eta* or the best rate.
        seconds, gradient_steps, full_runs: what it took.
        left_out: why the law does not rest on it; "" if it does.
    """

    sizes: Numbers
    lr: Estimate
    seconds: float
    gradient_steps: int
    full_runs: float
    left_out: str = ""


class Limit(NamedTuple):
    """The size at which the second limit of a rate takes over, and of what."""

    of: str
    at: float


class ExponentTold(NamedTuple):
    """Of a power: its value, whether it was fitted, and its 90 % intervals over members and over seeds."""

    value: float
    fitted: bool
    members: Range | None
    seeds: Range | None


@dataclass(frozen=True)
class LawTold:
    """A form of the law in numbers.

    Args:
        name, why: of the form, and where it comes from.
        formula: as text.
        constant, limit, exponents: its numbers.
        r_squared: share of the variance.
        loo: leave-one-out error in decades; scatter: of members about the form.
        fitted_numbers: how many were fitted.
        tied, chosen: whether it does as well as the best; whether it is what predicts.
    """

    name: str
    why: str
    formula: str
    constant: float
    limit: Limit | None
    exponents: dict[str, ExponentTold]
    r_squared: float
    loo: float
    scatter: float
    fitted_numbers: int
    tied: bool
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class ScaleAnswer(GivesRate, Answer):
    """What `scale` found.

    Args:
        measure: "eta-star" or "best".
        target: its sizes.
        lr: predicted for the target: eta* or the best rate, by `measure`.
        lr_per_group: (group, rate) at that rate.
        members: in the order measured.
        law: every form that was fitted; the first is the chosen one.
        next: what to measure next.
        budget: seconds that `next` may take.
        noise_scale: B_noise in samples, where the batch is scaled.
        transfer: the standard parametrisation and muP side by side; None if not asked for.
    """

    command = "scale"
    TOLD = (
        "measure", "target", "lr", "lr_per_group", "candidates", "members", "next", "budget", "noise_scale", "transfer"
    )  # fmt: skip

    measure: str
    target: Numbers
    lr: Estimate
    lr_per_group: tuple[GroupRate, ...]
    members: tuple[MeasuredMember, ...]
    law: ScalingLaw
    next: tuple[Suggestion, ...]
    budget: float
    noise_scale: float | None
    transfer: Transfer | None

    @property
    def quantity(self) -> str:
        """What the law is of."""
        return QUANTITY[self.measure]

    @property
    def candidates(self) -> tuple[LawTold, ...]:
        """Every form that was fitted, best first."""
        return tuple(_told_law(fit, chosen=i == 0) for i, fit in enumerate(self.law.fits))

    @property
    def largest(self) -> MeasuredMember | None:
        """The largest member with an answer, in the product of its sizes."""
        known = [m for m in self.members if m.lr.ok]
        return max(known, key=lambda m: _size(m.sizes), default=None)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        where = size_text(self.target)
        if not self.lr.ok:
            text = f"no {self.quantity} for {where} ({self.lr.status.value}): {self.lr.reason}"
        else:
            chosen = self.law.chosen
            text = (
                f"{self.quantity} at {where}: {self.lr.value:.3g} [{self.lr.low:.2g}, {self.lr.high:.2g}], by "
                f"{chosen.candidate.name} ({chosen.candidate.why}; leave-one-out error {chosen.loo:.2g} decades)"
            )
        if self.next:
            text += f"; measure next: {size_text(self.next[0].sizes)}"
        return text


def _told_law(fit: Fitted, *, chosen: bool) -> LawTold:
    form, law = fit.candidate, fit.law
    limit = None if form.limit is None or fit.turn is None else Limit(form.limit.name, fit.turn)
    exponents = {name: _exponent(fit, name) for name in law.columns if name != NONE}
    numbers = law.constant, limit, exponents, fit.r_squared, fit.loo, fit.scatter
    return LawTold(form.name, form.why, fit.formula, *numbers, form.fitted, fit.tied, chosen)


def _exponent(fit: Fitted, name: str) -> ExponentTold:
    """The exponent, with its intervals over members and over seeds where it was fitted; none beside a fitted limit."""
    law, fitted = fit.law, name in fit.law.fitted
    found = [law.exponent(name, over=over) if fitted and fit.turn is None else None for over in ("members", "seeds")]
    between = [None if e is None or e.low is None or e.high is None or not e.ok else Range(e.low, e.high) for e in found]
    return ExponentTold(law.exponents[name], fitted, *between)


def _size(sizes: Mapping[str, float]) -> float:
    product = 1.0
    for value in sizes.values():
        product *= value
    return product
