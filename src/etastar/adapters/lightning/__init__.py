"""Lightning: a module's training as a problem, a policy that drives a Trainer, a rate found before it trains, a watch.

`from_module` (the problem), `drive_policy`, `find_rate` and `watch_stability` (callbacks), `base` (what they are made on).

It offers `DrivePolicy`, `FindRate`, `WatchStability`, `problem_from`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
