"""What policies may see of a training, and how it is computed: once, for the loop's one lane and for lanes in rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from etastar.errors import DoesNotApply, ProblemError
from etastar.policies.policy import Every, Policy
from etastar.theory.curvature import Curvature
from etastar.theory.lanczos import top_nearby

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
    "descent": "-g'u, what the last update u should have won by the gradient g that it was made of, before clipping",
    "sharpness": "the largest eigenvalue of the Hessian H of this step's loss, for all parameters that are trained",
    "curvature": "u'Hu / u'u, H of this step's loss along the last update u",
    "valid_loss": "the loss on the problem's `watch`, all of it, in eval mode, before the update; never on what scores",
}
"""name -> what it is."""
MAKE_ACCURACY = "expected labels that are classes, metric_fn, or report(accuracy=...)"
OF_GRADIENT = ("grad_norm", "grad_cosine", "descent")
OF_HESSIAN = ("sharpness", "curvature")
OF_THE_PAST = ("smoothed_loss", "grad_cosine", "update_norm", "descent", *OF_HESSIAN)
"""Signals that are made of more than one step: `sharpness` begins at the eigenvector of its last look."""
OF_UPDATES = ("update_norm", "descent", "curvature")
OF_PARAMETERS = ("update_norm", "param_norm", "valid_loss")
PASS_WATCH = (
    "a policy reads valid_loss, and there is no data that only policies see; expected watch=(inputs, targets), samples that "
    "are not those of valid, which scores"
)
NO_HESSIAN = (
    ", a second derivative, and here the step's loss cannot be evaluated again; expected a policy that reads none, or a "
    "training that etastar runs itself"
)
Rows = Callable[[], torch.Tensor]
Hessian = Callable[[], AbstractContextManager[Curvature]]
"""That of this step's loss, while the context is open."""


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
        if name in (*OF_GRADIENT, *OF_HESSIAN):
            raise ProblemError(
                f"{policy!r} reads {name}, but the optimizer's step evaluates the loss itself and the rate is set before; "
                "expected a policy that reads the loss, or an optimizer whose step needs no closure"
            )


def refuse_hessian(keys: Iterable[Key]) -> None:
    """Raise `DoesNotApply` if second derivatives are read, which only the loop has."""
    for name, _ in keys:
        if name in OF_HESSIAN:
            raise DoesNotApply(f"a policy reads {name}, whose second derivatives the loop computes, one lane at a time")


class Signals:
    """The signals that some policies read; float64, [] for one lane or [K] for rows.

    Args:
        keys: what is read, by any policy.
        gradient, parameters: the gradient before clipping and the parameters, [..., width]; called only where needed.
        watched: the loss on data that only policies see; None where there are none.
        hessian: of this step's loss, for one lane; None where its loss cannot be evaluated again.

    Raises:
        ProblemError: what is read cannot be shown here.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        gradient: Rows,
        parameters: Rows,
        watched: Rows | None = None,
        hessian: Hessian | None = None,
    ) -> None:
        self._gradient, self._parameters, self._watched, self._hessian = gradient, parameters, watched, hessian
        self._read(keys)
        self._kept: dict[str, torch.Tensor] = {}
        """Slots from the last step: gradient, parameters, sum and weight of the smoothed loss, eigenvectors."""
        self._last: dict[Key, torch.Tensor] = {}
        self.missing: set[Key] = set()
        """What has no value yet, and is NaN."""

    def _read(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self._names = {name for name, _ in self.keys}
        if self._watched is None and self.reads("valid_loss"):
            raise ProblemError(PASS_WATCH)
        for name in OF_HESSIAN:
            if self._hessian is None and self.reads(name):
                raise ProblemError(f"a policy reads {name}{NO_HESSIAN}")

    def reads(self, *names: str) -> bool:
        """Whether one of these is read."""
        return not self._names.isdisjoint(names)

    def watch(self, keys: Iterable[Key], step: int) -> None:
        """Compute these from now on, after `step` steps; see `check_watched`."""
        own = tuple(dict.fromkeys(keys))
        self.check_watched(own, {"last": [(*key, None) for key in self.keys]}, step)
        self._read(own)

    def state(self, row: int | None = None) -> dict[str, Any]:
        """What the next step needs of those before; of one row, where there are rows."""
        one = lambda t: t[row] if row is not None and t.dim() else t
        last = [[name, every, one(t)] for (name, every), t in self._last.items()]
        return {"kept": {name: one(t) for name, t in self._kept.items()}, "last": last, "missing": list(self.missing)}

    def resume(self, states: Sequence[Mapping[str, Any]], *, rows: bool) -> None:
        """Go on from these states, one a row, or from that of one lane; what any of them holds is watched."""
        lasts = [{(name, every): t for name, every, t in own["last"]} for own in states]
        join = _joined if rows else lambda parts: dict(parts[0])  # a copy: others go on from the same state
        self._kept = join([own["kept"] for own in states])
        self._last = join(lasts)
        self.keys = tuple(self._last)
        self._names = {name for name, _ in self.keys}
        self.missing = {(name, every) for own in states for name, every in own["missing"]}

    @staticmethod
    def check_watched(keys: Iterable[Key], state: Mapping[str, Any], step: int) -> None:
        """Raise `ProblemError` if one of `keys` would need steps that are over when `state` was kept, after `step` steps."""
        watched = {(name, every) for name, every, _ in state["last"]}
        for name, every in keys if step else ():
            if (name, every) not in watched and (name in OF_THE_PAST or every > 1):
                raise ProblemError(
                    f"a policy that reads {name} cannot begin at step {step} of a lane in which nobody watched it; expected "
                    "a trunk that reads it, too"
                )

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
        due = [key for key in self.keys if step % key[1] == 0 or key not in self._last]
        bent = self._bent([key for key in due if key[0] in OF_HESSIAN], loss)
        for key in due:
            name, _ = key
            if name not in now and key not in bent:
                now[name] = self._value(name, loss, accuracy, norm)
            self._set(key, bent[key] if key in bent else now[name], loss)
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
        update, before = self._update(), self._kept.get("gradient")
        if update is None:
            return None
        if name == "update_norm":
            return torch.linalg.vector_norm(update, dim=-1)
        return None if before is None else -(before * update).sum(-1)

    def _update(self) -> torch.Tensor | None:
        """The last one."""
        before = self._kept.get("parameters")
        return None if before is None else self._parameters() - before

    def _bent(self, keys: Sequence[Key], loss: torch.Tensor | None) -> dict[Key, torch.Tensor | None]:
        """Signals of the Hessian, which is made once for all of them and only where one has a value.

        Raises:
            ProblemError: torch has no second derivative of this loss.
        """
        update = self._update() if any(name == "curvature" for name, _ in keys) else None
        length = 0.0 if update is None else float(torch.linalg.vector_norm(update))
        valued = [key for key in keys if loss is not None and (key[0] == "sharpness" or length != 0)]
        found: dict[Key, torch.Tensor | None] = dict.fromkeys(keys)
        if not valued:
            return found
        assert self._hessian is not None
        try:
            with self._hessian() as hessian:
                for name, every in valued:
                    if name == "sharpness":
                        found[name, every] = self._sharpness(hessian, f"eigenvector of every {every}")
                    elif update is not None:
                        along = update / length
                        found[name, every] = along @ hessian(along)
        except DoesNotApply as why:
            raise ProblemError(f"a policy reads {valued[0][0]}, and {why}; expected a policy that reads none") from why
        return found

    def _sharpness(self, hessian: Curvature, slot: str) -> torch.Tensor:
        """From the eigenvector of the last look of this cadence: what others look at must not move it."""
        top = top_nearby(hessian, self._kept.get(slot))
        if top.finite:
            self._kept[slot] = top.vector
        return torch.tensor(top.value, dtype=torch.float64)

    def _smoothed(self, loss: torch.Tensor) -> torch.Tensor:
        """Mean of the losses so far, the last ones weighted most: sum / weight, both kept."""
        total, weight = self._kept.get("total", 0.0), self._kept.get("weight", 0.0)
        self._kept["total"] = (1 - SMOOTHING) * loss.detach().to("cpu", torch.float64) + SMOOTHING * total
        self._kept["weight"] = torch.as_tensor((1 - SMOOTHING) + SMOOTHING * weight, dtype=torch.float64)
        return self._kept["total"] / self._kept["weight"]

    def _keep(self) -> None:
        """What the next step needs of this one."""
        if self.reads("grad_cosine", "descent"):
            self._kept["gradient"] = self._gradient().clone()
        if self.reads(*OF_UPDATES):
            self._kept["parameters"] = self._parameters().clone()


def _joined(parts: Sequence[Mapping[Any, torch.Tensor]]) -> dict[Any, torch.Tensor]:
    """Values by name of single lanes as rows; NaN where a lane has none, because its policy does not read it."""
    known = {name: t for own in parts for name, t in own.items()}
    return {name: torch.stack([own.get(name, torch.full_like(t, torch.nan)) for own in parts]) for name, t in known.items()}
