"""etastar: learning rates you can measure, predict, schedule and trust, for PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etastar.version import __version__

if TYPE_CHECKING:
    from etastar.core.design import Design, run
    from etastar.core.estimate import FLAGS, Estimate, Status
    from etastar.core.lane import Criterion, Lane, LaneStatus, Outcome, Runs, Until
    from etastar.core.problem import Problem
    from etastar.designs.eta_star import EtaStar, Precision
    from etastar.designs.optuna_search import OptunaSearch
    from etastar.designs.search_space import Space
    from etastar.designs.success_band import SuccessBand
    from etastar.designs.surface import Surface
    from etastar.engine.lanes.engine import LaneEngine
    from etastar.engine.loop import LoopEngine
    from etastar.engine.ray_cluster import RayEngine
    from etastar.engine.sequential import SequentialEngine
    from etastar.engine.workers import WorkerEngine
    from etastar.errors import EtastarError, MissingExtra, NoAnswer, ProblemError, StoreError
    from etastar.laws.bounds import depth_width_bounds
    from etastar.laws.kaiming import kaiming_lr, kaiming_sharpness
    from etastar.laws.kernel import kernel_sharpness
    from etastar.laws.law import Law, Record
    from etastar.laws.mup import depth_mup, mup_groups, mup_init_, mup_multipliers, mup_rules
    from etastar.laws.path_sum import path_sum_lr_factor
    from etastar.laws.power_law import PowerLaw
    from etastar.laws.rescale import rescale_init, rescale_lr
    from etastar.laws.scaling import ScalingLaw
    from etastar.laws.surface import SurfaceLaw
    from etastar.policies.policy import Constant, Observation, Policy
    from etastar.policies.schedule import Schedule
    from etastar.probes.critical_rate import CriticalRate
    from etastar.probes.point import Point
    from etastar.probes.reading import Probe, Reading
    from etastar.probes.sharpness import Sharpness
    from etastar.records.store import RunStore
    from etastar.reports.page import report
    from etastar.studies.run import StudyAnswer, run_study
    from etastar.verbs.eta_star import EtaStarAnswer, eta_star
    from etastar.verbs.find import FindAnswer, find
    from etastar.verbs.momentum import MomentumAnswer, momentum
    from etastar.verbs.optuna_space import OptunaSpace, optuna_space
    from etastar.verbs.predict import PredictAnswer, predict
    from etastar.verbs.probe import ProbeAnswer, probe
    from etastar.verbs.scale import scale
    from etastar.verbs.scale_answer import ScaleAnswer
    from etastar.verbs.search import search
    from etastar.verbs.search_answer import SearchAnswer
    from etastar.verbs.sensitivity import SensitivityAnswer, sensitivity
    from etastar.verbs.session import Options
    from etastar.verbs.surface import surface
    from etastar.verbs.surface_answer import SurfaceAnswer

_HOME = {
    "Constant": "policies.policy",
    "Criterion": "core.lane",
    "CriticalRate": "probes.critical_rate",
    "Design": "core.design",
    "Estimate": "core.estimate",
    "EtaStar": "designs.eta_star",
    "EtaStarAnswer": "verbs.eta_star",
    "EtastarError": "errors",
    "FLAGS": "core.estimate",
    "FindAnswer": "verbs.find",
    "Lane": "core.lane",
    "LaneEngine": "engine.lanes.engine",
    "LaneStatus": "core.lane",
    "Law": "laws.law",
    "LoopEngine": "engine.loop",
    "MissingExtra": "errors",
    "MomentumAnswer": "verbs.momentum",
    "NoAnswer": "errors",
    "Observation": "policies.policy",
    "Options": "verbs.session",
    "OptunaSearch": "designs.optuna_search",
    "OptunaSpace": "verbs.optuna_space",
    "Outcome": "core.lane",
    "Point": "probes.point",
    "Policy": "policies.policy",
    "PowerLaw": "laws.power_law",
    "Precision": "designs.eta_star",
    "PredictAnswer": "verbs.predict",
    "Probe": "probes.reading",
    "ProbeAnswer": "verbs.probe",
    "Problem": "core.problem",
    "ProblemError": "errors",
    "RayEngine": "engine.ray_cluster",
    "Reading": "probes.reading",
    "Record": "laws.law",
    "RunStore": "records.store",
    "Runs": "core.lane",
    "ScaleAnswer": "verbs.scale_answer",
    "ScalingLaw": "laws.scaling",
    "Schedule": "policies.schedule",
    "SearchAnswer": "verbs.search_answer",
    "SensitivityAnswer": "verbs.sensitivity",
    "SequentialEngine": "engine.sequential",
    "Sharpness": "probes.sharpness",
    "Space": "designs.search_space",
    "Status": "core.estimate",
    "StoreError": "errors",
    "StudyAnswer": "studies.run",
    "SuccessBand": "designs.success_band",
    "Surface": "designs.surface",
    "SurfaceAnswer": "verbs.surface_answer",
    "SurfaceLaw": "laws.surface",
    "Until": "core.lane",
    "WorkerEngine": "engine.workers",
    "depth_mup": "laws.mup",
    "depth_width_bounds": "laws.bounds",
    "eta_star": "verbs.eta_star",
    "find": "verbs.find",
    "kaiming_lr": "laws.kaiming",
    "kaiming_sharpness": "laws.kaiming",
    "kernel_sharpness": "laws.kernel",
    "momentum": "verbs.momentum",
    "mup_groups": "laws.mup",
    "mup_init_": "laws.mup",
    "mup_multipliers": "laws.mup",
    "mup_rules": "laws.mup",
    "optuna_space": "verbs.optuna_space",
    "path_sum_lr_factor": "laws.path_sum",
    "predict": "verbs.predict",
    "probe": "verbs.probe",
    "report": "reports.page",
    "rescale_init": "laws.rescale",
    "rescale_lr": "laws.rescale",
    "run": "core.design",
    "run_study": "studies.run",
    "scale": "verbs.scale",
    "search": "verbs.search",
    "sensitivity": "verbs.sensitivity",
    "surface": "verbs.surface",
}

__all__ = [
    "FLAGS",
    "Constant",
    "Criterion",
    "CriticalRate",
    "Design",
    "Estimate",
    "EtaStar",
    "EtaStarAnswer",
    "EtastarError",
    "FindAnswer",
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
    "Point",
    "Policy",
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
    "Until",
    "WorkerEngine",
    "__version__",
    "depth_mup",
    "depth_width_bounds",
    "eta_star",
    "find",
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
