"""Update rules of torch's elementwise optimizers, for all lanes at once: same formulas, same order of operations.

A rule has two halves. `coefficients` turns the step and the lanes' rates into numbers, one per lane, in float64 on the
CPU, as torch does for one. `update` applies them in place to rows, with no branch that depends on the step. So the numbers
of a lane are those it would have alone, and `update` can be replayed by a CUDA graph.

Source: `_single_tensor_*` of each optimizer in torch.optim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from etastar.engine.lanes.cannot import CannotBatch

Slots = Mapping[str, Tensor]
Coefficients = Sequence[Tensor | float]
PER_LANE = ("momentum", "weight_decay")
"""Settings that may differ from lane to lane within one group of lanes."""


class Rule:
    """The update of one parameter group.

    Args:
        settings: the optimizer's settings of the group, as in `optimizer.param_groups`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self._per_lane: dict[str, Tensor] = {}

    def vary(self, name: str, values: Tensor, like: Tensor) -> None:
        """Setting `name` (of `PER_LANE`) is `values` [K], one per lane, float64 on the CPU; `like` is a row."""
        self._per_lane[name] = values
        self.settings[name] = values.to(device=like.device, dtype=like.dtype).unsqueeze(1)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the optimizer's state, one number per parameter; zero at the start."""
        return ()

    @property
    def steady(self) -> bool:
        """Whether the coefficients depend on the rates alone, and not on the step."""
        return False

    def start(self, state: Slots, lr: Tensor) -> None:
        """Fill slots that do not start at zero; `lr` is [K]."""

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """The numbers of step `t` (1-based) for lanes with rates `lr` [K]."""
        raise NotImplementedError

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """Change parameters `p` [K, n] and state in place; `c` are the coefficients as [K, 1]. `g` may be overwritten."""
        raise NotImplementedError

    def keep(self, index: Tensor) -> None:
        """Lanes but these are dropped."""
        for name, values in self._per_lane.items():
            self._per_lane[name] = values.index_select(0, index.cpu())
            column = self.settings[name]
            self.settings[name] = column.index_select(0, index.to(column.device))

    def _has(self, name: str) -> bool:
        """Whether setting `name` is other than zero for some lane."""
        return name in self._per_lane or self.settings[name] != 0

    def _number(self, name: str) -> Any:
        """Setting `name` for `coefficients`: a number, or float64 [K]."""
        return self._per_lane.get(name, self.settings[name])

    def _signed(self, g: Tensor) -> Tensor:
        return g.neg_() if self.settings["maximize"] else g

    def _decayed(self, p: Tensor, g: Tensor) -> Tensor:
        """The gradient, with its sign and the coupled (L2) weight decay."""
        g = self._signed(g)
        return added(g, p, self.settings["weight_decay"]) if self._has("weight_decay") else g


def added(a: Tensor, b: Tensor, factor: Tensor | float) -> Tensor:
    """a += factor b, in place, for one factor or one per lane."""
    return a.addcmul_(b, factor) if isinstance(factor, Tensor) else a.add_(b, alpha=factor)


class SGD(Rule):
    """b <- m b + (1 - dampening) g;  p <- p - lr b  (Nesterov: p - lr (g + m b))."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("momentum_buffer",) if self._has("momentum") else ()

    @property
    def steady(self) -> bool:
        """See `Rule`."""
        return not self.settings["dampening"]

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


class TwoMoments(Rule):
    """What Adam and its kin share: m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, decay coupled or not."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("exp_avg", "exp_avg_sq")

    def _moments(self, p: Tensor, g: Tensor, state: Slots, decay: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The decayed gradient, and both means with it in them; `decay` shrinks `p` where decay is decoupled."""
        beta1, beta2 = self.settings["betas"]
        if self.settings["decoupled_weight_decay"]:
            g = self._signed(g)
            if self._has("weight_decay"):
                p.mul_(decay)
        else:
            g = self._decayed(p, g)
        mean, square = state["exp_avg"].lerp_(g, 1 - beta1), state["exp_avg_sq"]
        return g, mean, square.mul_(beta2).addcmul_(g, g, value=1 - beta2)


class Adam(TwoMoments):
    """m, v: moving means of g, g^2;  p <- p - lr/(1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps). AdamW and AMSGrad too."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return (*super().slots, *(("max_exp_avg_sq",) if self.settings["amsgrad"] else ()))

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """Decay factor, square root of the second bias correction, negative step size."""
        beta1, beta2 = self.settings["betas"]
        return 1 - lr * self._number("weight_decay"), (1 - beta2**t) ** 0.5, -(lr / (1 - beta1**t))

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g, mean, square = self._moments(p, g, state, c[0])
        if self.settings["amsgrad"]:
            square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        denominator = square.sqrt().div_(c[1]).add_(self.settings["eps"])
        p.add_((mean * c[2]).div_(denominator))


class NAdam(TwoMoments):
    """Adam with Nesterov momentum mu_t = b1 (1 - 0.96^(t decay) / 2)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._product = torch.ones((), dtype=_scalar_dtype())  # torch keeps this product in float32

    def start(self, state: Slots, lr: Tensor) -> None:
        """The product of the momenta starts at one."""
        self._product = torch.ones((), dtype=_scalar_dtype())

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """Decay factor, second bias correction, weights of gradient and mean."""
        beta1, beta2 = self.settings["betas"]
        decay = self.settings["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (t * decay)))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((t + 1) * decay)))
        self._product *= mu
        product = self._product.item()
        return (
            1 - lr * self._number("weight_decay"),
            1 - beta2**t,
            -lr * (1.0 - mu) / (1.0 - product),
            (-lr * mu_next) / (1.0 - product * mu_next),
        )

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g, mean, square = self._moments(p, g, state, c[0])
        denominator = square.div(c[1]).sqrt_().add_(self.settings["eps"])
        p.add_((g * c[2]).div_(denominator))
        p.add_((mean * c[3]).div_(denominator))


class RAdam(TwoMoments):
    """Adam whose second moment is used only once its variance is tractable (rho_t > 5), and is rectified then."""

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """Decay factor, first bias correction, -lr, weight of the plain and of the adaptive step."""
        beta1, beta2 = self.settings["betas"]
        correction = 1 - beta2**t
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * t * (beta2**t) / correction
        plain, adaptive = 1.0, 0.0
        if rho > 5.0:
            rect = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
            plain, adaptive = 0.0, correction**0.5 * rect
        return 1 - lr * self._number("weight_decay"), 1 - beta1**t, -lr, plain, adaptive

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g, mean, square = self._moments(p, g, state, c[0])
        scale = (c[4] / square.sqrt().add_(self.settings["eps"])).add_(c[3])
        p.add_((mean / c[1]).mul_(c[2]).mul_(scale))


class Adamax(Rule):
    """u <- max(b2 u, |g| + eps);  p <- p - lr/(1 - b1^t) m / u."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("exp_avg", "exp_inf")

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """The negative step size."""
        return (-(lr / (1 - self.settings["betas"][0] ** t)),)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        beta1, beta2 = self.settings["betas"]
        g = self._decayed(p, g)
        mean, largest = state["exp_avg"].lerp_(g, 1 - beta1), state["exp_inf"]
        torch.maximum(largest.mul_(beta2), g.abs().add_(self.settings["eps"]), out=largest)
        p.add_((mean * c[0]).div_(largest))


class RMSprop(Rule):
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
        """See `Rule`."""
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


class Adagrad(Rule):
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


class Adadelta(Rule):
    """p <- p - lr d, d = sqrt(u + eps) / sqrt(v + eps) g, with v and u the moving means of g^2 and d^2."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("square_avg", "acc_delta")

    @property
    def steady(self) -> bool:
        """See `Rule`."""
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


class Rprop(Rule):
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
        """See `Rule`."""
        return True

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """None: the rate matters at the first step only."""
        return (0.0,)

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        shrink, grow = self.settings["etas"]
        low, high = self.settings["step_sizes"]
        g = self._signed(g)
        agreement = g * state["prev"]
        flipped = agreement < 0
        factor = torch.ones_like(g).masked_fill_(agreement > 0, grow).masked_fill_(flipped, shrink)
        state["step_size"].mul_(factor).clamp_(low, high)
        state["prev"].copy_(g.masked_fill_(flipped, 0.0))
        p.addcmul_(state["prev"].sign(), state["step_size"], value=-1)


class ASGD(Rule):
    """p <- (1 - lambda eta) p - eta g with eta_t = lr / (1 + lambda lr t)^alpha; the average of p is left out."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._eta = torch.zeros(0)

    def start(self, state: Slots, lr: Tensor) -> None:
        """The first step uses the rate itself."""
        self._eta = lr.to(_scalar_dtype())  # torch keeps it in float32

    def coefficients(self, t: int, lr: Tensor) -> Coefficients:
        """Decay factor and the negative rate of this step; then the rate of the next."""
        lambd = self.settings["lambd"]
        eta = self._eta.double()
        self._eta = (lr / ((1 + lambd * lr * t) ** self.settings["alpha"])).to(_scalar_dtype())
        return 1 - lambd * eta, -eta

    def update(self, p: Tensor, g: Tensor, state: Slots, c: Sequence[Tensor]) -> None:
        """As the class says."""
        g = self._decayed(p, g)
        p.mul_(c[0]).addcmul_(g, c[1])

    def keep(self, index: Tensor) -> None:
        """Its rates are state, too."""
        super().keep(index)
        self._eta = self._eta.index_select(0, index.cpu())


RULES: dict[type[torch.optim.Optimizer], type[Rule]] = {
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


def rule_for(optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> Rule:
    """The rule of one of `optimizer`'s groups.

    Raises:
        CannotBatch: no rule is known for exactly this class and these settings.
    """
    kind = type(optimizer)
    if kind not in RULES:
        raise CannotBatch(f"{kind.__name__} has no rule for many lanes at once")
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    if any(hooks) or "step" in vars(optimizer):
        raise CannotBatch("the optimizer's step was changed (a hook, or a scheduler around it)")
    if settings.get("capturable") or settings.get("differentiable"):
        raise CannotBatch("capturable and differentiable optimizers round differently")
    if any(isinstance(v, Tensor) for k, v in settings.items() if k not in ("params", "lr")):
        raise CannotBatch("a setting of the optimizer other than lr is a tensor")
    if any(isinstance(v, Tensor) for v in settings.get("betas", ())):
        raise CannotBatch("the optimizer's betas are tensors")
    return RULES[kind](settings)


def _scalar_dtype() -> torch.dtype:
    """The type in which torch.optim keeps numbers of its own."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
