"""What follows from formulas alone, before any number is measured, and the mathematics it takes: nothing here is fitted.

`kaiming` (a rate from the widths), `kernel` (sharpness from the inputs), `loss_curvature`, `bounds` (depth x width),
`mup` (maximal update parametrisation), `path_sum` (branched networks), `rescale` (exact changes of unit),
`target_scale` (what a network of learnt targets is worth); `curvature` (second derivatives as products with vectors) and
`lanczos` (the largest eigenvalue of a matrix known by its products), which probes and engines share.

It offers `depth_mup`, `depth_width_bounds`, `kaiming_lr`, `kaiming_sharpness`, `kernel_sharpness`, `mup_groups`,
`mup_init_`, `mup_multipliers`, `mup_rules`, `path_sum_lr_factor`, `rescale_init`, `rescale_lr`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
