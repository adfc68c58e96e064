"""One form of a scaling law fitted to members: its numbers, its error at members left out, its value elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from etastar.errors import ProblemError
from etastar.laws.scaling.candidates import Candidate
from etastar.laws.scaling.conditions import Sizes
from etastar.laws.scaling.power_law import FEWEST, PowerLaw

Array = NDArray[np.float64]
Indices = NDArray[np.int_]
EXACT = 1e-9
"""Decades below which a fit counts as exact."""
TIED = 1.1
"""A form with fewer fitted numbers is taken if its leave-one-out error is at most this many times the smallest."""
BEYOND, STEP = 3.0, 0.1
"""Decades beyond the members' limits within which K is looked for (one limit rules them all there), and the first grid's."""
NONE = "none"
"""The column of a form without powers."""


@dataclass(frozen=True)
class Fitted:
    """y(sizes) = C prod_j x_j^e_j / (1 + X / K); without a limit X, the powers alone.

    Args:
        candidate: the form; its `limit` is X.
        law: the powers, fitted to y (1 + X / K).
        turn: K, the size at which both limits are equal; None without a limit.
        loo: root mean square of the leave-one-out errors, in decades; infinite where a member is needed for the fit.
        scatter: standard deviation of members about the form, in decades; infinite where nothing is left over.
        r_squared: share of the variance of log10 y.
        tied: whether it does as well as the best.
    """

    candidate: Candidate
    law: PowerLaw
    turn: float | None
    loo: float
    scatter: float
    r_squared: float
    tied: bool = False

    @property
    def formula(self) -> str:
        """As text, e.g. "0.105 / (1 + depth^3 x width / 4.1e+04)"; compound sizes in brackets."""
        powers = [f"{_bracketed(name)}^{e:.3g}" for name, e in self.law.exponents.items() if name != NONE]
        text = " ".join([f"{self.law.constant:.3g}", *powers])
        return text if self.candidate.limit is None else f"{text} / (1 + {self.candidate.limit.name} / {self.turn:.3g})"

    def value(self, sizes: Sizes) -> float:
        """The form's number there, whether it holds there or not."""
        return self.law.value(_columns(self.candidate, sizes)) / (1 + self._over(sizes))

    def gradients(self, members: Sequence[Sizes]) -> Array:
        """[members, fitted numbers]: derivatives of log10 y by log10 of C, the fitted e_j, and log10 of K."""
        free = [c for c in self.candidate.columns if c.exponent is None]
        rows = [[1.0, *(math.log10(c.of(m)) for c in free)] for m in members]
        if self.candidate.limit is not None:
            for row, member in zip(rows, members, strict=True):
                row.append(self._over(member) / (1 + self._over(member)))
        return np.array(rows)

    def _over(self, sizes: Sizes) -> float:
        """X / K."""
        return 0.0 if self.candidate.limit is None or self.turn is None else self.candidate.limit.of(sizes) / self.turn


def fit_form(form: Candidate, members: Sequence[Sizes], values: Array, errors: Array, level: float) -> Fitted | None:
    """The form's fit to values [members] with standard errors in decades; None where the members cannot carry it."""
    if len(members) <= form.fitted or len(members) < FEWEST:
        return None
    try:
        if form.limit is None:
            law = _powers(form, members, values, errors, level)
            return Fitted(form, law, None, law.loo, law.scatter, law.r_squared)
        return _with_limit(form, members, values, errors, level)
    except ProblemError:  # sizes that vary together
        return None


def ranked(fits: list[Fitted], noise: float) -> list[Fitted]:
    """Best first: of the forms that fit as well as any (within `TIED`, or within the measurements' own errors) the one with
    the fewest fitted numbers; then the others by their error."""
    if not fits:
        return []
    best = min(f.loo for f in fits)
    limit = max(TIED * best, noise, EXACT)
    tied = sorted((f for f in fits if f.loo <= limit), key=lambda f: (f.candidate.fitted, f.loo))
    rest = sorted((f for f in fits if f.loo > limit), key=lambda f: f.loo)
    return [replace(f, tied=True) for f in tied] + rest


def _powers(form: Candidate, members: Sequence[Sizes], values: Array, errors: Array, level: float) -> PowerLaw:
    rows = [_columns(form, m) for m in members]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    given = {c.name: c.exponent for c in form.columns if c.exponent is not None} if form.columns else {NONE: 0.0}
    return PowerLaw.fit(columns, values, given=given, errors=errors, conditions=(), level=level)


def _with_limit(form: Candidate, members: Sequence[Sizes], values: Array, errors: Array, level: float) -> Fitted:
    """Least squares over C, e_j and K."""
    plain = _powers(replace(form, limit=None), members, values, errors, level)  # for its columns
    given = sum((plain.exponents[name] * np.log10(plain.columns[name]) for name in plain.given), np.zeros(len(members)))
    design = np.column_stack([np.ones(len(members)), *(np.log10(plain.columns[name]) for name in plain.fitted)])
    logs = np.log10(values) - given
    limits = np.array([form.limit.of(m) for m in members])  # pyright: ignore[reportOptionalMemberAccess]

    def predicted(kept: Indices, asked: Indices) -> tuple[Array, float]:
        turn = _turn(design[kept], logs[kept], limits[kept])
        solved = np.linalg.pinv(design[kept]) @ (logs[kept] + np.log10(1 + limits[kept] / turn))
        return design[asked] @ solved - np.log10(1 + limits[asked] / turn), turn

    everyone = np.arange(len(members))
    fitted, turn = predicted(everyone, everyone)
    left_out = [logs[i] - predicted(np.delete(everyone, i), everyone[i : i + 1])[0][0] for i in everyone]
    squares, total = float(np.sum((logs - fitted) ** 2)), float(np.sum((logs + given - (logs + given).mean()) ** 2))
    return Fitted(
        form,
        _powers(form, members, values * (1 + limits / turn), errors, level),
        turn,
        loo=math.sqrt(float(np.mean(np.square(left_out)))),
        scatter=math.sqrt(max(squares / (len(members) - form.fitted), float(np.mean(errors**2)))),
        r_squared=1 - squares / total if total > 0 else 1.0,
    )


def _turn(design: Array, logs: Array, limits: Array) -> float:
    """The K with the smallest sum of squares."""
    residual = np.eye(len(logs)) - design @ np.linalg.pinv(design)

    def squares(decade: float) -> float:
        left = residual @ (logs + np.log10(1 + limits / 10**decade))
        return float(left @ left)

    decades = np.arange(math.log10(limits.min()) - BEYOND, math.log10(limits.max()) + BEYOND, STEP)
    best = decades[int(np.argmin([squares(d) for d in decades]))]
    around = (best - STEP, best + STEP)
    return 10 ** float(minimize_scalar(squares, bounds=around, method="bounded", options={"xatol": 1e-9}).x)  # pyright: ignore


def _columns(form: Candidate, sizes: Sizes) -> dict[str, float]:
    return {c.name: c.of(sizes) for c in form.columns} or {NONE: 1.0}


def _bracketed(name: str) -> str:
    return f"({name})" if " " in name else name
