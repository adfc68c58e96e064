"""What `scale` found: the members measured, the laws compared, the target's rate, what to measure next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate
from etastar.core.lane import Runs
from etastar.laws.scaling.fitted import NONE, Fitted
from etastar.laws.scaling.next_member import Suggestion
from etastar.laws.scaling.scaling_law import ScalingLaw
from etastar.verbs.finite import finite
from etastar.verbs.scale.family import Numbers, size_text
from etastar.verbs.scale.transfer import Transfer
from etastar.version import __version__

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


@dataclass(frozen=True)
class ScaleAnswer:
    """What `scale` found; `to_json()` is the same in the contract's form.

    Args:
        problem: the family's name.
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
        cost, flags, runs, engine, seed, environment: as in `FindAnswer`.
    """

    problem: str
    measure: str
    target: Numbers
    lr: Estimate
    lr_per_group: tuple[tuple[str, float], ...]
    members: tuple[MeasuredMember, ...]
    law: ScalingLaw
    next: tuple[Suggestion, ...]
    budget: float
    noise_scale: float | None
    transfer: Transfer | None
    cost: dict[str, float]
    flags: tuple[str, ...]
    runs: Runs
    engine: str
    seed: int
    environment: dict[str, Any]

    @property
    def quantity(self) -> str:
        """What the law is of."""
        return QUANTITY[self.measure]

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

    def to_json(self) -> dict[str, Any]:
        """The JSON contract, with NaN and infinities as null."""
        return finite(
            {
                "etastar": __version__,
                "command": "scale",
                "problem": self.problem,
                "summary": self.summary,
                "measure": self.measure,
                "target": self.target,
                "lr": self.lr.to_json(),
                "lr_per_group": [{"group": name, "lr": lr} for name, lr in self.lr_per_group],
                "law": _law_json(self.law, 0) if self.law.fits else None,
                "candidates": [_law_json(self.law, i) for i in range(len(self.law.fits))],
                "members": [
                    {
                        "sizes": m.sizes,
                        "lr": m.lr.to_json(),
                        "left_out": m.left_out or None,
                        "seconds": m.seconds,
                        "gradient_steps": m.gradient_steps,
                    }
                    for m in self.members
                ],
                "next": [{"sizes": s.sizes, "seconds": s.cost, "factor": s.factor} for s in self.next],
                "budget_seconds": self.budget,
                "noise_scale": self.noise_scale,
                "transfer": self.transfer.to_json() if self.transfer else None,
                "cost": self.cost,
                "flags": list(self.flags),
                "raised": self.runs.raised_json(),
                "engine": self.engine,
                "seed": self.seed,
                "environment": self.environment,
            }
        )


def _law_json(law: ScalingLaw, index: int) -> dict[str, Any]:
    fit = law.fits[index]
    return {
        "name": fit.candidate.name,
        "why": fit.candidate.why,
        "formula": fit.formula,
        "constant": fit.law.constant,
        "limit": None if fit.candidate.limit is None else {"of": fit.candidate.limit.name, "at": fit.turn},
        "exponents": {name: _exponent(fit, name) for name in fit.law.columns if name != NONE},
        "r_squared": fit.r_squared,
        "loo": fit.loo,
        "scatter": fit.scatter,
        "fitted_numbers": fit.candidate.fitted,
        "tied": fit.tied,
        "chosen": index == 0,
    }


def _exponent(fit: Fitted, name: str) -> dict[str, Any]:
    """The exponent, with its intervals over members and over seeds where it was fitted; none beside a fitted limit."""
    law = fit.law
    value: dict[str, Any] = {"value": law.exponents[name], "fitted": name in law.fitted}
    for over in ("members", "seeds"):
        found = law.exponent(name, over=over) if name in law.fitted and fit.turn is None else None
        value[over] = None if found is None or not found.ok else {"low": found.low, "high": found.high}
    return value


def _size(sizes: Mapping[str, float]) -> float:
    product = 1.0
    for value in sizes.values():
        product *= value
    return product
