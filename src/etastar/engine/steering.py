"""Asks a lane's policy for its rate, between the backward pass and the update, and sets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from etastar.core.gradients import flat_gradient, flat_parameters
from etastar.core.lane import Lane
from etastar.core.setup import Setup
from etastar.engine.asking import asked
from etastar.engine.signals import Hessian, Rows, Signals, check_before_gradient, keys_of
from etastar.policies.compose import each
from etastar.policies.policy import Policy
from etastar.policies.trunk import graft


class Steering:
    """The policy of one lane with its state.

    Args:
        closures: whether the optimizer's step evaluates the loss itself: the policy is asked before it, of the step before.
        watched: the loss on data that only policies see; None where there are none.
        hessian: of the step's loss.

    Attributes:
        seen: loss and accuracy of the last step.
        lr: the rate in use, before the groups' own multiples; of the first group, where groups have rates of their own.

    Raises:
        ProblemError: the policy reads what this training cannot show.
    """

    def __init__(
        self, lane: Lane, setup: Setup, *, closures: bool, watched: Rows | None = None, hessian: Hessian | None = None
    ) -> None:
        self._policy, self._setup = lane.policy, setup
        self._keys = keys_of(lane.policy)
        if closures:
            check_before_gradient(lane.policy)
        moved = setup.parameters
        gradient, parameters = lambda: flat_gradient(moved()), lambda: flat_parameters(moved())
        self._signals = Signals(self._keys, gradient, parameters, watched, hessian)
        self._lr = torch.tensor(lane.lr, dtype=torch.float64)
        self._state, self._rate = lane.policy.init(self._lr), None
        self.lr = lane.lr
        self.seen: tuple[float | None, float | None] = (None, None)

    def ask_before(self, step: int) -> None:
        """The same before there is a loss, from that of the step before."""
        self.ask(step, *self.seen)

    def ask(self, step: int, loss: float | None, accuracy: float | None) -> None:
        """Set the rate of optimizer step `step`; loss and accuracy are its own, or those of the step before."""
        number = lambda x: None if x is None else torch.tensor(x, dtype=torch.float64)
        known = self._signals.look(step, number(loss), number(accuracy)) if self._keys else {}
        self._rate, self._state = asked(self._policy, step, known, self._signals.missing, self._state, None)
        self.lr = self._setup.set_rates(each(float, self._rate))

    def state(self) -> dict[str, Any]:
        """What the next step needs of those before."""
        return {"policy": self._state, "rate": self._rate, "signals": self._signals.state(), "seen": list(self.seen)}

    def resume(self, state: Mapping[str, Any], before: Policy, step: int) -> None:
        """Go on after `step` steps from the state of a lane that `before` has steered so far.

        Raises:
            ProblemError: `before` is not how this lane's policy begins, or it reads what nobody watched.
        """
        self._rate = state["rate"]
        self._state = graft(self._policy, before, state["policy"], self._lr, self._rate, step)
        self._signals.resume([state["signals"]], rows=False)
        self._signals.watch(self._keys, step)
        self.seen = (state["seen"][0], state["seen"][1])
