from .critical_rate import CriticalRate as CriticalRate
from .point import Point as Point
from .reading import Probe as Probe
from .reading import Reading as Reading
from .sharpness import Sharpness as Sharpness
