from .blocks import blocks_of as blocks_of
from .change import Stability as Stability
from .look import StabilityLook as StabilityLook
from .stability_probe import StabilityProbe as StabilityProbe
