"""Asks a policy for its rate, and decides whose fault one is that will not do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from etastar.arguments import shown
from etastar.engine.signals import Key, keys_of
from etastar.errors import DoesNotApply, EtastarError, ProblemError, in_one_line
from etastar.policies.compose import each
from etastar.policies.policy import Observation, Policy


def asked(
    policy: Policy, step: int, known: Mapping[Key, torch.Tensor], missing: Collection[Key], state: Any, k: int | None
) -> tuple[Any, Any]:
    """(rate, next state) of a policy; the rate float64, [] or [k], or such rates by group.

    Where a signal it reads is not finite, although it has a value, a lane is diverging, and so may be its rate.

    Args:
        known: at least the signals that it reads.
        missing: signals that have no value yet.
        k: how many lanes it is asked for; None: for the loop's one.

    Raises:
        ProblemError: it gave something else than (rate, state), or rates of another shape; or it raised, or gave a rate that
            is negative or not finite, although all it saw was finite.
        DoesNotApply: one of `k` lanes has such a rate: the loop says of each lane whose fault that is.
    """
    seen = {key: known[key] for key in keys_of(policy)}
    values = [value for key, value in seen.items() if key not in missing]
    try:
        given = policy.step(Observation.of(step, seen), state)
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
