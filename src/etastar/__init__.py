"""etastar: learning rates you can measure, predict, schedule and trust, for PyTorch.

The public names are in `__init__.pyi`, and so is where each is; nothing is imported before it is asked for. What is not
among them is offered by its folder, e.g. `etastar.theory.mup_groups`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
