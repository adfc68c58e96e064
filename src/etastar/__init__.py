"""etastar: learning rates you can measure, predict, schedule and trust, for PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etastar.version import __version__

if TYPE_CHECKING:
    from etastar.adapters.controller import Controller
    from etastar.adapters.torch import PolicyLR
    from etastar.core.design import Design, run
    from etastar.core.estimate import FLAGS, Estimate, Status
    from etastar.core.lane import Criterion, Lane, LaneStatus, Outcome, Runs, Until
    from etastar.core.problem import Problem
    from etastar.designs.eta_star.eta_star import EtaStar, Precision
    from etastar.designs.eta_star.success_band import SuccessBand
    from etastar.designs.search.optuna_search import OptunaSearch
    from etastar.designs.search.search_space import Space
    from etastar.designs.surface.surface import Surface
    from etastar.engine.lanes.engine import LaneEngine
    from etastar.engine.loop import LoopEngine
    from etastar.engine.ray.cluster import RayEngine
    from etastar.engine.sequential import SequentialEngine
    from etastar.engine.workers import WorkerEngine
    from etastar.errors import EtastarError, MissingExtra, NoAnswer, ProblemError, StoreError
    from etastar.laws.law import Law, Record
    from etastar.laws.scaling.power_law import PowerLaw
    from etastar.laws.scaling.scaling_law import ScalingLaw
    from etastar.laws.surface import SurfaceLaw
    from etastar.policies.compose import Clipped, PerGroup, Then, Times
    from etastar.policies.policy import Constant, Every, Observation, Policy
    from etastar.policies.schedule import Schedule
    from etastar.probes.critical_rate import CriticalRate
    from etastar.probes.point import Point
    from etastar.probes.reading import Probe, Reading
    from etastar.probes.sharpness import Sharpness
    from etastar.reports.page import report
    from etastar.store.run_store import RunStore
    from etastar.studies.run import StudyAnswer, run_study
    from etastar.theory.bounds import depth_width_bounds
    from etastar.theory.kaiming import kaiming_lr, kaiming_sharpness
    from etastar.theory.kernel import kernel_sharpness
    from etastar.theory.mup import depth_mup, mup_groups, mup_init_, mup_multipliers, mup_rules
    from etastar.theory.path_sum import path_sum_lr_factor
    from etastar.theory.rescale import rescale_init, rescale_lr
    from etastar.verbs.find.eta_star import EtaStarAnswer, eta_star
    from etastar.verbs.find.find import find
    from etastar.verbs.find.find_answer import FindAnswer
    from etastar.verbs.forecast.forecast import forecast
    from etastar.verbs.forecast.forecast_answer import ForecastAnswer
    from etastar.verbs.options import Options
    from etastar.verbs.predict.predict import PredictAnswer, predict
    from etastar.verbs.probe import ProbeAnswer, probe
    from etastar.verbs.scale.scale import scale
    from etastar.verbs.scale.scale_answer import ScaleAnswer
    from etastar.verbs.search.optuna_space import OptunaSpace, optuna_space
    from etastar.verbs.search.search import search
    from etastar.verbs.search.search_answer import SearchAnswer
    from etastar.verbs.surface.momentum import MomentumAnswer, momentum
    from etastar.verbs.surface.sensitivity import SensitivityAnswer, sensitivity
    from etastar.verbs.surface.surface import surface
    from etastar.verbs.surface.surface_answer import SurfaceAnswer

_HOME = {
    "Clipped": "policies.compose",
    "Constant": "policies.policy",
    "Controller": "adapters.controller",
    "Criterion": "core.lane",
    "CriticalRate": "probes.critical_rate",
    "Design": "core.design",
    "Estimate": "core.estimate",
    "EtaStar": "designs.eta_star.eta_star",
    "EtaStarAnswer": "verbs.find.eta_star",
    "EtastarError": "errors",
    "Every": "policies.policy",
    "FLAGS": "core.estimate",
    "FindAnswer": "verbs.find.find_answer",
    "ForecastAnswer": "verbs.forecast.forecast_answer",
    "Lane": "core.lane",
    "LaneEngine": "engine.lanes.engine",
    "LaneStatus": "core.lane",
    "Law": "laws.law",
    "LoopEngine": "engine.loop",
    "MissingExtra": "errors",
    "MomentumAnswer": "verbs.surface.momentum",
    "NoAnswer": "errors",
    "Observation": "policies.policy",
    "Options": "verbs.options",
    "OptunaSearch": "designs.search.optuna_search",
    "OptunaSpace": "verbs.search.optuna_space",
    "Outcome": "core.lane",
    "PerGroup": "policies.compose",
    "Point": "probes.point",
    "Policy": "policies.policy",
    "PolicyLR": "adapters.torch",
    "PowerLaw": "laws.scaling.power_law",
    "Precision": "designs.eta_star.eta_star",
    "PredictAnswer": "verbs.predict.predict",
    "Probe": "probes.reading",
    "ProbeAnswer": "verbs.probe",
    "Problem": "core.problem",
    "ProblemError": "errors",
    "RayEngine": "engine.ray.cluster",
    "Reading": "probes.reading",
    "Record": "laws.law",
    "RunStore": "store.run_store",
    "Runs": "core.lane",
    "ScaleAnswer": "verbs.scale.scale_answer",
    "ScalingLaw": "laws.scaling.scaling_law",
    "Schedule": "policies.schedule",
    "SearchAnswer": "verbs.search.search_answer",
    "SensitivityAnswer": "verbs.surface.sensitivity",
    "SequentialEngine": "engine.sequential",
    "Sharpness": "probes.sharpness",
    "Space": "designs.search.search_space",
    "Status": "core.estimate",
    "StoreError": "errors",
    "StudyAnswer": "studies.run",
    "SuccessBand": "designs.eta_star.success_band",
    "Surface": "designs.surface.surface",
    "SurfaceAnswer": "verbs.surface.surface_answer",
    "SurfaceLaw": "laws.surface",
    "Then": "policies.compose",
    "Times": "policies.compose",
    "Until": "core.lane",
    "WorkerEngine": "engine.workers",
    "depth_mup": "theory.mup",
    "depth_width_bounds": "theory.bounds",
    "eta_star": "verbs.find.eta_star",
    "find": "verbs.find.find",
    "forecast": "verbs.forecast.forecast",
    "kaiming_lr": "theory.kaiming",
    "kaiming_sharpness": "theory.kaiming",
    "kernel_sharpness": "theory.kernel",
    "momentum": "verbs.surface.momentum",
    "mup_groups": "theory.mup",
    "mup_init_": "theory.mup",
    "mup_multipliers": "theory.mup",
    "mup_rules": "theory.mup",
    "optuna_space": "verbs.search.optuna_space",
    "path_sum_lr_factor": "theory.path_sum",
    "predict": "verbs.predict.predict",
    "probe": "verbs.probe",
    "report": "reports.page",
    "rescale_init": "theory.rescale",
    "rescale_lr": "theory.rescale",
    "run": "core.design",
    "run_study": "studies.run",
    "scale": "verbs.scale.scale",
    "search": "verbs.search.search",
    "sensitivity": "verbs.surface.sensitivity",
    "surface": "verbs.surface.surface",
}

__all__ = [
    "FLAGS",
    "Clipped",
    "Constant",
    "Controller",
    "Criterion",
    "CriticalRate",
    "Design",
    "Estimate",
    "EtaStar",
    "EtaStarAnswer",
    "EtastarError",
    "Every",
    "FindAnswer",
    "ForecastAnswer",
    "Lane",
    "LaneEngine",
    "LaneStatus",
    "Law",
    "LoopEngine",
    "MissingExtra",
    "MomentumAnswer",
    "NoAnswer",
    "Observation",
    "Options",
    "OptunaSearch",
    "OptunaSpace",
    "Outcome",
    "PerGroup",
    "Point",
    "Policy",
    "PolicyLR",
    "PowerLaw",
    "Precision",
    "PredictAnswer",
    "Probe",
    "ProbeAnswer",
    "Problem",
    "ProblemError",
    "RayEngine",
    "Reading",
    "Record",
    "RunStore",
    "Runs",
    "ScaleAnswer",
    "ScalingLaw",
    "Schedule",
    "SearchAnswer",
    "SensitivityAnswer",
    "SequentialEngine",
    "Sharpness",
    "Space",
    "Status",
    "StoreError",
    "StudyAnswer",
    "SuccessBand",
    "Surface",
    "SurfaceAnswer",
    "SurfaceLaw",
    "Then",
    "Times",
    "Until",
    "WorkerEngine",
    "__version__",
    "depth_mup",
    "depth_width_bounds",
    "eta_star",
    "find",
    "forecast",
    "kaiming_lr",
    "kaiming_sharpness",
    "kernel_sharpness",
    "momentum",
    "mup_groups",
    "mup_init_",
    "mup_multipliers",
    "mup_rules",
    "optuna_space",
    "path_sum_lr_factor",
    "predict",
    "probe",
    "report",
    "rescale_init",
    "rescale_lr",
    "run",
    "run_study",
    "scale",
    "search",
    "sensitivity",
    "surface",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"etastar.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'etastar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
