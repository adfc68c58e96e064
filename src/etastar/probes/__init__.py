"""What a network says about its learning rate: before it is trained, or (`monitors/`, `stability/`) while it is.

`reading` (the contract), `point` (a network, its loss and samples), `start` (where a training would start), `samples` (for
a probe). The probes: `sharpness`, `directional` (curvature along one direction), `critical_rate`, `adam_one_shot`,
`polyak_step`, `newton_step`, `noise_scale`, `update_ratios`. What they share: `edge` (of stability, by optimizer),
`first_step` (taken, and taken back), `convention` (mean or sum), `wide` (single precision for a look), `relu_chain` (what
closed forms know).

It offers `CriticalRate`, `Point`, `Probe`, `Reading`, `Sharpness`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
