from .averaging_gain import AveragingGain as AveragingGain
from .averaging_gain import averaging_gain as averaging_gain
from .blocks import blocks_of as blocks_of
from .change import Stability as Stability
from .example_field import example_field as example_field
from .look import StabilityLook as StabilityLook
from .stability_probe import StabilityProbe as StabilityProbe
