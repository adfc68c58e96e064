"""What is fitted to measurements and predicts: every law refuses outside the data it has seen.

`law` (the contract), `scaling/` (eta* or the best rate against sizes), `curves/` (losses under a schedule), `psi/` (the
ideal rate over a training), `surface` (loss over rate, schedule and horizon), with `schedule_fit` and `gaussian_process` as
its parts.

It offers `Law`, `PowerLaw`, `Record`, `ScalingLaw`, `SurfaceLaw`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
