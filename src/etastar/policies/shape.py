"""`Shape`: what policies that are a function of the step over a horizon have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked


class Shape(Checked):
    """The lane's rate is the peak and the state; a subclass is a frozen dataclass that says `factor`, or `rate` itself.

    Args:
        steps: the horizon, the last field of the dataclass; None until `Problem` or `over` sets it.

    Raises:
        ProblemError: steps < 1, or a factor is asked for before there is a horizon.
    """

    steps: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and not (isinstance(self.steps, int) and self.steps >= 1):
            raise ProblemError(f"the schedule's steps are {self.steps!r}; expected an integer >= 1")

    def over(self, steps: int) -> Self:
        """The same shape over `steps` steps."""
        return replace(self, steps=steps)  # type: ignore[type-var]

    @property
    def horizon(self) -> int:
        """The steps, which must be known by now."""
        if self.steps is None:
            raise ProblemError("this schedule has no horizon yet; call schedule.over(steps) first")
        return self.steps

    def factor(self, step: int) -> float:
        """Share of the peak rate at `step`."""
        raise NotImplementedError

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Nothing: it is a function of the step."""
        return ()

    def rate(self, t: int, lr: Any) -> Any:
        """factor(t) x lr."""
        return lr * self.factor(t)

    def init(self, lr: Any) -> Any:
        """The peak rate is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate at this step."""
        return self.rate(observation.step, state), state


def period(name: str, every: Any, steps: int = 1) -> int:
    """A number of steps: `every` itself, or that share of `steps`, at least one.

    Raises:
        ProblemError: it is neither.

    >>> period("every", 0.25, 80), period("every", 7, 80)
    (20, 7)
    """
    if isinstance(every, float) and 0 < every < 1:
        return max(round(every * steps), 1)
    if isinstance(every, int) and not isinstance(every, bool) and every >= 1:
        return every
    raise ProblemError(f"{name} is {shown(every)}; expected a share of the steps in (0, 1), e.g. 0.25, or a step >= 1")
