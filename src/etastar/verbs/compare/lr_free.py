"""Optimizers that find their rate by themselves, as rivals of policies: each as its authors say it should be run."""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from etastar.core.problem import Problem
from etastar.errors import ProblemError


@dataclass(frozen=True)
class LRFree:
    """An optimizer of another package, at its own settings.

    Args:
        package: what pip calls it.
        factory: "module:class".
        schedule: of the factor that the class calls `lr`.
        settings: what is set beside the class's defaults, as (name, value).
        note: whose advice that is.
    """

    package: str
    factory: str
    schedule: str = "constant"
    settings: tuple[tuple[str, Any], ...] = ()
    note: str = field(default="", compare=False)

    def of(self, problem: Problem, weight_decay: float = 0.0) -> Problem:
        """`problem` trained by this optimizer, all parameters in one group; everything else as it was.

        Raises:
            ProblemError: the package is not installed; the problem is a loop of the user's own, or begins at a checkpoint.
        """
        if problem.is_loop or problem.start_from is not None:
            what = "a training loop of your own" if problem.is_loop else "a problem that begins at a checkpoint"
            raise ProblemError(f"got {what}; an optimizer without a rate can only be set where etastar makes the optimizer")
        self.load()
        return problem.but(optimizer=partial(_make, self, weight_decay), schedule=None)

    def load(self) -> type[torch.optim.Optimizer]:
        """Its class.

        Raises:
            ProblemError: the package is not installed.
        """
        module, _, name = self.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise ProblemError(
                f"{name} is not installed ({error}); expected the package {self.package}: pip install 'etastar[lr-free]'"
            ) from None


def _make(own: LRFree, weight_decay: float, model: nn.Module) -> torch.optim.Optimizer:
    kind, settings = own.load(), dict(own.settings)
    if "weight_decay" in inspect.signature(kind).parameters:
        settings["weight_decay"] = weight_decay
    with redirect_stdout(io.StringIO()):  # some say there what they were told
        return kind([p for p in model.parameters() if p.requires_grad], **settings)


LR_FREE: Mapping[str, LRFree] = MappingProxyType(
    {
        "prodigy": LRFree(
            "prodigyopt",
            "prodigyopt:Prodigy",
            "cosine",
            (("safeguard_warmup", True), ("use_bias_correction", True)),
            "Mishchenko & Defazio 2023; cosine and both switches as its README says",
        ),
        "d-adaptation": LRFree(
            "dadaptation", "dadaptation:DAdaptAdam", "linear", (("decouple", True),), "Defazio & Mishchenko 2023"
        ),
        "schedule-free": LRFree("schedulefree", "schedulefree:AdamWScheduleFree", note="Defazio et al. 2024; lr 0.0025"),
        "momo": LRFree("momo-opt", "momo:MomoAdam", note="Schaipp et al. 2023; lr 0.01"),
        "dog": LRFree("dog-optimizer", "dog:LDoG", note="Ivgi et al. 2023, by layers; without its averaging of weights"),
    }
)
"""By the name that `compare` knows them by."""
