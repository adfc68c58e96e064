"""`PsiArgmax`: the rate that a predictor of (epoch, loss, rate) promises most of, looked for at regular steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from etastar.arguments import shown, word
from etastar.errors import ProblemError
from etastar.policies.policy import Every, Observation
from etastar.policies.psi import averaged, fallen
from etastar.policies.setting import Checked

Tensor = torch.Tensor
LOOKS = 25
"""Looks over the steps: as many as the network of `psi-network` has."""
MULTIPLES = tuple(sorted((2.0 ** (k / 2) for k in range(-8, 5)), key=lambda m: abs(math.log(m))))
"""Of the peak, a sixteenth to four times; where several promise the same, the one nearest to the peak."""
HIDDEN = 8
"""Units of the network."""
NETWORK = 5 * HIDDEN + 1
"""Its numbers: three weights and a bias a unit, a weight each to the output, and its bias."""
UNITS = (1.0, 0.5, 0.5)
"""By which the network's inputs s, e and a are multiplied: each is then about 1 in size."""
FACTORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "1": lambda s, e, a: torch.ones_like(s),
    "s": lambda s, e, a: s,
    "left": lambda s, e, a: torch.log(1.05 - s),
    "e": lambda s, e, a: e,
    "loss": lambda s, e, a: e.exp(),
    "a": lambda s, e, a: a,
    "rate": lambda s, e, a: a.exp(),
}
"""What a term is a product of: s = step / steps, e = ln(loss / first loss), a = ln(rate / peak)."""


def term(text: str, s: Tensor, e: Tensor, a: Tensor) -> Tensor:
    """A product of `FACTORS`, written `s*a`.

    >>> two = torch.tensor(2.0)
    >>> float(term("s*a*a", torch.tensor(0.5), two, two))
    2.0
    """
    found = torch.ones_like(s)
    for factor in text.split("*"):
        found = found * FACTORS[factor](s, e, a)
    return found


def promised(terms: Sequence[str], numbers: Tensor, s: Tensor, e: Tensor, a: Tensor) -> Tensor:
    """What the predictor says of a rate: a sum of terms, or without terms a network of `HIDDEN` tanh units."""
    if terms:
        return sum((w * term(text, s, e, a) for w, text in zip(numbers, terms, strict=True)), torch.zeros_like(s))
    inputs = torch.stack([unit * x for unit, x in zip(UNITS, (s, e, a), strict=True)], -1)
    weights, (bias, out) = numbers[: 3 * HIDDEN].reshape(3, HIDDEN), numbers[3 * HIDDEN : -1].reshape(2, HIDDEN)
    return torch.tanh(inputs @ weights + bias) @ out + numbers[-1]


@dataclass(frozen=True)
class PsiArgmax(Checked):
    """alpha_i = peak x argmax over m of promise(i / N, ln(eps_i / eps_0), ln m),  m in 1/16 .. 4, at 25 looks.

    Args:
        terms: of the promise, products of `FACTORS`; () for a network.
        numbers: a weight for each term, or the network's.
        steps: the horizon; None until `Problem` or `over` sets it.

    Raises:
        ProblemError: an unknown factor, or another count of numbers.

    >>> policy = PsiArgmax(("a", "rate"), (1.0, -2.0)).over(100)  # a - 2 e^a is greatest at e^a = 1/2
    >>> round(float(policy.step(Observation(0, {"loss": 2.0}), policy.init(0.1))[0]), 6)
    0.05
    >>> seeing = PsiArgmax(("e*a",), (-1.0,)).over(100)  # the lower the loss, the higher the rate
    >>> _, state = seeing.step(Observation(0, {"loss": 2.0}), seeing.init(0.1))
    >>> for step in range(1, 5):
    ...     rate, state = seeing.step(Observation(step, {"loss": 0.5}), state)
    >>> round(float(rate), 6)
    0.4
    """

    terms: tuple[str, ...]
    numbers: tuple[float, ...]
    steps: int | None = None

    def __post_init__(self) -> None:
        for factor in (f for text in self.terms for f in text.split("*")):
            word("psi-argmax: a factor", factor, FACTORS)
        wanted = len(self.terms) or NETWORK
        if len(self.numbers) != wanted:
            raise ProblemError(f"psi-argmax: numbers are {shown(self.numbers)}; expected {wanted}, one a term or weight")

    @property
    def every(self) -> int:
        """Steps from look to look."""
        return max((self.steps or LOOKS) // LOOKS, 1)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The loss."""
        return ("loss",)

    def over(self, steps: int) -> PsiArgmax:
        """The same over `steps` steps."""
        return replace(self, steps=steps)

    def init(self, lr: Any) -> Any:
        """The peak, the rate in use, the first loss and the mean."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        unknown = torch.full_like(lr, math.nan)
        return {"lr": lr, "rate": lr, "first": unknown, "mean": unknown}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate in use, which a look may have changed."""
        if self.steps is None:
            raise ProblemError("the policy psi-argmax has no horizon yet; call policy.over(steps) first")
        loss = torch.as_tensor(observation["loss"], dtype=torch.float64)
        first = torch.where(state["first"].isnan(), loss, state["first"])
        mean, rate = averaged(state["mean"], loss, 1, self.steps), state["rate"]
        if observation.step % self.every == 0:
            rate = state["lr"] * self.best(observation.step / self.steps, fallen(mean, first)).to(state["lr"].device)
        return rate, {"lr": state["lr"], "rate": rate, "first": first, "mean": mean}

    def best(self, s: float, e: Tensor) -> Tensor:
        """The multiple that promises most, [] or [K] as `e`."""
        multiples = torch.tensor(MULTIPLES, dtype=torch.float64)
        a = multiples.log().reshape(-1, *[1] * e.dim()).expand(-1, *e.shape)
        seen = e.expand_as(a)
        numbers = torch.tensor(self.numbers, dtype=torch.float64)
        return multiples[promised(self.terms, numbers, torch.full_like(seen, s), seen, a).argmax(0)]
