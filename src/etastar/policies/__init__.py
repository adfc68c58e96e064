"""What sets the learning rate while a lane trains: pure functions that know nothing of networks.

`policy` (the contract, and the constant rate), `compose` (policies made of policies), `trunk` (a beginning that some share),
`rest` (what is left of a schedule), `registry` (all that have a name), `named` (from what a user calls one),
`third_party` (those of other distributions). `setting` (what a setting may be), `shape` and `watching`: what the following
share. Functions of the step: `schedule` (warm up, hold, decay), `one_cycle`, `cosine_restarts`, `triangular`, `exponential`,
`step_decay`, `inverse_sqrt`, `torch_schedule` (read off torch's own), `psi` (the ideal rate in a closed form). What reacts:
`psi_network` (that form, times what the training's state says; its numbers in a file: `psi_weights`), `psi_argmax` (the rate
that a predictor promises most of), `psi_open` (a closed form of step and loss, without a horizon), `plateau`, `greedy`,
`bold_driver`, `spike_guard`, `polyak`, `hypergradient`, `edge`, `cdat`.

It offers `Clipped`, `Constant`, `Every`, `Observation`, `PerGroup`, `Policy`, `Schedule`, `Then`, `Times`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
