from .law import Law as Law
from .law import Record as Record
from .scaling.power_law import PowerLaw as PowerLaw
from .scaling.scaling_law import ScalingLaw as ScalingLaw
from .surface import SurfaceLaw as SurfaceLaw
