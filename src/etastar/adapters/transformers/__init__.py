"""The Trainer of Transformers: its training as a problem, a policy that drives it, a rate given to it, a watch.

`from_trainer` (the problem), `driving` (policy and rate), `stability_callback`.

It offers `StabilityCallback`, `apply`, `drive`, `problem_from`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
