"""Dimensional analysis: a learning rate when inputs, targets or the loss change their unit. Exact, not fitted."""

from __future__ import annotations

from typing import Any

from etastar.errors import ProblemError
from etastar.theory.kaiming import check_number

GRADIENT, SIGN, RELATIVE = "gradient", "sign", "relative"
KINDS: dict[str, str] = {
    **dict.fromkeys(("sgd", "momentum", "nesterov"), GRADIENT),
    **dict.fromkeys(("adam", "adamw", "nadam", "adamax", "rmsprop", "adagrad", "rprop", "muon", "lion"), SIGN),
    "adafactor": RELATIVE,
}
"""What an optimizer's step is proportional to: the gradient, something without a unit, or the parameters themselves.

RAdam is not here: its first steps are momentum's, the later ones Adam's, so no one rate rescales both."""


def rescale_lr(
    lr: float,
    *,
    inputs: float = 1.0,
    targets: float = 1.0,
    loss_scale: float = 1.0,
    weight_layers: int | None = None,
    optimizer: Any = "sgd",
) -> float:
    """The rate that trains the same network when inputs are multiplied by s, targets by t and the loss by a.

    SGD: lr t^-2 (t/s)^(2/L) / a;  Adam and all whose step has no unit: lr (t/s)^(1/L);  Adafactor (relative steps): lr

    Exact, step for step and up to rounding, for a bias-free ReLU network of L weight layers under squared loss, if the
    initial weights of every layer are multiplied by (t/s)^(1/L) (`rescale_init`): then they stay that multiple and the loss
    stays t^2 a times what it was. For s = t the initialisation needs no change: doubling inputs and targets divides SGD's
    rate by exactly 4 and leaves Adam's. With s = t = 1 the law of the loss's scale holds for every network and every loss.

    It takes with it: Adam's eps is a gradient, so multiply it by t^2 a (s/t)^(1/L) or make it tiny; L2 decay of SGD by
    t^2 a (s/t)^(2/L), decoupled decay (AdamW) by (s/t)^(1/L). Not exact: biases, other activations, and cross-entropy, where
    only small logits feel inputs x s as a curvature x s^2.

    Args:
        lr: that trains now.
        inputs, targets: s and t, all inputs and all targets are multiplied by.
        loss_scale: a; also sum instead of mean over N samples (a = N), or torch's MSELoss instead of half the squared
            distance (a = 2 / outputs).
        weight_layers: L; needed where inputs and targets differ.
        optimizer: a name such as "sgd", "momentum", "adam", or a class or instance from torch.optim.

    Raises:
        ProblemError: an unknown optimizer, a number out of range, or a missing number of layers.

    >>> rescale_lr(0.1, inputs=2, targets=2), rescale_lr(0.1, inputs=2, targets=2, optimizer="adam")
    (0.025, 0.1)
    >>> rescale_lr(0.1, inputs=2, targets=0.5, weight_layers=2)  # 0.1 x 4 x (1/4)
    0.1
    >>> rescale_lr(0.1, loss_scale=64)  # sum over a batch of 64 instead of its mean
    0.0015625
    """
    lr = check_number("lr", lr)
    t, a = check_number("targets", targets), check_number("loss_scale", loss_scale)
    kind = _kind(optimizer)
    init = rescale_init(inputs=inputs, targets=targets, weight_layers=weight_layers)
    if kind == GRADIENT:
        return lr * init**2 / (t * t) / a
    return lr * init if kind == SIGN else lr


def rescale_init(*, inputs: float = 1.0, targets: float = 1.0, weight_layers: int | None = None) -> float:
    """What to multiply every layer's initial weights by, for `rescale_lr` to be exact: (t/s)^(1/L); 1 where s = t.

    Raises:
        ProblemError: a number out of range, or a missing number of layers.

    >>> rescale_init(inputs=3, targets=3), rescale_init(inputs=8, targets=1, weight_layers=3)
    (1.0, 0.5)
    """
    s, t = check_number("inputs", inputs), check_number("targets", targets)
    if s == t:
        return 1.0
    if isinstance(weight_layers, bool) or not isinstance(weight_layers, int) or weight_layers < 1:
        raise ProblemError(
            f"weight_layers is {weight_layers!r}; expected the number of weight layers, since inputs x {s:g} and targets x "
            f"{t:g} differ and each layer's initial weights have to be multiplied by ({t:g}/{s:g})^(1/weight_layers)"
        )
    return (t / s) ** (1 / weight_layers)


def _kind(optimizer: Any) -> str:
    name = optimizer if isinstance(optimizer, str) else _class_name(optimizer)
    kind = KINDS.get(name.lower())
    if kind is None:
        raise ProblemError(f"optimizer is {name!r}; expected one of {', '.join(KINDS)}: the units of others are not known")
    return kind


def _class_name(optimizer: Any) -> str:
    return optimizer.__name__ if isinstance(optimizer, type) else type(optimizer).__name__
