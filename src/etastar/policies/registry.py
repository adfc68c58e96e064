"""Every policy that has a name: one row each, under which the command line and Python find it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from etastar.errors import ProblemError
from etastar.policies.bold_driver import BoldDriver
from etastar.policies.cdat import Cdat
from etastar.policies.cosine_restarts import CosineRestarts
from etastar.policies.edge import Edge
from etastar.policies.exponential import Exponential
from etastar.policies.greedy import Greedy
from etastar.policies.hypergradient import Hypergradient
from etastar.policies.inverse_sqrt import InverseSqrt
from etastar.policies.one_cycle import OneCycle
from etastar.policies.plateau import Plateau
from etastar.policies.policy import Constant, Policy
from etastar.policies.polyak import Polyak
from etastar.policies.psi import Psi
from etastar.policies.psi_network import PsiNetwork
from etastar.policies.schedule import Schedule
from etastar.policies.spike_guard import SpikeGuard
from etastar.policies.step_decay import StepDecay
from etastar.policies.triangular import Triangular

SCHEDULES: dict[str, Policy] = {
    "constant": Constant(),
    "linear": Schedule(decay=1.0, curve="linear"),
    "cosine": Schedule(decay=1.0, curve="cosine"),
    "polynomial": Schedule(decay=1.0, curve=2.0),
    "warmup-cosine": Schedule(warmup=0.1, decay=0.9, curve="cosine"),
    "warmup-linear": Schedule(warmup=0.1, decay=0.9, curve="linear"),
    "wsd": Schedule(warmup=0.05, decay=0.2, curve="linear"),
    "one-cycle": OneCycle(),
    "exponential": Exponential(),
    "step-decay": StepDecay(),
    "inverse-sqrt": InverseSqrt(),
    "triangular": Triangular(),
    "triangular2": Triangular(shrink=0.5),
    "cosine-restarts": CosineRestarts(),
    "plateau": Plateau(),
    "greedy": Greedy(),
    "bold-driver": BoldDriver(),
    "hypergradient": Hypergradient(),
    "polyak": Polyak(),
    "cdat": Cdat(),
    "edge": Edge(),
    "psi": Psi(),
    "psi-network": PsiNetwork(),
    "spike-guard": SpikeGuard(Constant()),
}
"""name -> policy without a horizon. `NAME:key=value,...` changes its settings: `wsd:decay=0.5,curve=sqrt`."""
NOT_SETTINGS = ("steps", "policy", "prior")
"""Fields that a text cannot set: the horizon is the problem's, and a policy within another is written in Python."""


def configured(name: str, changes: dict[str, Any]) -> Policy:
    """The policy called `name` with other settings.

    Raises:
        ProblemError: it has no such setting, or no such value of it.

    >>> configured("wsd", {"decay": 0.5})
    Schedule(warmup=0.05, decay=0.5, curve='linear', floor=0.0, steps=None)
    """
    policy: Any = SCHEDULES[name]
    known = [field.name for field in fields(policy) if field.name not in NOT_SETTINGS]
    for key in changes:
        if key not in known:
            settings = f"settings of {', '.join(known)}" if known else "the name alone: it has no settings"
            raise ProblemError(f"schedule {name} is given {key!r}; expected {settings}")
    return replace(policy, **changes)
