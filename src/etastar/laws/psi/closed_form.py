"""`ClosedForm`: a formula of the ideal rate, fitted to the states of recorded forks. A `Law`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from etastar.core.estimate import Estimate, Status
from etastar.errors import ProblemError
from etastar.laws.psi.ideal import Ideal
from etastar.policies.psi import FORMS, Psi

SCALE = 0.5
"""Of ln(rate): residuals beyond it, more than the scatter of one task's states, pull linearly."""
FEWEST = 12
"""States that a fit takes at least: twice the numbers of the longest form."""


@dataclass(frozen=True)
class ClosedForm:
    """ln(rate / peak) = a form of (s, e), with numbers from a soft-L1 fit to ideal rates.

    A state whose best rate lies beyond those that were tried pulls from one side only.

    Args:
        form: its name.
        numbers: fitted.
        scatter: robust standard deviation of ln(ideal / fitted) over the states of the fit.
        states: how many.
    """

    form: str
    numbers: tuple[float, ...]
    scatter: float
    states: int

    @classmethod
    def fit(cls, ideals: Sequence[Ideal], form: str = "trapezoid") -> Self:
        """The form's numbers.

        Raises:
            ProblemError: too few states.
        """
        if len(ideals) < FEWEST:
            raise ProblemError(f"{len(ideals)} states were forked; a closed form needs {FEWEST} or more: fork more tasks")
        from scipy.optimize import least_squares

        own = FORMS[form]
        found = least_squares(
            lambda v: _residuals(form, v, ideals), own.start, bounds=(own.low, own.high), loss="soft_l1", f_scale=SCALE
        )
        residuals = _residuals(form, found.x, ideals)
        return cls(form, tuple(map(float, found.x)), float(1.4826 * np.median(np.abs(residuals))), len(ideals))

    def policy(self) -> Psi:
        """It, as a policy."""
        return Psi(self.form, tuple(round(v, 4) for v in self.numbers))

    def predict(self, s: float, eps: float = 0.0) -> Estimate:
        """rate / peak at a share `s` of the steps and ln(loss / first loss) `eps`; the interval is that of single states."""
        if not 0 <= s < 1:
            return Estimate.none(Status.OUTSIDE_THE_LAW, f"s is {s:g}; forks were made in [0, 1)", unit="rate / peak")
        value = math.exp(float(log_factors(self.form, self.numbers, [s], [eps])[0]))
        spread = math.exp(1.645 * self.scatter)
        return Estimate(value, value / spread, value * spread, unit="rate / peak", n=self.states, method=self.form)

    def decades(self, ideals: Sequence[Ideal]) -> float:
        """Root mean square of log10(ideal / predicted) over states that are not at an end."""
        inner = [ideal for ideal in ideals if not ideal.side]
        return float(np.sqrt(np.mean(_residuals(self.form, np.array(self.numbers), inner) ** 2))) / math.log(10)


def log_factors(
    form: str, numbers: Iterable[float] | NDArray[np.float64], s: Sequence[float], e: Sequence[float]
) -> NDArray[np.float64]:
    """The form's logarithm at many states."""
    tensors = (torch.tensor(np.asarray(list(x)), dtype=torch.float64) for x in (numbers, s, e))
    return np.asarray(FORMS[form].log_factor(*tensors).expand(len(s)))


def _residuals(form: str, numbers: NDArray[np.float64], ideals: Sequence[Ideal]) -> NDArray[np.float64]:
    fitted = log_factors(form, numbers, [i.s for i in ideals], [i.eps for i in ideals])
    wanted, side = np.array([i.log_factor for i in ideals]), np.array([i.side for i in ideals])
    off = fitted - wanted
    return np.where(side == 0, off, np.where(side * off > 0, 0.0, off))
