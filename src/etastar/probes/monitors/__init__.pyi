from .move_monitor import MoveMonitor as MoveMonitor
from .norm_monitor import NormMonitor as NormMonitor
from .sharpness_monitor import SharpnessMonitor as SharpnessMonitor
from .stability_monitor import StabilityMonitor as StabilityMonitor
