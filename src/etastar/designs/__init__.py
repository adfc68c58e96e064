"""Experiments that ask for lanes and answer; none of them sees a model.

`eta_star/` (the largest rate that trains), `best_rate/` (the rate that ends lowest), `surface/` (rate x schedule x
horizon), `search/` (trials over many settings), `psi/` (the ideal rate over a training), `compare` (policies),
`fixed_lanes` (lanes given beforehand), `together` (several of them side by side); `flat`: whether the rate changes anything.

It offers `EtaStar`, `OptunaSearch`, `Precision`, `Space`, `SuccessBand`, `Surface`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
