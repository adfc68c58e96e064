"""`PsiNetwork`: the ideal rate as a small network of the training's state, on top of the closed form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.policies.policy import Every, Observation
from etastar.policies.psi import Psi, fallen
from etastar.policies.psi_weights import AGAIN, PsiWeights
from etastar.policies.setting import Checked

LOOKS = 25
"""Looks over the steps, each of them some steps apart: a look takes as long as some steps of a small network."""
SEEN = ("loss", "smoothed_loss", "grad_cosine", "update_norm", "param_norm")
FEATURES = ("one", "noise", "convergence", "fallen", "agreement")
"""What the network sees beside the path; see `features`."""
NUMBERS = ("high", "low", "dead", *FEATURES)
SLOW = 1 / 6
"""Weight of a look in the slow means: they look back an eighth of the steps, as the fast one looks back a few batches."""
USUAL, EARLY, UNTIL = 0.75, 1.6, 0.12
"""ln of the path of trainings of `AT` steps at the right peak, seen from a share s of them: USUAL + EARLY e^(-s / UNTIL).

Means over 75 small tasks of 200 steps: 1.87 at s = .04, 1.15 at .16, .78 at .5; single tasks scatter by .8."""
LONGER, AT = 0.25, 200
"""Over N steps the path is (N / AT)^LONGER as long: its logarithm is .41 on average over 50 steps and .76 over 200."""
FARTHEST = 4.0
"""Of ln(path / usual path): beyond it lies what no training has done."""
LOWEST, HIGHEST = -3.0, 1.0
"""Of ln(rate / closed form's): a twentieth to three times."""
SLEW = 0.5
"""Largest change of it from look to look: one odd batch moves the rate by less than a factor of two."""
VERSION = hashlib.sha256(
    repr((NUMBERS, LOOKS, SLOW, USUAL, EARLY, UNTIL, LONGER, AT, FARTHEST, LOWEST, HIGHEST, SLEW)).encode()
).hexdigest()[:8]
"""Of what the network sees and may do: numbers for another are of no use here."""
Tensor = torch.Tensor
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class PsiNetwork(Checked):
    """alpha_i = Psi(i) x e^a, where a network of two rectified units sees the state of the training at 25 looks:

        a = -high relu(x - dead) + low relu(-x - dead),      x = ln(path / usual path) + w . phi

    The path is how far the parameters go, relative to their size: the sum of |u| / |w| over the steps so far and, as the
    updates are now, over those that are left at the rates of the closed form. Where it is longer than that of as long
    trainings at a right peak, and the loss has ceased to fall, the peak was too high; while the loss falls, a long way is a
    good one. phi is dimensionless, too (`features`). a stays within limits and does not jump; with numbers of 0 it is the
    closed form exactly. The lane's rate is the peak as found, also where that was hasty: it is meant to mend a wrong one.

    Args:
        numbers: (high, low, dead, *w); () for `TRAINED`.
        prior: the closed form below.
        steps: the horizon; None until `Problem` or `over` sets it.
        weights: file of `etastar psi train` from which the numbers are read.

    Raises:
        ProblemError: another count of numbers, or a file without numbers of this version.

    >>> policy = PsiNetwork().over(100)
    >>> calm, wild = 1e-3, 1e-1
    >>> def rate_after(update):
    ...     state = policy.init(1.0)
    ...     for step in range(40):
    ...         seen = {"loss": 1.0, "smoothed_loss": 1.0, "grad_cosine": 0.0, "update_norm": update, "param_norm": 1.0}
    ...         rate, state = policy.step(Observation(step, seen), state)
    ...     return float(rate)
    >>> rate_after(wild) < 0.5 * rate_after(calm)
    True
    """

    numbers: tuple[float, ...] = field(default=())
    prior: Psi = field(default_factory=Psi)
    steps: int | None = None
    weights: str = ""

    def __post_init__(self) -> None:
        if self.weights:
            object.__setattr__(self, "numbers", _read(self.weights))
            object.__setattr__(self, "weights", "")  # what they are matters, not where they were
        if not self.numbers:
            object.__setattr__(self, "numbers", TRAINED)  # its repr, from which a store's keys are made, tells them
        if len(self.numbers) != len(NUMBERS) or not all(isinstance(v, (int, float)) for v in self.numbers):
            raise ProblemError(
                f"psi-network: numbers are {shown(self.numbers)}; expected {len(NUMBERS)}: {', '.join(NUMBERS)}; those of "
                f"another version are trained again by {AGAIN} FILE"
            )

    @property
    def parts(self) -> tuple[Psi]:
        """The closed form."""
        return (self.prior,)

    @property
    def every(self) -> int:
        """Steps from look to look; shorter trainings than `LOOKS` are looked at in every step."""
        return max((self.steps or LOOKS) // LOOKS, 1)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Loss, gradients' cosine and norms, at regular looks."""
        return _reads(self.every)

    def over(self, steps: int) -> PsiNetwork:
        """The same over `steps` steps."""
        return replace(self, prior=self.prior.over(steps), steps=steps)

    def init(self, lr: Any) -> Any:
        """The lane's peak, the last rate, a, the path so far, and what is remembered of the losses."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        unknown, nothing = torch.full_like(lr, math.nan), torch.zeros_like(lr)
        return {
            "lr": lr,
            "peak": lr,
            "rate": lr,
            "a": nothing,
            "path": nothing,
            "first": unknown,
            "slow": unknown,
            "noise": unknown,
        }

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The closed form's rate times the network's factor, which a look may have changed."""
        if self.steps is None:
            raise ProblemError("the policy psi-network has no horizon yet; call policy.over(steps) first")
        if observation.step % self.every == 0:
            state = self._look(observation, state)
        rate = state["peak"] * self.prior.share(observation.step)
        return rate, {**state, "rate": rate}

    def _look(self, observation: Observation, state: State) -> dict[str, Tensor]:
        seen = {name: torch.as_tensor(observation[name], dtype=torch.float64) for name in SEEN}
        state = remembered(seen, state, self.every)
        if observation.step == 0:
            return state
        high, low, dead, *weights = self.numbers
        x = self._too_far(observation.step, seen, state)
        x = x + sum(w * value for w, value in zip(weights, features(seen, state), strict=True) if w)
        wanted = low * (-x - dead).clamp(min=0) - high * (x - dead).clamp(min=0)
        a = torch.clamp(wanted, state["a"] - SLEW, state["a"] + SLEW).clamp(LOWEST, HIGHEST)
        return {**state, "a": a, "peak": state["lr"] * a.exp()}

    def _too_far(self, step: int, seen: State, state: State) -> Tensor:
        """ln(path / usual path), the path as it would be if the closed form went on at the peak as given."""
        assert self.steps is not None
        at_peak = seen["update_norm"] / seen["param_norm"] * state["lr"] / state["rate"]
        path = state["path"] + at_peak * self.prior.rest(step)
        usual = USUAL + EARLY * math.exp(-step / self.steps / UNTIL) + LONGER * math.log(self.steps / AT)
        return torch.nan_to_num(path.log() - usual, nan=0.0, posinf=0.0, neginf=0.0).clamp(-FARTHEST, FARTHEST)


def _read(path: str) -> tuple[float, ...]:
    numbers = PsiWeights.read(path, VERSION).numbers
    if not numbers:
        raise ProblemError(f"psi-network: {path} holds evolutions that did not end; the same {AGAIN} {path} goes on")
    return numbers


@cache
def _reads(every: int) -> tuple[str | Every, ...]:
    return tuple(Every(name, every) if every > 1 else name for name in SEEN)


def remembered(seen: State, state: State, steps: int) -> dict[str, Tensor]:
    """The state with this look, `steps` after the last: the path, the first loss, and slow means of ln(loss) and of the
    noise |loss - mean| / mean."""
    mean, new = seen["smoothed_loss"], state["first"].isnan()
    off = torch.where(new, math.nan, ((seen["loss"] - mean) / mean).abs())  # a mean of one loss is that loss
    gone = torch.nan_to_num(steps * seen["update_norm"] / seen["param_norm"], nan=0.0, posinf=0.0)
    return {
        **state,
        "path": state["path"] + gone,
        "first": torch.where(new, seen["loss"], state["first"]),
        "slow": _slowly(state["slow"], mean.log()),
        "noise": _slowly(state["noise"], off),
    }


def _slowly(before: Tensor, now: Tensor) -> Tensor:
    """The slow mean after another look; what is no number changes nothing."""
    return torch.where(before.isnan(), now, torch.where(now.isfinite(), before + SLOW * (now - before), before))


def features(seen: State, state: State) -> list[Tensor]:
    """`FEATURES` now, each about 1 in size, 0 where it has no value; each [] or [K].

    one = 1     noise = 2 + ln |loss - mean| / mean     convergence = 4 x (slow mean - ln loss)
    fallen = ln(loss / first) in [-4, 1]     agreement = the cosine of consecutive gradients
    """
    noise = ((state["noise"] + 1e-3).log() + 2).clamp(-3, 3)
    convergence = (4 * (state["slow"] - seen["smoothed_loss"].log())).clamp(-1.5, 1.5)
    measured = (noise, convergence, fallen(seen["smoothed_loss"], state["first"]), seen["grad_cosine"])
    return [torch.ones_like(noise), *(torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0) for value in measured)]


TRAINED = (0.6, 0.0, 0.0, 0.3, 0.0, -0.6, 0.0, 0.0)
"""high, one and convergence: rate = closed form x (path / usual path x e^(.3 - .6 convergence))^-.6, never above it.

Chosen on the tasks of training. What it is worth on families made after it was frozen: record psi_frozen_2."""
