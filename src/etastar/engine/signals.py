"""What policies may see of a training, and how it is computed: once, for the loop's one lane and for lanes in rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch

from etastar.arguments import shown
from etastar.errors import DoesNotApply, EtastarError, ProblemError, in_one_line
from etastar.policies.compose import each
from etastar.policies.policy import Every, Observation, Policy

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
    "valid_loss": "the loss on the problem's `watch`, all of it, in eval mode, before the update; never on what scores",
}
"""name -> what it is."""
MAKE_ACCURACY = "expected labels that are classes, metric_fn, or report(accuracy=...)"
OF_GRADIENT = ("grad_norm", "grad_cosine")
OF_THE_PAST = ("smoothed_loss", "grad_cosine", "update_norm")
"""Signals that are made of more than one step."""
OF_PARAMETERS = ("update_norm", "param_norm", "valid_loss")
PASS_WATCH = (
    "a policy reads valid_loss, and there is no data that only policies see; expected watch=(inputs, targets), samples that "
    "are not those of valid, which scores"
)
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
        watched: the loss on data that only policies see; None where there are none.

    Raises:
        ProblemError: what is read cannot be shown here.
    """

    def __init__(self, keys: Iterable[Key], gradient: Rows, parameters: Rows, watched: Rows | None = None) -> None:
        self._gradient, self._parameters, self._watched = gradient, parameters, watched
        self._read(keys)
        self._kept: dict[str, torch.Tensor] = {}
        """Slots from the last step: gradient, parameters, sum and weight of the smoothed loss."""
        self._last: dict[Key, torch.Tensor] = {}
        self.missing: set[Key] = set()
        """What has no value yet, and is NaN."""

    def _read(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self._names = {name for name, _ in self.keys}
        if self._watched is None and self.reads("valid_loss"):
            raise ProblemError(PASS_WATCH)

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
        self._read(own)

    def state(self, row: int | None = None) -> dict[str, Any]:
        """What the next step needs of those before; of one row, where there are rows."""
        one = lambda t: t[row] if row is not None and t.dim() else t
        last = [[name, every, one(t)] for (name, every), t in self._last.items()]
        return {"kept": {name: one(t) for name, t in self._kept.items()}, "last": last, "missing": list(self.missing)}

    def resume(self, states: Sequence[Mapping[str, Any]], *, rows: bool) -> None:
        """Go on from these states, one a row, or from that of one lane; what they hold is watched."""
        join = lambda parts: torch.stack(parts) if rows else parts[0]
        self._kept = {name: join([own["kept"][name] for own in states]) for name in states[0]["kept"]}
        lasts = [{(name, every): t for name, every, t in own["last"]} for own in states]
        self._last = {key: join([own[key] for own in lasts]) for key in lasts[0]}
        self.keys = tuple(self._last)
        self._names = {name for name, _ in self.keys}
        self.missing = {(name, every) for name, every in states[0]["missing"]}

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
        now: dict[str, torch.Tensor | None] = {}
        if loss is not None and self.reads("smoothed_loss"):
            now["smoothed_loss"] = self._smoothed(loss)  # at every step, also where it is looked at less often
        for key in self.keys:
            name, every = key
            if step % every == 0 or key not in self._last:
                if name not in now:
                    now[name] = self._value(name, loss, accuracy, norm)
                self._set(key, now[name], loss)
        self._keep()
        return self._last

    def take(self, index: torch.Tensor) -> None:
        """Only these rows, in this order; a row may be named twice."""
        chosen = lambda t: t.index_select(0, index.to(t.device)) if t.dim() else t
        self._kept = {name: chosen(t) for name, t in self._kept.items()}
        self._last = {key: chosen(t) for key, t in self._last.items()}

    def _set(self, key: Key, value: torch.Tensor | None, loss: torch.Tensor | None) -> None:
        """The last value of a signal; NaN, one a row, where it has none yet."""
        if value is None:
            self.missing.add(key)
            value = torch.tensor(torch.nan) if loss is None else torch.full_like(loss, torch.nan, dtype=torch.float64)
        else:
            self.missing.discard(key)
        self._last[key] = value.detach().to("cpu", torch.float64)

    def _value(
        self, name: str, loss: torch.Tensor | None, accuracy: torch.Tensor | None, norm: torch.Tensor | None
    ) -> torch.Tensor | None:
        """One signal now; None where it has no value yet."""
        if loss is None and name not in OF_PARAMETERS:
            return None
        if name == "loss":
            return loss
        if name == "accuracy":
            if accuracy is None:
                raise ProblemError(f"a policy reads accuracy, which this training does not have; {MAKE_ACCURACY}")
            return accuracy
        if name == "grad_norm":
            return torch.linalg.vector_norm(self._gradient(), dim=-1) if norm is None else norm
        if name == "valid_loss":
            assert self._watched is not None
            return self._watched()
        if name == "param_norm":
            return torch.linalg.vector_norm(self._parameters(), dim=-1)
        if name == "grad_cosine":
            before = self._kept.get("gradient")
            return None if before is None else torch.nn.functional.cosine_similarity(self._gradient(), before, dim=-1)
        before = self._kept.get("parameters")
        return None if before is None else torch.linalg.vector_norm(self._parameters() - before, dim=-1)

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


def asked(
    policy: Policy, step: int, seen: Mapping[str, torch.Tensor], missing: Collection[Key], state: Any, k: int | None
) -> tuple[Any, Any]:
    """(rate, next state) of a policy; the rate float64, [] or [k], or such rates by group.

    Where a signal it reads is not finite, although it has a value, a lane is diverging, and so may be its rate.

    Args:
        seen: the signals it reads, by name.
        missing: signals that have no value yet.
        k: how many lanes it is asked for; None: for the loop's one.

    Raises:
        ProblemError: it gave something else than (rate, state), or rates of another shape; or it raised, or gave a rate that
            is negative or not finite, although all it saw was finite.
        DoesNotApply: one of `k` lanes has such a rate: the loop says of each lane whose fault that is.
    """
    values = [seen[name] for name, every in keys_of(policy) if (name, every) not in missing]
    try:
        given = policy.step(Observation(step, seen), state)
    except EtastarError:
        raise
    except Exception as error:
        if k is not None:
            raise
        if not _finite(values):
            return torch.tensor(torch.nan, dtype=torch.float64), state
        raise ProblemError(f"{policy!r} raised {in_one_line(error)}") from error
    if not isinstance(given, tuple) or len(given) != 2:
        raise ProblemError(f"{policy!r} gave {shown(given)}; expected (rate, state)")
    absent = " and ".join(name for name, every in keys_of(policy) if (name, every) in missing)
    unknown = f" at step {step}, where {absent} has no value yet" if absent else ""
    return each(lambda rate: _checked(policy, rate, values, k, unknown), given[0]), given[1]


def _checked(policy: Policy, rate: Any, values: Sequence[torch.Tensor], k: int | None, unknown: str) -> torch.Tensor:
    try:
        rates = torch.as_tensor(rate, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ProblemError(f"{policy!r} gave the rate {shown(rate)}; expected a number or a tensor") from None
    shape = () if k is None else (k,)
    if tuple(rates.shape) not in ((), shape):
        raise ProblemError(f"{policy!r} gave rates of shape {tuple(rates.shape)}; expected {shape}, one a lane")
    right = (rates >= 0) & (rates < torch.inf)
    if bool(right.all()):
        return rates
    bad = ~right & _finite(values)
    if bool(bad.any()):
        words = (
            f"{policy!r} gave the rate {float(rates.expand(bad.shape)[bad][0]):g}{unknown}; expected a finite number >= 0"
        )
        raise ProblemError(words) if k is None else DoesNotApply(words)
    return rates


def _finite(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Whether all are, [] or [k]."""
    return torch.stack([torch.isfinite(value) for value in values]).all(0) if values else torch.tensor(True)
