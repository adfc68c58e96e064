"""`Controller`: a policy in anyone's own training loop."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from etastar.adapters.attached import attached, default_rate, policy_for
from etastar.adapters.extension import Extension, extension_of
from etastar.adapters.loggers import Logger, rates_of
from etastar.adapters.ranks import averaged
from etastar.adapters.scaling import Scaling
from etastar.adapters.snapshots import Ring, Rollback
from etastar.arguments import POSITIVE, RATE, shown
from etastar.core.batch import map_tensors
from etastar.core.gradients import flat_gradient, flat_parameters
from etastar.engine.asking import asked
from etastar.engine.signals import OF_GRADIENT, Key, Signals, keys_of
from etastar.errors import ProblemError
from etastar.policies.compose import OTHERS, each
from etastar.policies.policy import Policy, is_steady

LOG = logging.getLogger("etastar")
TOLD = {"loss": "loss", "smoothed_loss": "loss", "accuracy": "accuracy", "valid_loss": "valid_loss"}
"""signal -> what the loop must tell for it; all other signals are read off the optimizer's parameters and gradients."""


class Controller:
    """Sets the rates of an optimizer by a policy, step by step:

        loss.backward()                    # all micro-batches
        scaler.unscale_(optimizer)         # where there is a GradScaler
        controller.step(loss=loss)         # proposes: asks the policy and sets the groups' rates
        clip_grad_norm_(...)               # where gradients are clipped: signals are those before
        optimizer.step()                   # commits

    A proposal counts once the optimizer has stepped: a step that GradScaler skips does not advance the policy. Every group
    keeps its multiple of the optimizer's default rate, and a rate that is a tensor is filled in place. With
    torch.distributed the policy sees the mean of every signal over all ranks, so that all set the same rates.

    Args:
        optimizer: the user's.
        policy: a `Policy`, its name with settings, or (optimizer) -> LRScheduler, with `steps`.
        lr: the peak rate, of which groups have their multiples; None: the optimizer's default.
        steps: the horizon; may be left out where the policy has none or brings its own.
        model: whose parameters' names a `PerGroup` may use, and whose buffers `rollback` restores.
        scaler: the GradScaler of the loop; a policy that reads gradients is refused before `unscale_`. The first step shows
            a scaler that was not told.
        keep, every: how many snapshots there are for `rollback`, and how many steps lie between them.
        logger: to which the rates of each step that counted go, and the losses that were told of it (which waits for the
            device); a `StepLog` is a file for `etastar.forecast`.

    Attributes:
        taken: optimizer steps that counted.
        lr: the rate in use, before the groups' own multiples.
        planned: the policy over its horizon; `policy` is the one in use, after extensions.

    Raises:
        ProblemError: no usable rate, a policy without a horizon that needs one, a group that does not exist.

    >>> layer = nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> controller, rates = Controller(optimizer, "linear", steps=4), []
    >>> for _ in range(4):
    ...     layer(torch.ones(1)).sum().backward()
    ...     rates.append(controller.step())
    ...     optimizer.step()
    >>> [round(rate, 4) for rate in rates]
    [0.1, 0.075, 0.05, 0.025]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: Any,
        lr: float | None = None,
        steps: int | None = None,
        *,
        model: nn.Module | None = None,
        scaler: Any = None,
        keep: int = 0,
        every: int = 100,
        logger: Logger | None = None,
    ) -> None:
        self._optimizer, self._logger = optimizer, logger
        self._peak = default_rate(optimizer) if lr is None else RATE("lr", lr)
        self.planned = policy_for(policy, steps)
        self._span = steps if steps is not None else getattr(self.planned, "steps", None)
        self._setup = attached(optimizer, self.planned, model)
        self._ring = Ring(self._setup, keep, every)
        self._scaling = Scaling(self._setup, scaler)
        self.begin()
        optimizer.register_step_post_hook(self._commit)

    def begin(self) -> None:
        """Start anew at step 0 of the policy."""
        self._follow(self.planned)
        self._state: Any = self.policy.init(self._lane_rate())
        self._past: dict[str, Any] = self._signals.state()
        self._proposed: tuple[Any, dict[str, Any], Any] | None = None
        self._rate: Any = None
        self._said: dict[str, float] = {}
        self._valid: float | None = None
        self._factor, self._extensions = 1.0, list[Extension]()
        self._horizon, self.taken, self.lr = self._span, 0, self._peak

    def _lane_rate(self) -> torch.Tensor:
        return torch.tensor(self._peak, dtype=torch.float64)

    def _follow(self, policy: Policy) -> None:
        self.policy, self._keys = policy, keys_of(policy)
        moved = self._setup.parameters
        self._computed = [key for key in self._keys if key[0] != "valid_loss"]
        self._signals = Signals(self._computed, lambda: flat_gradient(moved()), lambda: flat_parameters(moved()))

    def step(self, loss: Any = None, accuracy: Any = None, valid_loss: Any = None) -> float:
        """Ask the policy for the rate of this step and set it; returns it, before the groups' own multiples.

        Call between the backward pass and `optimizer.step()`; a second call before that asks again. Where the optimizer's
        step evaluates the loss itself (LBFGS), call before it with the loss of the step before.

        Args:
            loss, accuracy: of this step, numbers or tensors: the mean over micro-batches. Only what the policy reads is
                needed.
            valid_loss: where it was just measured; it counts until the next. A policy that looks at it every n steps must
                have been told one by step n.

        Raises:
            ProblemError: the policy reads what was not told, or gradients that are still scaled.
        """
        told = {"loss": loss, "accuracy": accuracy, "valid_loss": self._valid if valid_loss is None else valid_loss}
        for name, every in self._keys:
            due = name == "smoothed_loss" or (self.taken >= every if name == "valid_loss" else self.taken % every == 0)
            if (own := TOLD.get(name)) and told[own] is None and due:
                raise ProblemError(f"{self.policy!r} reads {name}; expected controller.step({own}={own})")
        if self._signals.reads(*OF_GRADIENT):
            self._scaling.look()
        return self.propose(torch.nan if loss is None else loss, accuracy, valid_loss)

    def tell(self, valid_loss: Any) -> None:
        """A loss on validation data that was measured between steps; it counts until the next."""
        self._valid = float(_number("valid_loss", valid_loss))

    def propose(self, loss: Any, accuracy: Any = None, valid_loss: Any = None) -> float:
        """`step`, whatever is told: with a loss of None no signal of a batch has a value yet."""
        if valid_loss is not None:
            self.tell(valid_loss)
        known, missing = self._look(loss, accuracy)
        rate, state = asked(self.policy, self.taken, known, missing, self._state, None)
        if all(bool(torch.isfinite(own)) for own in (rate.values() if isinstance(rate, Mapping) else (rate,))):
            self.lr = self._setup.set_rates(each(lambda own: float(own) * self._factor, rate))
        else:  # so are the signals: the rates stay, and the policy as it was
            rate, state = self._rate, self._state
        self._proposed = state, self._signals.state(), rate
        if self._logger is not None:
            told = {"loss": None if loss is torch.nan else loss, "valid_loss": valid_loss}
            self._said = {name: float(_number(name, x)) for name, x in told.items() if x is not None}
        return self.lr

    def _look(self, loss: Any, accuracy: Any) -> tuple[dict[Key, torch.Tensor], set[Key]]:
        """The signals that the policy reads, and those among them that have no value yet."""
        if not self._keys:
            return {}, set()
        self._signals.resume([self._past], rows=False)  # what a step saw that was not taken does not count
        self._signals.watch(self._computed, self.taken)
        known = dict(self._signals.look(self.taken, _told("loss", loss), _told("accuracy", accuracy)))
        missing = set(self._signals.missing)
        for key in self._keys:
            if key[0] == "valid_loss":
                known[key] = torch.tensor(torch.nan if self._valid is None else self._valid, dtype=torch.float64)
                missing |= {key} if self._valid is None else set()
        return averaged(known), missing

    def _commit(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Called by the optimizer once it has stepped."""
        overflow = getattr(self._optimizer, "found_inf", None)  # set where GradScaler leaves the skipping to a fused step
        if self._proposed is None or (overflow is not None and bool(overflow)):
            return
        self._scaling.stepped()
        if self._logger is not None:
            names = [group.name for group in self._setup.groups]
            self._logger.log(self.taken, {"lr": self.lr, **rates_of(optimizer, names), **self._said})
        self._state, self._past, self._rate = self._proposed
        self._proposed = None
        self.taken += 1
        if (
            self._horizon is not None
            and self.taken == self._horizon + 1
            and not (self.policy.reads or is_steady(self.planned))
        ):
            LOG.warning(
                "step %d is beyond the policy's %d steps; its rate is now %g: plan all steps, or extend(steps) before",
                self.taken,
                self._horizon,
                self.lr,
            )
        self._ring.offer(self.taken, self.state_dict)

    def rescale(self, factor: float) -> None:
        """All rates from here on are `factor` times as large; before the first step, so is the peak."""
        POSITIVE("rescale's factor", factor)
        if self.taken:
            self._factor *= factor
            return
        told, self._peak = self._valid, self._peak * factor
        self.begin()
        self._valid = told

    def extend(self, steps: int) -> Extension:
        """Go on to `steps` steps in all: what was trained stays, the rate holds and then cools down.

        Returns:
            What happens, which prints as a sentence.

        Raises:
            ProblemError: the policy has no horizon, a shorter one than this is wanted, or it has cooled down already.
        """
        if self._horizon is None or is_steady(self.planned) or not hasattr(self.planned, "over"):
            raise ProblemError(f"{self.planned!r} has no end to be moved; expected a policy over a number of steps")
        rates = self._peak if self._rate is None else self._rate
        held = each(lambda own: float(own) / self._peak, rates if isinstance(rates, Mapping) else {OTHERS: rates})
        extension = extension_of(self.taken, self._horizon, steps, held)
        self._go_on(extension)
        return extension

    def _go_on(self, extension: Extension) -> None:
        """Follow the policy of an extension; its state is that of the policy so far."""
        policy = extension.policy(self.policy)
        self._state = policy.grafted(self._state, self._lane_rate(), self._rate)
        self._follow(policy)
        self._proposed, self._horizon = None, extension.steps
        self._extensions.append(extension)

    def rollback(self, factor: float = 1.0) -> Rollback:
        """Go back to the newest snapshot; a second call goes further back. An extension made since is undone, too.

        Args:
            factor: of all rates from there on, e.g. 0.5 after a spike.

        Returns:
            What was restored, which prints as a sentence.

        Raises:
            ProblemError: there is no snapshot.
        """
        POSITIVE("rollback's factor", factor)
        at, slower = self.taken, self._factor
        saved = self._ring.restore()
        if saved is None:
            raise ProblemError(
                "there is no snapshot to go back to; expected Controller(..., keep=2, every=100) from the start"
            )
        self._resume(saved.controller)
        self._factor = slower * factor
        return Rollback(saved.step, at - saved.step, self._factor)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the next rates: numbers, tensors and containers of them, as `torch.save` keeps them."""
        return {
            "policy": repr(self.planned),
            "extensions": [[e.at, e.before, e.steps, e.cooldown, [list(own) for own in e.held]] for e in self._extensions],
            "taken": self.taken,
            "peak": self._peak,
            "multipliers": [group.multiplier for group in self._setup.groups],
            "lr": self.lr,
            "rate": self._rate,
            "factor": self._factor,
            "state": self._state,
            "signals": self._past,
            "proposed": None if self._proposed is None else list(self._proposed),
            "valid_loss": self._valid,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was saved; the optimizer's own state is loaded apart. Snapshots from before are dropped.

        Raises:
            ProblemError: it is another policy's, of other groups, or no controller's.
        """
        if not isinstance(state, Mapping) or state.keys() != self.state_dict().keys():
            raise ProblemError(f"got {shown(state)}; expected what state_dict() of a controller gave")
        if state["policy"] != repr(self.planned):
            raise ProblemError(f"the state is of the policy {state['policy']}; expected one of {self.planned!r}")
        if len(state["multipliers"]) != len(self._setup.groups):
            counts = len(state["multipliers"]), len(self._setup.groups)
            raise ProblemError(f"the state is of {counts[0]} parameter groups; expected one of the optimizer's {counts[1]}")
        self._ring.clear()
        self._resume(state)

    def _resume(self, state: Mapping[str, Any]) -> None:
        own = map_tensors(lambda t: t.detach().clone(), dict(state))
        self.begin()
        self._peak = own["peak"]
        groups = zip(self._setup.groups, own["multipliers"], strict=True)
        self._setup = replace(self._setup, groups=tuple(replace(g, multiplier=m) for g, m in groups))
        for at, before, steps, cooldown, held in own["extensions"]:
            self._go_on(Extension(at, before, steps, cooldown, tuple((name, share) for name, share in held)))
        self._state, self._past, self._rate = own["state"], own["signals"], own["rate"]
        self.taken, self.lr = own["taken"], own["lr"]
        self._factor, self._valid = own["factor"], own["valid_loss"]
        self._proposed = None if own["proposed"] is None else tuple(own["proposed"])


def _told(name: str, value: Any) -> torch.Tensor | None:
    return None if value is None else _number(name, value)


def _number(name: str, value: Any) -> torch.Tensor:
    """What the loop told, apart from its graph."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.detach().reshape(()).to("cpu", torch.float64)
    if isinstance(value, numbers.Real):
        return torch.tensor(float(value), dtype=torch.float64)
    got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else shown(value)
    raise ProblemError(f"{name} is {got}; expected one number, e.g. the mean of the batch")
