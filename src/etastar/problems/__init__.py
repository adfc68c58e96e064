"""Ready-made problems, by name. Nothing is imported before it is asked for.

`digits`, `quadratic`; for studies and families `mlp`, `residual`, `branched`, `resnet18`, `small/` (many); `idx` and `cifar`
(images from files), `optimizers` (by name).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

BUILTINS: dict[str, tuple[str, str, str]] = {
    "digits-mlp": (
        "etastar.problems.digits",
        "digits_mlp",
        "3 x 64 ReLU network on scikit-learn's digits, SGD with momentum",
    ),
    "digits-stream": ("etastar.problems.digits", "digits_stream", "the same on shifted, noisy digits: every batch is fresh"),
    "digits-cnn": ("etastar.problems.digits", "digits_cnn", "two convolutions on digits, SGD with momentum"),
    "digits-deep-mlp": ("etastar.problems.digits", "digits_deep_mlp", "12 x 64 ReLU network on digits, He initialisation"),
    "digits-transformer": (
        "etastar.problems.digits",
        "digits_transformer",
        "tiny pre-LayerNorm transformer on digits, Adam",
    ),
    "quadratic": ("etastar.problems.quadratic", "quadratic", "quadratic with a known answer"),
    "noisy-quadratic": ("etastar.problems.quadratic", "noisy_quadratic", "quadratic with a noisy minimum"),
}
"""name -> (module, function, one line)."""


def builder(name: str) -> Any:
    """The function that builds the ready-made problem `name`."""
    module, function, _ = BUILTINS[name]
    return getattr(import_module(module), function)
