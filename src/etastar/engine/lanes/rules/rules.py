"""Update rules of torch's elementwise optimizers, for all lanes at once, and which optimizer has which.

Source: `_single_tensor_*` of each optimizer in torch.optim: same formulas, same order of operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from etastar.engine.lanes.rules.moment_rules import Adam, Adamax, NAdam, RAdam
from etastar.engine.lanes.rules.rule import Coefficients, Slots, UpdateRule, added, scalar_dtype
from etastar.errors import DoesNotApply


class SGD(UpdateRule):
    """b <- m b + (1 - dampening) g;  p <- p - lr b  (Nesterov: p - lr (g + m b))."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("momentum_buffer",) if self._has("momentum") else ()

    @property
    def steady(self) -> bool:
        """See `UpdateRule`."""
        return not self.settings["dampening"]

    def torch_state(self, t: int, p: Tensor, slots: Slots, row: int) -> dict[str, Tensor]:
        """The buffer alone."""
        return dict(slots)

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """The weight of the gradient in the buffer (1 at the first step), and -lr."""
        dampening = 0.0 if t == 1 else self.settings["dampening"]
        if dampening and "momentum" in self._per_lane:  # torch dampens with momentum only
            dampening = dampening * (self._number("momentum") != 0).double()
        return (1 - dampening, -lr)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g = self._decayed(p, g)
        momentum = self.settings["momentum"]
        if self._has("momentum"):
            buffer = state["momentum_buffer"]
            if self.settings["dampening"]:
                buffer.mul_(momentum).addcmul_(g, c[0])
            elif isinstance(momentum, Tensor):
                buffer.mul_(momentum).add_(g)
            else:
                torch.add(g, buffer, alpha=momentum, out=buffer)
            g = added(g, buffer, momentum) if self.settings["nesterov"] else buffer
        p.addcmul_(g, c[1])


class RMSprop(UpdateRule):
    """v <- a v + (1 - a) g^2;  p <- p - lr g / (sqrt(v) + eps), with momentum and centring where asked for."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return (
            "square_avg",
            *(("grad_avg",) if self.settings["centered"] else ()),
            *(("momentum_buffer",) if self._has("momentum") else ()),
        )

    @property
    def steady(self) -> bool:
        """See `UpdateRule`."""
        return True

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """-lr."""
        return (-lr,)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        alpha, momentum = self.settings["alpha"], self.settings["momentum"]
        g = self._decayed(p, g)
        square = state["square_avg"].mul_(alpha).addcmul_(g, g, value=1 - alpha)
        if self.settings["centered"]:
            mean = state["grad_avg"].lerp_(g, 1 - alpha)
            root = square.addcmul(mean, mean, value=-1).sqrt_()
        else:
            root = square.sqrt()
        root.add_(self.settings["eps"])
        if self._has("momentum"):
            p.addcmul_(state["momentum_buffer"].mul_(momentum).addcdiv_(g, root), c[0])
        else:
            p.add_((g * c[0]).div_(root))


class Adagrad(UpdateRule):
    """s <- s + g^2;  p <- p - lr / (1 + (t - 1) decay) g / (sqrt(s) + eps)."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("sum",)

    def start(self, state: Slots, lr: Tensor) -> None:
        """The sum starts at the optimizer's initial accumulator value."""
        state["sum"].fill_(self.settings["initial_accumulator_value"])

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """The negative rate."""
        return (-(lr / (1 + (t - 1) * self.settings["lr_decay"])),)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g = self._decayed(p, g)
        total = state["sum"].addcmul_(g, g)
        p.add_((g * c[0]).div_(total.sqrt().add_(self.settings["eps"])))


class Adadelta(UpdateRule):
    """p <- p - lr d, d = sqrt(u + eps) / sqrt(v + eps) g, with v and u the moving means of g^2 and d^2."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("square_avg", "acc_delta")

    @property
    def steady(self) -> bool:
        """See `UpdateRule`."""
        return True

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """-lr."""
        return (-lr,)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        rho, eps = self.settings["rho"], self.settings["eps"]
        g = self._decayed(p, g)
        root = state["square_avg"].mul_(rho).addcmul_(g, g, value=1 - rho).add(eps).sqrt_()
        delta = state["acc_delta"].add(eps).sqrt_().div_(root).mul_(g)
        state["acc_delta"].mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.addcmul_(delta, c[0])


class Rprop(UpdateRule):
    """Every weight has a step size: it grows while the gradient keeps its sign and shrinks when it flips."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("prev", "step_size")

    def start(self, state: Slots, lr: Tensor) -> None:
        """All step sizes start at the rate."""
        step_size = state["step_size"]
        step_size.copy_(lr.to(step_size).unsqueeze(1).expand_as(step_size))

    @property
    def steady(self) -> bool:
        """See `UpdateRule`."""
        return True

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """None: the rate matters at the first step only."""
        return (0.0,)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        shrink, grow = self.settings["etas"]
        low, high = self.settings["step_sizes"]
        agreement = g * state["prev"]
        flipped = agreement < 0
        factor = torch.ones_like(g).masked_fill_(agreement > 0, grow).masked_fill_(flipped, shrink)
        state["step_size"].mul_(factor).clamp_(low, high)
        state["prev"].copy_(g.masked_fill_(flipped, 0.0))
        p.addcmul_(state["prev"].sign(), state["step_size"], value=-1)


class ASGD(UpdateRule):
    """p <- (1 - lambda eta) p - eta g with eta_t = lr / (1 + lambda lr t)^alpha; the average of p is left out."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._eta = torch.zeros(0)

    def start(self, state: Slots, lr: Tensor) -> None:
        """The first step uses the rate itself."""
        self._eta = lr.to(scalar_dtype())  # torch keeps it in float32

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """Decay factor and the negative rate of this step; then the rate of the next."""
        lambd = self.settings["lambd"]
        eta = self._eta.double()
        self._eta = (lr / ((1 + lambd * lr * t) ** self.settings["alpha"])).to(scalar_dtype())
        return 1 - lambd * eta, -eta

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g = self._decayed(p, g)
        p.mul_(c[0]).addcmul_(g, c[1])

    def torch_state(self, t: int, p: Tensor, slots: Slots, row: int) -> dict[str, Tensor]:
        """The rate of the next step; the average is still the parameter itself."""
        if t > self.settings["t0"]:
            raise DoesNotApply("ASGD averages its parameters by now, which lanes do not follow")
        own = {"eta": self._eta[row].clone(), "mu": torch.ones((), dtype=self._eta.dtype), "ax": p.clone()}
        return super().torch_state(t, p, slots, row) | own

    def resume(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """The rates of the next step."""
        self._eta = torch.stack([torch.as_tensor(state["eta"]).cpu().to(scalar_dtype()) for state in states])

    def take(self, index: Tensor) -> None:
        """Its rates are state, too."""
        super().take(index)
        self._eta = self._eta.index_select(0, index.cpu())


RULES: dict[type[torch.optim.Optimizer], type[UpdateRule]] = {
    torch.optim.SGD: SGD,
    torch.optim.Adam: Adam,
    torch.optim.AdamW: Adam,
    torch.optim.NAdam: NAdam,
    torch.optim.RAdam: RAdam,
    torch.optim.Adamax: Adamax,
    torch.optim.RMSprop: RMSprop,
    torch.optim.Adagrad: Adagrad,
    torch.optim.Adadelta: Adadelta,
    torch.optim.Rprop: Rprop,
    torch.optim.ASGD: ASGD,
}


def rule_for(optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> UpdateRule:
    """The rule of one of `optimizer`'s groups.

    Raises:
        DoesNotApply: no rule is known for exactly this class and these settings.
    """
    kind = type(optimizer)
    if kind not in RULES:
        raise DoesNotApply(f"{kind.__name__} has no rule for many lanes at once")
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    if any(hooks) or "step" in vars(optimizer):
        raise DoesNotApply("the optimizer's step was changed (a hook, or a scheduler around it)")
    if settings.get("capturable") or settings.get("differentiable"):
        raise DoesNotApply("capturable and differentiable optimizers round differently")
    if any(isinstance(v, Tensor) for k, v in settings.items() if k not in ("params", "lr")):
        raise DoesNotApply("a setting of the optimizer other than lr is a tensor")
    if any(isinstance(v, Tensor) for v in settings.get("betas", ())):
        raise DoesNotApply("the optimizer's betas are tensors")
    return RULES[kind](settings)
