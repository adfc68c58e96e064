"""What follows from formulas alone, before any number is measured: nothing here is fitted.

`kaiming` (a rate from the widths), `kernel` (sharpness from the inputs), `loss_curvature`, `bounds` (depth x width),
`mup` (maximal update parametrisation), `path_sum` (branched networks), `rescale` (exact changes of unit),
`target_scale` (what a network of learnt targets is worth).
"""
