"""How much a step changes what the blocks of a network say and are told: activations and back-propagated signals.

`blocks` (which modules are looked at), `passes` (one pass of a block: what it was given and said), `look` (what is kept of
the network at one moment), `stability_probe` (takes looks, and compares two), `change` (what two looks differ by), `split`
(by its own weights, or by what other blocks did); `averaging` (what a lower rate would win, block by block) and `field`
(every example's loss and gradient), of `objective_module` (the loss at other weights).

It offers `AveragingGain`, `Stability`, `StabilityLook`, `StabilityProbe`, `averaging_gain`, `blocks_of`,
`example_field`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
