"""What reads a training while it goes on, on the lane's first batch: one file a monitor, `named` lists them.

`sharpness_monitor`, `move_monitor`, `norm_monitor`, `stability_monitor`; `standing` (the point where a training stands) and
`drawn` (how readings are drawn) are what they share.

It offers `MoveMonitor`, `NormMonitor`, `SharpnessMonitor`, `StabilityMonitor`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
