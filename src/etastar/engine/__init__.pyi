from .lanes.engine import LaneEngine as LaneEngine
from .loop import LoopEngine as LoopEngine
from .ray.cluster import RayEngine as RayEngine
from .sequential import SequentialEngine as SequentialEngine
from .workers import WorkerEngine as WorkerEngine
