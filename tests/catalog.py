"""Everything that exists in several kinds, registered once; conformance tests run over these rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import nn

from etastar import CriticalRate, Policy, Probe, Sharpness
from etastar.core.monitor import Monitor
from etastar.engine.signals import OF_HESSIAN, keys_of
from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.constant_rate import ConstantRate
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.fading_noise import FadingNoise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.same_gain import SameGain
from etastar.laws.curves.schaipp2025convex import ConvexBound
from etastar.laws.curves.tissue2024momentum import MomentumLaw
from etastar.policies import Constant
from etastar.policies.cdat import Cdat
from etastar.policies.edge import Edge
from etastar.policies.greedy import Greedy
from etastar.policies.named import SCHEDULES, policy_over
from etastar.policies.plateau import Plateau
from etastar.policies.polyak import Polyak
from etastar.policies.spike_guard import SpikeGuard
from etastar.policies.torch_schedule import torch_schedule
from etastar.probes.adam_one_shot import AdamOneShot
from etastar.probes.directional import GradientCurvature, UpdateCurvature
from etastar.probes.monitors.named import MONITORS as MAKERS
from etastar.probes.newton_step import CauchyStep, NewtonStep
from etastar.probes.noise_scale import NoiseScale
from etastar.probes.polyak_step import PolyakStep
from etastar.probes.sharpness import GaussNewtonSharpness, PreconditionedSharpness
from etastar.probes.update_ratios import UpdateRatios


class SignDescent(torch.optim.Optimizer):
    """A custom subclass: w -= lr * sign(g)."""

    def __init__(self, params, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * p.grad.sign())


class NeedsClosure(torch.optim.Optimizer):
    """Gradient descent that evaluates its own gradient, as SAM and LBFGS do."""

    def __init__(self, params, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure):
        loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(group["lr"] * p.grad)
        return loss


def _plain(cls, **settings):
    return lambda model: cls(model.parameters(), **settings)


def _decay_groups(model: nn.Module) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": weights, "weight_decay": 0.1, "name": "decay"},
        {"params": rest, "weight_decay": 0.0, "lr": 2e-2, "name": "no_decay"},
    ]
    return torch.optim.AdamW(groups, lr=1e-2)


def _muon(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Muon([p for p in model.parameters() if p.dim() == 2], lr=1e-2)


OPTIMIZERS = {
    "SGD": _plain(torch.optim.SGD, lr=0.1),
    "momentum": _plain(torch.optim.SGD, lr=0.1, momentum=0.9),
    "Nesterov": _plain(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": _plain(torch.optim.Adam, lr=1e-2),
    "Adam, tensor lr": lambda model: torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-2)),
    "AdamW, groups": _decay_groups,
    "NAdam": _plain(torch.optim.NAdam, lr=1e-2),
    "RAdam": _plain(torch.optim.RAdam, lr=1e-2),
    "Adamax": _plain(torch.optim.Adamax, lr=1e-2),
    "RMSprop": _plain(torch.optim.RMSprop, lr=1e-2),
    "Adagrad": _plain(torch.optim.Adagrad, lr=1e-2),
    "Adadelta": _plain(torch.optim.Adadelta, lr=1.0),
    "Rprop": _plain(torch.optim.Rprop, lr=1e-2),
    "ASGD": _plain(torch.optim.ASGD, lr=1e-2),
    "Adafactor": _plain(torch.optim.Adafactor, lr=1e-2),
    "Muon": _muon,
    "LBFGS": _plain(torch.optim.LBFGS, lr=0.1, max_iter=2),
    "custom subclass": _plain(SignDescent, lr=1e-2),
    "custom, needs closure": _plain(NeedsClosure, lr=0.1),
}
"""name -> factory. `Problem` must train each exactly as an ordinary loop does."""


@dataclass(frozen=True)
class Halving:
    """A schedule: the rate halves every `every` steps."""

    every: int = 7
    reads = ()

    def init(self, lr):
        return lr

    def step(self, observation, state):
        return state * 0.5 ** (observation.step // self.every), state


@dataclass(frozen=True)
class BackOff:
    """A reactive rule: the rate halves whenever the loss has risen above its last value, and recovers by a fifth."""

    reads = ("loss",)

    def init(self, lr):
        return {"lr": lr, "scale": torch.ones_like(torch.as_tensor(lr)), "last": torch.full_like(torch.as_tensor(lr), inf)}

    def step(self, observation, state):
        loss = torch.as_tensor(observation["loss"], dtype=torch.float64)
        scale = torch.where(loss > state["last"], 0.5 * state["scale"], (1.2 * state["scale"]).clamp(max=1.0))
        return state["lr"] * scale, {"lr": state["lr"], "scale": scale, "last": loss}


EAGER: dict[str, Policy] = {
    "plateau": Plateau(every=4, patience=0, threshold=0.5),
    "greedy": Greedy(every=4, patience=0),
    "polyak": Polyak(c=5000.0),
    "cdat": Cdat(sigma=0.01),
    "edge": Edge(share=1e-3, every=3),
    "spike-guard": SpikeGuard(Constant(), deviations=0.5, memory=5, back=5),
}
"""Reactive policies in settings in which they react within the few steps of a test."""

POLICIES: dict[str, Policy] = {
    "constant": Constant(),
    **{name: policy_over(EAGER.get(name, name), 25) for name in SCHEDULES},
    "torch": torch_schedule(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5), 25),
    "torch, with a floor": torch_schedule(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 25, eta_min=1e-3), 25
    ),
    "schedule": Halving(),
    "reactive": BackOff(),
}
"""name -> policy; the last two show what a user's own schedule and reactive rule look like."""

LOOP_ONLY = tuple(name for name, policy in POLICIES.items() if any(key in OF_HESSIAN for key, _ in keys_of(policy)))
"""Those that read second derivatives, which rows do not have."""

ELEMENTWISE = {
    name: OPTIMIZERS[name]
    for name in (
        "SGD", "momentum", "Nesterov", "Adam", "Adam, tensor lr", "AdamW, groups", "NAdam", "RAdam", "Adamax", "RMSprop",
        "Adagrad", "Adadelta", "Rprop", "ASGD",
    )
} | {
    "SGD, everything": _plain(torch.optim.SGD, lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.01),
    "AMSGrad": _plain(torch.optim.Adam, lr=1e-2, amsgrad=True, weight_decay=0.01),
    "NAdam, decay": _plain(torch.optim.NAdam, lr=1e-2, weight_decay=0.01, decoupled_weight_decay=True),
    "RAdam, decay": _plain(torch.optim.RAdam, lr=1e-2, weight_decay=0.01, betas=(0.9, 0.99)),
    "RMSprop, everything": _plain(torch.optim.RMSprop, lr=1e-2, momentum=0.5, centered=True, weight_decay=0.01),
    "Adagrad, decay": _plain(torch.optim.Adagrad, lr=1e-2, lr_decay=0.1, initial_accumulator_value=0.1),
    "ASGD, decay": _plain(torch.optim.ASGD, lr=1e-2, lambd=0.1, weight_decay=0.01),
}  # fmt: skip
"""name -> factory. Every elementwise optimizer of torch.optim, in the settings that change its formula."""

PROBES: dict[str, Probe] = {
    "lambda1": Sharpness(),
    "lambda1, Gauss-Newton": GaussNewtonSharpness(),
    "lambda1, preconditioned": PreconditionedSharpness(),
    "curvature along gradient": GradientCurvature(),
    "curvature along update": UpdateCurvature(),
    "eta_c": CriticalRate(),
    "Adam one-shot": AdamOneShot(),
    "Polyak step": PolyakStep(),
    "Cauchy step": CauchyStep(),
    "Newton step": NewtonStep(),
    "noise scale": NoiseScale(),
    "update ratio": UpdateRatios(),
}
"""name -> probe. Each must read any problem, or say why not, and leave no trace."""

MONITORS: dict[str, Monitor] = {name: make(7) for name, make in MAKERS.items()}
"""name -> monitor. Each must read any problem of parts, or say why not, and leave no trace."""

CURVE_LAWS: dict[str, type[CurveLaw]] = {
    law.name: law for law in (FadingNoise, ConstantRate, MomentumLaw, MultiPowerLaw, ConvexBound, SameGain, BlindPower)
}
"""name -> law of loss curves."""
