from .driving import apply as apply
from .driving import drive as drive
from .from_trainer import problem_from as problem_from
from .stability_callback import StabilityCallback as StabilityCallback
