"""A user's own `torch.optim.lr_scheduler`, read off once as a table: rate(t) = factor(t) x the lane's rate + offset(t)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from etastar.errors import ProblemError, in_one_line
from etastar.policies.compose import PerGroup
from etastar.policies.policy import Every, Observation, Policy

SchedulerFactory = Callable[[torch.optim.Optimizer], LRScheduler]
MakeOptimizer = Callable[[float], torch.optim.Optimizer]
"""(scale) -> a new optimizer whose rates are the user's x scale."""
Table = list[list[float]]
"""Rates of every group, [steps][groups]."""
SCALES = (0.01, 1.0, 100.0)
"""The rates in use, times these, are what a scheduler is read at: searched rates lie that far from them, and further."""
RELATIVE, OF_PEAK = 1e-6, 1e-9
"""Two rates are one if they differ by less than this share of themselves, or of the largest rate."""
Settings = list[dict[str, Any]]
LOOKS = 64
"""Steps at which settings other than the rate are looked at."""
FOLLOW = (
    "expected one that multiplies the optimizer's rate, e.g. OneCycleLR(optimizer, "
    "max_lr=[group['lr'] for group in optimizer.param_groups], total_steps=...); for a smallest rate (eta_min, min_lr) "
    "schedule='cosine:floor=0.01', a share of the rate"
)


@dataclass(frozen=True, repr=False)
class TorchSchedule:
    """factor[t] x the lane's rate + offset[t] at step t; after the last step as at the last.

    Args:
        factors: one a step.
        offsets: one a step, absolute rates (the floor of a cosine with `eta_min`); empty: none.

    >>> schedule = torch_schedule(lambda opt: torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.1), 4)
    >>> [round(schedule.factor(t), 6) for t in range(4)], [round(f, 6) for f in schedule.over(2).factors]
    ([1.0, 1.0, 0.1, 0.1], [1.0, 0.1])
    """

    factors: tuple[float, ...]
    offsets: tuple[float, ...] = ()

    def __repr__(self) -> str:
        told = (self.factors, self.offsets) if self.offsets else self.factors
        digest = hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()
        return f"TorchSchedule({len(self.factors)} steps, {digest})"

    @property
    def steps(self) -> int:
        """The horizon."""
        return len(self.factors)

    def over(self, steps: int) -> TorchSchedule:
        """The same shape over `steps` steps: step t of n takes the factor of step floor(t x steps / n)."""
        if steps == self.steps:
            return self
        squeezed = lambda values: tuple(values[t * self.steps // steps] for t in range(steps)) if values else ()
        return TorchSchedule(squeezed(self.factors), squeezed(self.offsets))

    def factor(self, step: int) -> float:
        """Share of the optimizer's rate at `step`."""
        return self.factors[min(step, self.steps - 1)]

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Nothing: it is a function of the step."""
        return ()

    def rate(self, t: int, lr: Any) -> Any:
        """factor(t) x lr + offset(t)."""
        rate = lr * self.factor(t)
        return rate + self.offsets[min(t, self.steps - 1)] if self.offsets else rate

    def init(self, lr: Any) -> Any:
        """The lane's rate is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """factor(step) x rate + offset(step)."""
        return self.rate(observation.step, state), state


def torch_schedule(factory: SchedulerFactory, steps: int, make: MakeOptimizer | None = None) -> Policy:
    """The schedule that `factory` makes, over `steps` optimizer steps (`scheduler.step()` after each).

    It is read at three rates, group by group, as r = m (a(t) lr + b(t)) with m the group's multiple of the default rate; and
    once more with every group at rate 1, where a(t) is what a scheduler that multiplies gives, to the last bit.

    Args:
        factory: (optimizer) -> LRScheduler.
        make: the user's own optimizer with all rates scaled; default: one group at rate 1, of which only the rate counts.

    Returns:
        A `TorchSchedule`; where groups follow schedules of their own, a `PerGroup` of them.

    Raises:
        ProblemError: it fails, reads a metric, sets other settings than the rate, or sets rates that do not follow the
            optimizer's.
    """
    optimizers = [(make or _one_group)(scale) for scale in SCALES]
    unit, names = float(optimizers[1].defaults["lr"]), group_names(optimizers[1])
    rates = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
    optimizers.append(_at_one((make or _one_group)(1.0)))
    *tables, ones = [_table(factory, optimizer, steps, whole=make is not None) for optimizer in optimizers]
    found: list[tuple[str, TorchSchedule]] = []
    for g, name in enumerate(names):
        slopes, constants = _line([[row[g] for row in table] for table in tables], [own[g] for own in rates])
        if rates[1][g] > 0:
            exact = [
                a if b or not _equal(one[g], a, 1.0) else one[g] for one, a, b in zip(ones, slopes, constants, strict=True)
            ]
            offsets = [b * unit / rates[1][g] for b in constants]
            found.append((name, _checked(exact, offsets, unit)))
        elif any(constants):
            raise ProblemError(f"the scheduler gives {name}, a parameter group of rate 0, a rate; {FOLLOW}")
    return of_groups(found) if found else TorchSchedule((1.0,) * steps)  # nothing trains: said where it is set up


def of_groups(schedules: Sequence[tuple[str, TorchSchedule]]) -> Policy:
    """One policy of what every group follows: the first's schedule, and of those that differ from it their own.

    Raises:
        ProblemError: two groups of one name follow different schedules.
    """
    first = schedules[0][1]
    apart: dict[str, TorchSchedule] = {}
    for name, schedule in schedules:
        if not _alike(apart.get(name, first), schedule):
            if [own for own, _ in schedules].count(name) > 1:
                raise ProblemError(f"parameter groups called {name!r} follow different schedules; expected a name each")
            apart[name] = schedule
    return PerGroup(apart, first) if apart else first


def _table(factory: SchedulerFactory, optimizer: torch.optim.Optimizer, steps: int, *, whole: bool) -> Table:
    """Rates under the scheduler of `factory`; on a `whole` optimizer it may change nothing else."""
    before = other_settings(optimizer) if whole else None
    return read_rates(optimizer, [(_made(factory, optimizer), lambda t: t)], steps, before)


def read_rates(
    optimizer: torch.optim.Optimizer,
    stepped: Sequence[tuple[LRScheduler, Callable[[int], int]]],
    steps: int,
    before: Settings | None = None,
) -> Table:
    """Rates of every group at every step; nothing is trained.

    Args:
        stepped: (scheduler, t -> how often it has been stepped before optimizer step t).
        before: the optimizer's other settings before there was a scheduler; None: they do not count.

    Raises:
        ProblemError: a scheduler fails, or changes other settings than the rate.
    """
    table: Table = []
    calls = [0] * len(stepped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a scheduler stepped before its optimizer; none trains here
        for t in range(steps):
            for i, (scheduler, due) in enumerate(stepped):
                while calls[i] < due(t):
                    calls[i] += 1
                    _step(scheduler, t, steps)
            table.append([float(group["lr"]) for group in optimizer.param_groups])
            if before is not None and (t % max(steps // LOOKS, 1) == 0 or t == steps - 1):
                _check_settings(before, other_settings(optimizer))
    if any(rate < 0 for row in table for rate in row) or max(map(max, table)) == 0:
        raise ProblemError("the scheduler's rates are negative or all zero; expected positive ones")
    return table


def check_scheduler(scheduler: Any, otherwise: str) -> None:
    """Raise `ProblemError` if it is no scheduler that is a function of the step; `otherwise` is said of another type."""
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ProblemError("the scheduler is a ReduceLROnPlateau, which reads a metric; expected a function of the step")
    if not isinstance(scheduler, LRScheduler):
        raise ProblemError(otherwise.format(type(scheduler).__name__))


def group_names(optimizer: torch.optim.Optimizer) -> list[str]:
    """What the parameter groups are called."""
    return [str(group.get("name", f"group_{index}")) for index, group in enumerate(optimizer.param_groups)]


def _one_group(scale: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=scale, momentum=0.9)


def _at_one(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer with every rate at 1."""
    for settings in (optimizer.defaults, *optimizer.param_groups):
        settings |= {name: 1.0 for name in ("lr", "initial_lr") if name in settings}
    return optimizer


def _made(factory: SchedulerFactory, optimizer: torch.optim.Optimizer) -> LRScheduler:
    try:
        scheduler = factory(optimizer)
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(f"the scheduler cannot be made: {in_one_line(error)}") from error
    check_scheduler(scheduler, "schedule returned a {}; expected a function (optimizer) -> torch LRScheduler")
    return scheduler


def _step(scheduler: LRScheduler, t: int, steps: int) -> None:
    try:
        scheduler.step()
    except Exception as error:
        raise ProblemError(
            f"the scheduler fails at step {t} of {steps} ({in_one_line(error)}); make it that long"
        ) from error


def other_settings(optimizer: torch.optim.Optimizer) -> Settings:
    """The numbers among the settings of every group, the rate apart."""
    plain = lambda value: isinstance(value, (int, float)) or (isinstance(value, tuple) and all(map(plain, value)))
    known = [name for name in optimizer.defaults if name != "lr"]
    return [{name: group[name] for name in known if plain(group.get(name))} for group in optimizer.param_groups]


def _check_settings(before: Settings, now: Settings) -> None:
    for old, new in zip(before, now, strict=True):
        for name in old:
            if new.get(name) != old[name]:
                do = "pass cycle_momentum=False" if name in ("momentum", "betas") else f"keep {name} as it is"
                raise ProblemError(f"the scheduler changes {name} beside the rate, and only its rates can be followed: {do}")


def _line(readings: list[list[float]], rates: list[float]) -> tuple[list[float], list[float]]:
    """(factors, offsets) of one group at every step: the line through three readings.

    Raises:
        ProblemError: they do not lie on a line.
    """
    factors, offsets = [], []
    for low, middle, high in zip(*readings, strict=True):
        slope = (high - low) / (rates[2] - rates[0]) if rates[2] > rates[0] else 0.0
        offset = low - slope * rates[0]
        if not _equal(middle, slope * rates[1] + offset, max(readings[1])):
            raise ProblemError(f"the scheduler's rates do not follow the optimizer's learning rate; {FOLLOW}")
        proportional = _equal(middle, slope * rates[1], max(readings[1]))
        factors.append(middle / rates[1] if proportional and rates[1] else slope)
        offsets.append(0.0 if proportional else offset)
    return factors, offsets


def _checked(factors: Sequence[float], offsets: Sequence[float], unit: float) -> TorchSchedule:
    """The schedule of one group; its absolute part must be small beside the rate."""
    if not any(offsets):
        return TorchSchedule(tuple(factors))
    if min(offsets) < 0 or max(offsets) >= max(factors) * unit:
        raise ProblemError(f"the scheduler's rates do not follow the optimizer's learning rate; {FOLLOW}")
    return TorchSchedule(tuple(factors), tuple(offsets))


def _alike(one: TorchSchedule, other: TorchSchedule) -> bool:
    """Whether two schedules are one, but for rounding."""
    pairs = ((one.factors, other.factors), (one.offsets, other.offsets))
    close = lambda a, b: len(a) == len(b) and all(_equal(x, y, max(map(abs, a))) for x, y in zip(a, b, strict=True))
    return all(close(a, b) for a, b in pairs)


def _equal(a: float, b: float, peak: float) -> bool:
    return abs(a - b) <= RELATIVE * max(abs(a), abs(b)) + OF_PEAK * peak
