"""`ScalingLaw`: which law carries a learning rate from small members of a family to a large one, and how far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, stdtr

from etastar.core.estimate import Estimate, Status
from etastar.errors import ProblemError
from etastar.laws.scaling.candidates import SHAPE, candidates
from etastar.laws.scaling.conditions import Condition, DeepEnough, Sizes, WideEnough, Within
from etastar.laws.scaling.fitted import EXACT, Fitted, fit_form, ranked
from etastar.laws.scaling.power_law import FEWEST

DRIFT = {"depth": 0.85, "width": 0.1}
"""Standard deviation of a law's error, in decades per decade beyond the largest or below the smallest size: exponents drift.

From an earlier table of eta* on Fashion-MNIST (SGD): from 8 to 16 layers the exponent of depth was 0.4 - 1.2 steeper than
from 4 to 8; that of width changed by 0.1 per doubling.
"""


@dataclass(frozen=True)
class ScalingLaw:
    """The form with the smallest leave-one-out error, ties towards fewer fitted numbers. A `Law`.

    The interval is that of one new member under all forms together: each gives a Student distribution of log10 y (see
    `PowerLaw`), and they are mixed with weights loo^-members. Four members hardly tell one form from the next, and the
    interval of the chosen form alone held 64 - 98 % of synthetic truths; that of the mixture 76 - 100 %, 93 % on average.
    Beyond the sizes measured it is widened by `DRIFT`.

    Args:
        fits: every form that could be fitted, best first; the first is the chosen one.
        members: sizes the law rests on.
        left_out: (sizes, why) of members that do not meet the conditions.
        conditions: each may say why the law does not hold for a target.
        fixed: sizes that are the same for all members; a target must have them.
        noise: rms standard error of the members, in decades.
        level: probability of the interval.

    >>> sizes = [{"depth": L, "width": n} for L in (4, 8) for n in (128, 256)]
    >>> law = ScalingLaw.fit(sizes, [10 / math.sqrt(m["width"]) / m["depth"] ** 1.5 for m in sizes])
    >>> law.chosen.candidate.name, round(law.predict({"depth": 8, "width": 512}).require(), 6)
    ('unfitted', 0.019531)
    >>> law.predict({"depth": 8, "width": 64}).reason[:38]
    'width 64 is less than 16 x depth 8: la'
    """

    fits: tuple[Fitted, ...]
    members: tuple[Sizes, ...]
    left_out: tuple[tuple[Sizes, str], ...]
    conditions: tuple[Condition, ...]
    fixed: Mapping[str, float]
    noise: float
    level: float

    @classmethod
    def fit(
        cls,
        sizes: Sequence[Sizes],
        values: Sequence[float],
        *,
        errors: Sequence[float] | None = None,
        loss: str = "cross-entropy",
        optimizer: str = "sgd",
        noise_scale: float | None = None,
        path_sum: Callable[[Sizes], float] | None = None,
        chain: bool = True,
        level: float = 0.9,
    ) -> Self:
        """The law of these members.

        Args:
            sizes: of each member, the same names in each.
            values: what was measured there, > 0.
            errors: standard error of log10 of each value, in decades.
            loss, optimizer, noise_scale, path_sum: see `candidates`.
            chain: whether it is a plain chain of layers; only then are narrow and shallow members left out.
            level: probability of intervals.

        Raises:
            ProblemError: members with other names, or as many values or errors as members.
        """
        errors = [0.0] * len(sizes) if errors is None else errors
        if not len(sizes) == len(values) == len(errors):
            raise ProblemError(f"got {len(sizes)} sizes, {len(values)} values and {len(errors)} errors; expected as many")
        names = list(sizes[0]) if sizes else []
        if any(set(member) != set(names) for member in sizes):
            raise ProblemError(f"the members have other sizes than {', '.join(names)}; give every member the same names")
        shape = shape_conditions(sizes, chain)
        reasons = [next(filter(None, (c(m, []) for c in shape)), None) for m in sizes]
        kept = [i for i, reason in enumerate(reasons) if reason is None]
        members = [sizes[i] for i in kept]
        varied = [n for n in names if len({m[n] for m in members}) > 1]
        forms = candidates(varied, loss=loss, optimizer=optimizer, noise_scale=noise_scale, path_sum=path_sum)
        y, own = np.array([values[i] for i in kept]), np.array([errors[i] for i in kept])
        noise = float(np.sqrt(np.mean(own**2))) if kept else 0.0
        fits = ranked([f for f in (fit_form(form, members, y, own, level) for form in forms) if f], noise)
        reach = [Within((name,)) for name in varied]
        if all(name in varied for name in SHAPE):
            reach.append(Within(SHAPE))
        fixed = {n: members[0][n] for n in names if n not in varied} if members else {}
        left_out = tuple((sizes[i], reason) for i, reason in enumerate(reasons) if reason)
        return cls(tuple(fits), tuple(members), left_out, (*shape, *reach), fixed, noise, level)

    @property
    def chosen(self) -> Fitted:
        """The form that predicts."""
        if not self.fits:
            raise ProblemError(f"a law needs at least {FEWEST} sizes and has {len(self.members)}; measure more")
        return self.fits[0]

    def predict(self, target: Sizes) -> Estimate:
        """The value of a member of size `target`, or why the law does not reach there."""
        n = len(self.members)
        none = {"level": self.level, "n": n, "method": "scaling law"}
        if n < FEWEST or not self.fits:
            also = f"; {len(self.left_out)} were left out: {self.left_out[0][1]}" if self.left_out else ""
            reason = f"a law needs at least {FEWEST} sizes and has {n}{also}"
            return Estimate.none(Status.TOO_FEW_POINTS, reason, **none)
        if reason := self.why_not(target):
            return Estimate.none(Status.OUTSIDE_THE_LAW, reason, **none)
        low, high = self.interval(target)
        if not math.isfinite(high):
            return Estimate.none(Status.TOO_FEW_POINTS, f"{n} sizes leave nothing over after the fit; measure more", **none)
        value = self.chosen.value(target)
        method = f"{self.chosen.candidate.name}: {self.chosen.formula}"
        return Estimate(value, min(low, value), max(high, value), self.level, n=n, method=method)

    def why_not(self, target: Sizes, further: Sequence[Sizes] = ()) -> str | None:
        """The condition that fails for `target`, had `further` members been measured, too; None if all hold."""
        measured = [*self.members, *further]
        missing = [n for n in self.members[0] if n not in target] if self.members else []
        if missing:
            raise ProblemError(f"the target has no {', '.join(missing)}; expected {', '.join(self.members[0])}")
        for name, value in self.fixed.items():
            if target[name] != value and not any(m[name] == target[name] for m in further):
                return f"{name} is {value:g} for every member measured and {target[name]:g} for the target; vary it, too"
        return next(filter(None, (c(target, measured) for c in self.conditions)), None)

    def interval(self, target: Sizes, further: Sequence[Sizes] = ()) -> tuple[float, float]:
        """(low, high) at `target`; with `further` members, what it would be if they agreed with every form.

        Infinite where nothing is left over after the fit.
        """
        parts = [self._part(f, target, further) for f in self.fits if math.isfinite(f.loo)]
        if not parts:
            return 0.0, math.inf
        weight, middle, sd, freedom = (np.array(column) for column in zip(*parts, strict=True))
        weight = weight / weight.sum()

        def quantile(p: float) -> float:
            beyond = lambda x: float(weight @ stdtr(freedom, (x - middle) / sd)) - p
            width = 1.0
            while beyond(middle.min() - width) > 0 or beyond(middle.max() + width) < 0:
                width *= 2
            return 10 ** min(float(brentq(beyond, middle.min() - width, middle.max() + width, xtol=1e-6)), 300.0)  # pyright: ignore

        tail = (1 - self.level) / 2
        low, high = math.log10(quantile(tail)), math.log10(quantile(1 - tail))
        value = math.log10(self.chosen.value(target))
        drift = float(ndtri(1 - tail)) * self.drift(target, further)
        low, high = value - math.hypot(max(value - low, 0.0), drift), value + math.hypot(max(high - value, 0.0), drift)
        return 10 ** max(low, -300.0), 10 ** min(high, 300.0)

    def drift(self, target: Sizes, further: Sequence[Sizes] = ()) -> float:
        """Standard deviation, in decades, that comes from going beyond the sizes measured (`DRIFT`)."""
        found = 0.0
        for name, rate in DRIFT.items():
            if name not in target or name in self.fixed:
                continue
            known = [math.log10(m[name]) for m in (*self.members, *further)]
            at = math.log10(target[name])
            found = math.hypot(found, rate * max(at - max(known), min(known) - at, 0.0))
        return found

    def _part(self, fit: Fitted, target: Sizes, further: Sequence[Sizes]) -> tuple[float, float, float, int]:
        """One form's share of the mixture: (weight, middle and scale in decades, degrees of freedom)."""
        weight = (max(fit.loo, self._noise) / max(self.fits[0].loo, self._noise)) ** -len(self.members)
        rows, row = fit.gradients([*self.members, *further]), fit.gradients([target])[0]
        leverage = float(row @ np.linalg.pinv(rows.T @ rows) @ row)
        return (
            weight,
            math.log10(fit.value(target)),
            max(fit.scatter, EXACT) * math.sqrt(1 + leverage),
            len(rows) - rows.shape[1],
        )

    @property
    def _noise(self) -> float:
        """Errors below this, in decades, tell no form from another."""
        return max(self.noise, EXACT)


def shape_conditions(sizes: Sequence[Sizes], chain: bool) -> tuple[Condition, ...]:
    """What a chain of layers must be for a law in its depth and width to hold; the shallow ones only spoil a law in both."""
    names = set(sizes[0]) if sizes else set()
    if not chain or not names >= set(SHAPE):
        return ()
    both = all(len({m[name] for m in sizes}) > 1 for name in SHAPE)
    return (WideEnough(), DeepEnough()) if both else (WideEnough(),)
