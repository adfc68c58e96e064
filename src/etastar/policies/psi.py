"""`Psi`: the ideal learning rate as a closed form of the epoch, or of epoch and loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from etastar.arguments import shown, word
from etastar.errors import ProblemError
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked

MEMORY = 0.03
"""Share of the steps over which the loss is averaged: at 200 steps six batches, short beside every phase of the rate."""
LOWEST, HIGHEST = -4.0, 1.0
"""Of ln(loss / first loss): a loss that is nearly nothing, or above its start, says no more than these."""
BEGINS = 0.05
"""Share of the steps that the warm-up has behind it when it starts: the first rate is not nothing."""
Tensor = torch.Tensor


@dataclass(frozen=True)
class Form:
    """A closed form of the ideal rate: ln(rate / peak) = log_factor(values, s, e).

    Args:
        names: of its numbers.
        start, low, high: where a fit begins, and between what each of them may lie.
        log_factor: (numbers [P], s = share of the steps that are over, e = ln(loss / first loss)) -> the logarithm.
        of_loss: whether it sees the loss at all.
        sentence: the formula.
    """

    names: tuple[str, ...]
    start: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    log_factor: Callable[[Tensor, Tensor, Tensor], Tensor]
    of_loss: bool
    sentence: str


def _left(s: Tensor) -> Tensor:
    return (1 - s).clamp(min=1e-6)


def _power(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return v[0] + v[1] * _left(s).log()


def _hold(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return v[0] + v[1] * (_left(s) / v[2]).log().clamp(max=0)


def _trapezoid(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    warming = ((s + BEGINS) / (v[4] + BEGINS)).log().clamp(max=0)
    return _hold(v, s, e) + v[3] * warming


def _trapezoid_of_loss(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return _trapezoid(v, s, e) + v[5] * e


def _saturating(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return _power(v, s, e) - torch.log1p(v[2].exp() * (-e).exp())


def _loss_alone(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return v[0] + v[1] * e


def _exponential(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return v[0] - v[1] * s


def _inverse(v: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return v[0] - v[2] * torch.log1p(s / v[1])


Limits = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""(start, low, high) of a form's numbers."""


def _beside(limits: Limits, *more: tuple[float, float, float]) -> Limits:
    """The limits of a form that has further numbers."""
    start, low, high = zip(*more, strict=True)
    return limits[0] + start, limits[1] + low, limits[2] + high


HOLD: Limits = ((-0.3, 1.0, 0.6), (-3.0, 0.1, 0.05), (2.0, 4.0, 1.0))
TRAPEZOID = _beside(HOLD, (0.3, 0.0, 2.0), (0.2, 0.02, 0.6))
FORMS: dict[str, Form] = {
    "trapezoid": Form(
        ("level", "fall", "decay", "rise", "warmup"),
        *TRAPEZOID,
        _trapezoid,
        False,
        "e^level min(1, (s + .05) / (warmup + .05))^rise min(1, (1 - s) / decay)^fall",
    ),
    "hold": Form(("level", "fall", "decay"), *HOLD, _hold, False, "e^level min(1, (1 - s) / decay)^fall"),
    "power": Form(("level", "fall"), (-0.3, 1.0), (-3.0, 0.0), (2.0, 4.0), _power, False, "e^level (1 - s)^fall"),
    "exponential": Form(("level", "fall"), (-0.3, 1.5), (-3.0, 0.0), (2.0, 8.0), _exponential, False, "e^(level - fall s)"),
    "inverse": Form(
        ("level", "scale", "fall"),
        (0.0, 0.3, 1.0),
        (-3.0, 0.01, 0.0),
        (2.0, 5.0, 4.0),
        _inverse,
        False,
        "e^level (1 + s / scale)^-fall",
    ),
    "trapezoid-of-loss": Form(
        ("level", "fall", "decay", "rise", "warmup", "of_loss"),
        *_beside(TRAPEZOID, (0.0, -2.0, 2.0)),
        _trapezoid_of_loss,
        True,
        "the trapezoid x (loss / first loss)^of_loss",
    ),
    "saturating": Form(
        ("level", "fall", "half"),
        (-0.3, 1.0, -2.0),
        (-3.0, 0.0, -8.0),
        (3.0, 4.0, 2.0),
        _saturating,
        True,
        "e^level (1 - s)^fall x eps / (eps + e^half), eps = loss / first loss",
    ),
    "loss-alone": Form(
        ("level", "of_loss"), (-0.3, 0.5), (-3.0, -2.0), (3.0, 4.0), _loss_alone, True, "e^level (loss / first loss)^of_loss"
    ),
}
"""Closed forms by name, s = step / steps."""
FITTED = (-0.1, 1.0, 0.55, 0.27, 0.27)
"""The trapezoid's numbers: its fit to 672 states of 32 small tasks (record 2026-11-26_psi), rounded."""


@dataclass(frozen=True)
class Psi(Checked):
    """alpha_i = peak x e^log_factor(i / N, ln(eps_i / eps_0)): the ideal rate in a closed form.

    By default a trapezoid of the epoch alone: warm up over a quarter, hold for a sixth, decay over the rest,

        e^level x min(1, (s + .05) / (warmup + .05))^rise x min(1, (1 - s) / decay)^fall,      s = t / steps.

    The lane's rate is the peak of a linear decay: the trapezoid is meant to be used at that rate, unchanged. Forms that see
    the loss take its exponential mean over 3 % of the steps, in units of the first.

    Args:
        form: one of `FORMS`.
        numbers: of the form, in its order; () for the trapezoid's own.
        steps: the horizon; None until `Problem` or `over` sets it.

    Raises:
        ProblemError: no such form, or another count of numbers.

    >>> from etastar.policies.policy import rates_over
    >>> [round(float(rate), 2) for rate in rates_over(Psi(steps=8), 1.0, 8)]
    [0.55, 0.77, 0.89, 0.9, 0.82, 0.62, 0.41, 0.21]
    >>> seen = Psi("loss-alone", (0.0, 1.0), steps=100)
    >>> state, rates = seen.init(1.0), []
    >>> for step, loss in enumerate([2.0, 2.0, 0.5]):
    ...     rate, state = seen.step(Observation(step, {"loss": loss}), state)
    ...     rates.append(round(float(rate), 3))
    >>> rates
    [1.0, 1.0, 0.75]
    """

    form: str = "trapezoid"
    numbers: tuple[float, ...] = ()
    steps: int | None = None

    def __post_init__(self) -> None:
        word("psi: form", self.form, FORMS)
        wanted = FORMS[self.form].names
        if not self.numbers and self.form == "trapezoid":
            object.__setattr__(self, "numbers", FITTED)  # its repr, from which a store's keys are made, tells them
        if len(self.numbers) != len(wanted) or not all(isinstance(v, (int, float)) for v in self.numbers):
            raise ProblemError(
                f"psi: numbers are {shown(self.numbers)}; the form {self.form} expects {len(wanted)}: {', '.join(wanted)}"
            )

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The loss, for a form that sees it."""
        return ("loss",) if FORMS[self.form].of_loss else ()

    def over(self, steps: int) -> Psi:
        """The same over `steps` steps."""
        return replace(self, steps=steps)

    def factor(self, step: int, e: Any = 0.0) -> Tensor:
        """Share of the peak at `step`, where ln(loss / first loss) is `e`; [] or [K], float64."""
        if self.steps is None:
            raise ProblemError("the policy psi has no horizon yet; call policy.over(steps) first")
        s = torch.tensor(min(step / self.steps, 1.0), dtype=torch.float64)
        numbers = torch.tensor(self.numbers, dtype=torch.float64)
        return FORMS[self.form].log_factor(numbers, s, torch.as_tensor(e, dtype=torch.float64)).exp()

    def share(self, step: int) -> float:
        """`factor` as a number, for a form that does not see the loss."""
        if self.steps is None:
            raise ProblemError("the policy psi has no horizon yet; call policy.over(steps) first")
        return _shares(self.form, self.numbers, self.steps)[min(step, self.steps)]

    def rest(self, step: int) -> float:
        """Sum of the shares from `step` to the last, for a form that does not see the loss."""
        if self.steps is None:
            raise ProblemError("the policy psi has no horizon yet; call policy.over(steps) first")
        return _rests(self.form, self.numbers, self.steps)[min(step, self.steps)]

    def init(self, lr: Any) -> Any:
        """The peak; for a form that sees the loss the first loss and the mean, too."""
        if not self.reads:
            return lr
        lr = torch.as_tensor(lr, dtype=torch.float64)
        unknown = torch.full_like(lr, math.nan)
        return {"lr": lr, "first": unknown, "mean": unknown}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The form's rate at this step."""
        if not self.reads:
            return state * self.share(observation.step), state
        loss = torch.as_tensor(observation["loss"], dtype=torch.float64)
        first = torch.where(state["first"].isnan(), loss, state["first"])
        mean = averaged(state["mean"], loss, 1, self.steps or 1)
        rate = state["lr"] * self.factor(observation.step, fallen(mean, first)).to(state["lr"].device)
        return rate, {"lr": state["lr"], "first": first, "mean": mean}


@lru_cache
def _shares(form: str, numbers: tuple[float, ...], steps: int) -> list[float]:
    """Shares of the peak at steps 0 .. steps."""
    s = torch.arange(steps + 1, dtype=torch.float64) / steps
    values = torch.tensor(numbers, dtype=torch.float64)
    return FORMS[form].log_factor(values, s, torch.zeros_like(s)).exp().tolist()


@lru_cache
def _rests(form: str, numbers: tuple[float, ...], steps: int) -> list[float]:
    """Sums of the shares at and after steps 0 .. steps."""
    return torch.tensor(_shares(form, numbers, steps), dtype=torch.float64).flip(0).cumsum(0).flip(0).tolist()


def averaged(mean: Tensor, loss: Tensor, gap: int, steps: int) -> Tensor:
    """The exponential mean over `MEMORY` of the steps where `loss` came `gap` steps after the last; a NaN begins there."""
    kept = (1 - min(1 / (MEMORY * steps), 1.0)) ** gap
    return torch.where(mean.isnan(), loss, kept * mean + (1 - kept) * loss)


def fallen(mean: Tensor, first: Tensor) -> Tensor:
    """ln(mean / first), within limits; 0 where it is no number."""
    return torch.nan_to_num((mean / first).log(), nan=0.0, posinf=HIGHEST, neginf=LOWEST).clamp(LOWEST, HIGHEST)
