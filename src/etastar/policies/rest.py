"""`Rest`: what is left of a schedule after some steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from etastar.policies.compose import Around, squeezed
from etastar.policies.policy import Observation, Policy, is_steady


@dataclass(frozen=True)
class Rest(Around):
    """`policy` from step `at` on, over the `steps` that are left of it:    rate(t) = policy(at + t).

    The lane's rate is still the whole schedule's. `over(n)` squeezes what is left into n steps, and what is over alike.

    >>> from etastar.policies.policy import rates_over
    >>> from etastar.policies.schedule import Schedule
    >>> list(rates_over(Rest(Schedule(decay=1.0).over(8), 4, 4), 1.0, 4))
    [0.5, 0.375, 0.25, 0.125]
    >>> list(rates_over(Rest(Schedule(decay=1.0).over(8), 4, 4).over(2), 1.0, 2))
    [0.5, 0.25]
    """

    at: int
    steps: int

    def over(self, steps: int) -> Rest:
        """What is left, over so many steps."""
        at = round(self.at * steps / self.steps)
        return Rest(squeezed(self.policy, at + steps), at, steps)

    def init(self, lr: Any) -> Any:
        """The state in which `policy` is at step `at`."""
        state = self.policy.init(lr)
        for t in range(0 if hasattr(self.policy, "rate") else self.at):  # one with `rate` is a function of the step
            _, state = self.policy.step(Observation(t), state)
        return state

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """Its rate of that step."""
        return self.policy.step(replace(observation, step=self.at + observation.step), state)


def rest_of(policy: Policy, at: int, steps: int) -> Policy:
    """`policy`, which is over at + steps steps, from step `at` on; one that reacts begins anew, as does a constant."""
    if not at or is_steady(policy):
        return policy
    return squeezed(policy, steps) if policy.reads else Rest(policy, at, steps)
