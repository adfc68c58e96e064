from .averaging import AveragingGain as AveragingGain
from .averaging import averaging_gain as averaging_gain
from .blocks import blocks_of as blocks_of
from .change import Stability as Stability
from .field import example_field as example_field
from .look import StabilityLook as StabilityLook
from .stability_probe import StabilityProbe as StabilityProbe
