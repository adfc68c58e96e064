"""Update rules with moving means of the gradient and of its size: Adam and its kin, for all lanes at once.

Source: `_single_tensor_*` of each optimizer in torch.optim: same formulas, same order of operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from etastar.engine.lanes.rules.rule import Coefficients, Slots, UpdateRule, scalar_dtype


class TwoMoments(UpdateRule):
    """What Adam and its kin share: m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, decay coupled or not."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Its state."""
        return ("exp_avg", "exp_avg_sq")

    def _moments(self, p: Tensor, g: Tensor, state: Slots, decay: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The decayed gradient, and both means with it in them; `decay` shrinks `p` where decay is decoupled."""
        beta1, beta2 = self.settings["betas"]
        if self.settings["decoupled_weight_decay"]:
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
        self._product = torch.ones((), dtype=scalar_dtype())  # torch keeps this product in float32

    def start(self, state: Slots, lr: Tensor) -> None:
        """The product of the momenta starts at one."""
        self._product = torch.ones((), dtype=scalar_dtype())

    def torch_state(self, t: int, p: Tensor, slots: Slots, row: int) -> dict[str, Tensor]:
        """With the product of the momenta."""
        return super().torch_state(t, p, slots, row) | {"mu_product": self._product.clone()}

    def resume(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """The product of the momenta, which is one for all lanes."""
        self._product = torch.as_tensor(states[0]["mu_product"]).cpu().to(scalar_dtype()).clone()

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


class Adamax(UpdateRule):
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
