"""What policies may see of a training, and how it is computed: once, for the loop's one lane and for lanes in rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from etastar.errors import ProblemError
from etastar.policies.policy import Every, Policy

Key = tuple[str, int]
"""(signal, looked at every so many steps)."""
SMOOTHING = 0.9
"""Weight of what was before in the smoothed loss: it looks back about ten steps."""
SIGNALS: dict[str, str] = {
    "loss": "the loss of this step's batches, before the update: the mean over micro-batches",
    "smoothed_loss": "the exponential mean of the losses so far, about ten steps long, without bias to its start",
    "accuracy": "the accuracy on this step's batches, where the problem has one",
    "grad_norm": "|g|, the norm of the whole accumulated gradient before clipping",
    "grad_cosine": "the cosine of this step's gradient and the last one's",
    "update_norm": "|change of the parameters| in the last update",
    "param_norm": "|parameters| before the update",
}
"""name -> what it is."""
OF_GRADIENT = ("grad_norm", "grad_cosine")
OF_THE_PAST = ("smoothed_loss", "grad_cosine", "update_norm")
"""Signals that are made of more than one step."""
Rows = Callable[[], torch.Tensor]


def keys_of(policy: Policy) -> tuple[Key, ...]:
    """The signals a policy reads.

    Raises:
        ProblemError: a signal is unknown, or a cadence is no integer >= 1.

    >>> from etastar.policies.policy import Constant
    >>> keys_of(Constant())
    ()
    """
    found = []
    for read in policy.reads:
        name, every = (read.signal, read.steps) if isinstance(read, Every) else (read, 1)
        if name not in SIGNALS:
            raise ProblemError(f"{policy!r} reads {name!r}; expected signals of {', '.join(SIGNALS)}")
        if not isinstance(every, int) or every < 1:
            raise ProblemError(f"{policy!r} reads {name!r} every {every!r} steps; expected an integer >= 1")
        found.append((name, every))
    return tuple(found)


def check_before_gradient(policy: Policy) -> None:
    """Raise `ProblemError` if `policy` reads a gradient where it is asked before there is one: the optimizer's step
    evaluates the loss itself."""
    for name, _ in keys_of(policy):
        if name in OF_GRADIENT:
            raise ProblemError(
                f"{policy!r} reads {name}, but the optimizer's step evaluates the loss itself and the rate is set before; "
                "expected a policy that reads the loss, or an optimizer whose step needs no closure"
            )


class Signals:
    """The signals that some policies read; float64, [] for one lane or [K] for rows.

    Args:
        keys: what is read, by any policy.
        gradient, parameters: the gradient before clipping and the parameters, [..., width]; called only where needed.
    """

    def __init__(self, keys: Iterable[Key], gradient: Rows, parameters: Rows) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self._names = {name for name, _ in self.keys}
        self._gradient, self._parameters = gradient, parameters
        self._kept: dict[str, torch.Tensor] = {}
        """Slots from the last step: gradient, parameters, sum and weight of the smoothed loss."""
        self._last: dict[Key, torch.Tensor] = {}

    def reads(self, *names: str) -> bool:
        """Whether one of these is read."""
        return not self._names.isdisjoint(names)

    def watch(self, keys: Iterable[Key], step: int) -> None:
        """Compute these from now on, after `step` steps.

        Raises:
            ProblemError: one of them would need steps that are over.
        """
        own = tuple(dict.fromkeys(keys))
        for name, every in own if step else ():
            if (name, every) not in self.keys and (name in OF_THE_PAST or every > 1):
                raise ProblemError(
                    f"a policy that reads {name} cannot begin at step {step} of a lane in which nobody watched it; expected "
                    "a trunk that reads it, too"
                )
        self.keys, self._names = own, {name for name, _ in own}

    def state(self, row: int | None = None) -> dict[str, Any]:
        """What the next step needs of those before; of one row, where there are rows."""
        one = lambda t: t[row] if row is not None and t.dim() else t
        last = [[name, every, one(t)] for (name, every), t in self._last.items()]
        return {"kept": {name: one(t) for name, t in self._kept.items()}, "last": last}

    def resume(self, states: Sequence[Mapping[str, Any]], *, rows: bool) -> None:
        """Go on from these states: one a row, or that of one lane."""
        join = lambda parts: torch.stack(parts) if rows else parts[0]
        self._kept = {name: join([own["kept"][name] for own in states]) for name in states[0]["kept"]}
        lasts = [{(name, every): t for name, every, t in own["last"]} for own in states]
        self._last = {key: join([own[key] for own in lasts]) for key in lasts[0]}

    def look(
        self, step: int, loss: torch.Tensor | None, accuracy: torch.Tensor | None, norm: torch.Tensor | None = None
    ) -> Mapping[Key, torch.Tensor]:
        """Every signal as it is between backward pass and update of `step`.

        Args:
            loss, accuracy: of this step (under a closure: of the step before), None where there is none.
            norm: |g|, where it is known already.
        """
        if not self.keys:
            return {}
        now: dict[str, torch.Tensor] = {}
        if loss is not None and self.reads("smoothed_loss"):
            now["smoothed_loss"] = self._smoothed(loss)  # at every step, also where it is looked at less often
        for key in self.keys:
            name, every = key
            if step % every == 0 or key not in self._last:
                if name not in now:
                    now[name] = self._value(name, loss, accuracy, norm).detach().to("cpu", torch.float64)
                self._last[key] = now[name]
        self._keep()
        return self._last

    def take(self, index: torch.Tensor) -> None:
        """Only these rows, in this order; a row may be named twice."""
        chosen = lambda t: t.index_select(0, index.to(t.device)) if t.dim() else t
        self._kept = {name: chosen(t) for name, t in self._kept.items()}
        self._last = {key: chosen(t) for key, t in self._last.items()}

    def _value(
        self, name: str, loss: torch.Tensor | None, accuracy: torch.Tensor | None, norm: torch.Tensor | None
    ) -> torch.Tensor:
        unknown = torch.tensor(torch.nan) if loss is None else torch.full_like(loss, torch.nan, dtype=torch.float64)
        if name == "loss":
            return unknown if loss is None else loss
        if name == "smoothed_loss":
            return unknown
        if name == "accuracy":
            return unknown if accuracy is None else accuracy
        if name == "grad_norm":
            return torch.linalg.vector_norm(self._gradient(), dim=-1) if norm is None else norm
        if name == "grad_cosine":
            before = self._kept.get("gradient")
            return unknown if before is None else torch.nn.functional.cosine_similarity(self._gradient(), before, dim=-1)
        if name == "param_norm":
            return torch.linalg.vector_norm(self._parameters(), dim=-1)
        before = self._kept.get("parameters")
        return unknown if before is None else torch.linalg.vector_norm(self._parameters() - before, dim=-1)

    def _smoothed(self, loss: torch.Tensor) -> torch.Tensor:
        """Mean of the losses so far, the last ones weighted most: sum / weight, both kept."""
        total, weight = self._kept.get("total", 0.0), self._kept.get("weight", 0.0)
        self._kept["total"] = (1 - SMOOTHING) * loss.detach().to("cpu", torch.float64) + SMOOTHING * total
        self._kept["weight"] = torch.as_tensor((1 - SMOOTHING) + SMOOTHING * weight, dtype=torch.float64)
        return self._kept["total"] / self._kept["weight"]

    def _keep(self) -> None:
        """What the next step needs of this one."""
        if self.reads("grad_cosine"):
            self._kept["gradient"] = self._gradient().clone()
        if self.reads("update_norm"):
            self._kept["parameters"] = self._parameters().clone()


def checked_rates(policy: Policy, rate: Any, seen: Iterable[torch.Tensor], k: int | None) -> torch.Tensor:
    """A policy's rates as float64, [] or [k].

    Raises:
        ProblemError: it gave rates of another shape, negative ones, or NaN although all it saw was finite.
    """
    rates = torch.as_tensor(rate, dtype=torch.float64)
    shape = () if k is None else (k,)
    if tuple(rates.shape) not in ((), shape):
        raise ProblemError(f"{policy!r} gave rates of shape {tuple(rates.shape)}; expected {shape}, one a lane")
    if bool((rates >= 0).all()) and bool(torch.isfinite(rates).all()):
        return rates
    finite = all(bool(torch.isfinite(s).all()) for s in seen)
    if bool((rates < 0).any()) or finite:
        bad = float(rates.flatten()[~((rates >= 0) & torch.isfinite(rates)).flatten()][0])
        raise ProblemError(f"{policy!r} gave the rate {bad}; expected a finite number >= 0")
    return rates
