"""Intervals of forecast curves, where what the law lacks was chosen on other sets of curves: none is its own judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.curves import AIM, exact, fitted, tested
from benchmarks.curves_data import PEAKS
from benchmarks.one_pass import FOLDERS, Trained
from benchmarks.one_pass_scores import three_and_unseen
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.fading_noise import OF_LOSS, FadingNoise

Row = dict[str, Any]
LEVEL, WANTED = 0.9, 0.92
"""Of the intervals; and of the losses of all other sets together, each counting alike."""


@dataclass(frozen=True)
class Scored:
    """A curve never fitted: errors and numbers of the law, and the variance among its refits, at the losses it speaks of."""

    errors: np.ndarray
    values: np.ndarray
    refits: np.ndarray


@dataclass(frozen=True)
class Judged:
    """A set: its law's noise B and residual rms, and its unseen curves."""

    noise: float
    rms: float
    curves: tuple[Scored, ...]

    def covered(self, form: Form, share: float) -> tuple[list[np.ndarray], float]:
        """Which losses of each curve lie inside, and the mean width."""
        z = float(norm.ppf((1 + LEVEL) / 2))
        half = [z * np.sqrt(c.refits + form(self, c.values, share) ** 2) for c in self.curves]
        inside = [np.abs(c.errors) <= h for c, h in zip(self.curves, half, strict=True)]
        return inside, 2 * float(np.mean(np.concatenate(half)))


Form = Callable[[Judged, np.ndarray, float], np.ndarray]
FORMS: dict[str, Form] = {
    "share of the loss, at least the rms": lambda of, v, share: np.maximum(share, of.rms) * v,
    "loss, rms, and a share of the noise": lambda of, v, share: np.sqrt(
        (OF_LOSS * v) ** 2 + (of.rms * v) ** 2 + (share * of.noise) ** 2
    ),
    "multiple of the rms": lambda of, v, share: 100 * share * of.rms * v,
}
"""Standard deviation of what the law lacks: the one there was, the one there is, and another."""


def judged(curves: Sequence[Curve], unseen: Sequence[Curve]) -> Judged:
    """The law of these curves on others."""
    law = FadingNoise.fit(curves)
    return Judged(float(law.coefficients[2]), law.rms, tuple(s for c in unseen if (s := _scored(law, c.fitted)) is not None))


def _scored(law: FadingNoise, curve: Curve) -> Scored | None:
    spoken = law.spoken(curve.rates, curve.steps)
    known = ~np.isnan(spoken)
    if not known.any():
        return None
    clock = Clock.of(curve.rates, law.reference, curve.steps[known])
    refits = np.array([type(law).columns(fit.exponents, clock) @ fit.coefficients for fit in law.refits])
    value = spoken[known]
    return Scored(value - curve.losses[known], value, ((refits - value) ** 2).mean(axis=0))


def rows(config: dict[str, Any]) -> Iterator[Row]:
    """One row a form and a set that is left out: alone, and with all others of its size."""
    root = Path(config["folder"])
    names = ("25M", "100M", *(f"124M {peak}" for peak in PEAKS))
    public = root / "loss-curves"
    sets = {name: judged(fitted(public, name), tested(public, name)) for name in names}
    for name in config["tasks"]:
        trained = Trained(name, str(root / FOLDERS[name]), config["store"], config["seeds"])
        sets[name] = judged(*three_and_unseen(trained))
    for label, form in FORMS.items():
        for name, own in sets.items():
            alone = {k: s for k, s in sets.items() if k != name}
            sizes = {k: s for k, s in sets.items() if k.split()[0] != name.split()[0]}
            for left, others in {len(alone): alone, len(sizes): sizes}.items():
                share = _share(form, others)
                inside, width = own.covered(form, share)
                yield {
                    "form": label, "set": name, "sets": left, "share": share, "width": width, "noise": own.noise,
                    "rms": own.rms, "losses": sum(map(len, inside)), "inside": int(sum(i.sum() for i in inside)),
                    "curves": len(inside), "whole": sum(bool(i.mean() >= LEVEL) for i in inside),
                    "ends": sum(bool(i[-1]) for i in inside),
                }  # fmt: skip


def _share(form: Form, sets: Mapping[str, Judged]) -> float:
    """The share that covers `WANTED` of these sets' losses, each set counting alike."""
    coverage = lambda share: float(np.mean([np.concatenate(s.covered(form, share)[0]).mean() for s in sets.values()]))
    return float(brentq(lambda share: coverage(share) - WANTED, 1e-5, 0.2, xtol=1e-5))  # type: ignore[arg-type]


def summary(found: list[Row], table) -> str:
    """A row a form and a set."""
    lines = [
        [
            r["form"], r["set"], r["sets"], f"{r['share']:.4f}", f"{r['inside'] / r['losses']:.0%}",
            exact(r["whole"], r["curves"]), exact(r["ends"], r["curves"]), f"{r['width']:.3f}", f"{r['noise']:.2f}",
        ]
        for r in found
    ]  # fmt: skip
    header = ["what the law lacks", "left out", "sets it was chosen on", "share", "losses inside 90 %"]
    header += ["curves with >= 90 % inside", "last losses inside", "mean width", "noise B"]
    least = {form: min(r["inside"] / r["losses"] for r in found if r["form"] == form) for form in FORMS}
    said = "; ".join(f"{form}: {share:.0%}" for form, share in least.items())
    return f"Least coverage of a set left out (aim {AIM:.0%}): {said}.\n\n" + table(header, lines)
