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
FEATURES = (
    "one",
    "left",
    "hold",
    "ramp",
    "fallen",
    "fallen late",
    "convergence",
    "relative update",
    "noise",
    "agreement",
)
"""What the network sees; see `features`."""
INTEGRATED = ("one", "convergence", "agreement")
"""Of these it sees the sum since the start, too."""
SLOW = 1 / 6
"""Weight of a look in the slow means: they look back an eighth of the steps, as the fast one looks back a few batches."""
PATH = 3.7
"""Sum of |u| / |w| over a training: at 200 and 800 steps alike it is what the peaks of linear decay lie around."""
PULL = 5.0
"""Weight of the integrated features: a feature of 1 over all steps adds five times its number."""
LOWEST, HIGHEST = -3.0, 2.0
"""Of ln(rate / closed form's): a twentieth to seven times."""
SLEW = 0.5
"""Largest change of it from look to look: one odd batch moves the rate by less than a factor of two."""
VERSION = hashlib.sha256(repr((FEATURES, INTEGRATED, LOOKS, SLOW, PATH, PULL, LOWEST, HIGHEST, SLEW)).encode()).hexdigest()[
    :8
]
"""Of what the network sees and may do: numbers for another are of no use here."""
Tensor = torch.Tensor
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class PsiNetwork(Checked):
    """alpha_i = Psi(i) x e^a, where the network of `numbers` sees the state of the training at 25 looks:

        a = w . phi + sum over looks of (5 / 25) v . phi_I,       numbers = (w, v), within limits and without jumps

    phi is dimensionless (`features`): shares of the steps, how far and how fast the loss has fallen, its noise, the size of
    an update at the peak's rate relative to the parameters, how far consecutive gradients agree. With numbers of 0 it is the
    closed form exactly. The lane's rate is the peak as found, also where that was hasty: it is meant to mend a wrong one.

    Args:
        numbers: of the network; () for `TRAINED`.
        prior: the closed form below.
        steps: the horizon; None until `Problem` or `over` sets it.
        weights: file of `etastar psi train` from which the numbers are read.

    Raises:
        ProblemError: another count of numbers, or a file without numbers of this version.

    >>> policy = PsiNetwork((0.0, 0, 0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 0)).over(100)
    >>> calm, wild = 1e-3, 1e-1
    >>> def rate_after(update):
    ...     state = policy.init(1.0)
    ...     for step in range(40):
    ...         seen = {"loss": 1.0, "smoothed_loss": 1.0, "grad_cosine": 0.0, "update_norm": update, "param_norm": 1.0}
    ...         rate, state = policy.step(Observation(step, seen), state)
    ...     return float(rate)
    >>> rate_after(wild) < 0.25 * rate_after(calm)
    True
    """

    numbers: tuple[float, ...] = field(default=())
    prior: Psi = field(default_factory=Psi)
    steps: int | None = None
    weights: str = ""

    def __post_init__(self) -> None:
        wanted = len(FEATURES) + len(INTEGRATED)
        if self.weights:
            object.__setattr__(self, "numbers", _read(self.weights))
            object.__setattr__(self, "weights", "")  # what they are matters, not where they were
        if not self.numbers:
            object.__setattr__(self, "numbers", TRAINED)  # its repr, from which a store's keys are made, tells them
        if len(self.numbers) != wanted or not all(isinstance(v, (int, float)) for v in self.numbers):
            raise ProblemError(
                f"psi-network: numbers are {shown(self.numbers)}; expected {wanted}, one a feature: those of "
                f"another version are trained again by {AGAIN} FILE"
            )

    @property
    def parts(self) -> tuple[Psi]:
        """The closed form."""
        return (self.prior,)

    @property
    def every(self) -> int:
        """Steps from look to look."""
        return max((self.steps or LOOKS) // LOOKS, 1)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Loss, gradients' cosine and norms, at regular looks."""
        return _reads(self.every)

    def over(self, steps: int) -> PsiNetwork:
        """The same over `steps` steps."""
        return replace(self, prior=self.prior.over(steps), steps=steps)

    def init(self, lr: Any) -> Any:
        """The lane's peak, the one in use, the last rate, and what is remembered of the losses."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        unknown, nothing = torch.full_like(lr, math.nan), torch.zeros_like(lr)
        return {
            "lr": lr,
            "peak": lr,
            "rate": lr,
            "first": unknown,
            "slow": unknown,
            "noise": unknown,
            "sum": nothing,
            "a": nothing,
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
        assert self.steps is not None
        s = observation.step / self.steps
        seen = {name: torch.as_tensor(observation[name], dtype=torch.float64) for name in SEEN}
        state = remembered(seen, state)
        phi = features(s, seen, state, self.steps)
        weights = torch.tensor(self.numbers, dtype=torch.float64, device=phi.device)
        own = dict(zip(FEATURES, phi, strict=True))
        pulled = sum(v * own[name] for v, name in zip(weights[len(FEATURES) :], INTEGRATED, strict=True))
        total = state["sum"] + PULL * self.every / self.steps * pulled
        wanted = torch.tensordot(weights[: len(FEATURES)], phi, dims=1) + total
        near = wanted if observation.step == 0 else torch.clamp(wanted, state["a"] - SLEW, state["a"] + SLEW)
        a = near.clamp(LOWEST, HIGHEST)
        return {**state, "sum": total, "a": a, "peak": state["lr"] * a.exp()}


def _read(path: str) -> tuple[float, ...]:
    numbers = PsiWeights.read(path, VERSION).numbers
    if not numbers:
        raise ProblemError(f"psi-network: {path} holds evolutions that did not end; the same {AGAIN} {path} goes on")
    return numbers


@cache
def _reads(every: int) -> tuple[str | Every, ...]:
    return tuple(Every(name, every) if every > 1 else name for name in SEEN)


def remembered(seen: State, state: State) -> dict[str, Tensor]:
    """The state with this look's losses: the first one, the slow mean of ln(loss), the noise |loss - mean| / mean."""
    mean, new = seen["smoothed_loss"], state["first"].isnan()
    off = torch.where(new, math.nan, ((seen["loss"] - mean) / mean).abs())  # a mean of one loss is that loss
    return {
        **state,
        "first": torch.where(new, seen["loss"], state["first"]),
        "slow": _slowly(state["slow"], mean.log()),
        "noise": _slowly(state["noise"], off),
    }


def _slowly(before: Tensor, now: Tensor) -> Tensor:
    """The slow mean after another look; what is no number changes nothing."""
    return torch.where(before.isnan(), now, torch.where(now.isfinite(), before + SLOW * (now - before), before))


def features(s: float, seen: State, state: State, steps: int) -> Tensor:
    """What the network sees at a share s of the steps, each about 1 in size, 0 where it has no value; [F] or [F, K].

    left = ln(1 - s) / 2                    hold = min(0, ln 2 (1 - s)) / 2         ramp = ln(s / .2) in [-3, 0]
    fallen = ln(loss / first) in [-4, 1]    convergence = 4 x (slow mean - ln loss)     noise = 2 + ln |loss - mean| / mean
    relative update = ln(peak / rate x steps x |u| / |w| / 3.7) / 2, as if the last update u had been made at the peak
    """
    left = max(1 - s, 1e-3)
    time = (1.0, math.log(left) / 2, min(0.0, math.log(2 * left)) / 2, max(-3.0, min(0.0, math.log(max(s, 1e-6) / 0.2))))
    e = fallen(seen["smoothed_loss"], state["first"])
    convergence = (4 * (state["slow"] - seen["smoothed_loss"].log())).clamp(-1.5, 1.5)
    update = (state["lr"] / state["rate"] * seen["update_norm"] / seen["param_norm"] * (steps / PATH)).log() / 2
    noise = (state["noise"] + 1e-3).log() + 2
    measured = (e, e * s, convergence, update.clamp(-3, 3), noise.clamp(-3, 3), seen["grad_cosine"])
    rows = [torch.full_like(e, value) for value in time] + [row.to(e.device) for row in measured]
    return torch.nan_to_num(torch.stack(rows), nan=0.0, posinf=0.0, neginf=0.0)


TRAINED = tuple(-1.0 if name == "relative update" else 0.0 for name in (*FEATURES, *INTEGRATED))
"""One number is not nought: rate = closed form x (steps x |u| / |w| at the peak / 3.7)^(-1/2).

Half of the way to trainings that move their parameters by 3.7 times their norm, all told. How much it is worth at right and
wrong peaks, and at which horizons: record 2026-11-26_psi. All thirteen numbers, evolved on two groups of tasks, did worse on
others."""
