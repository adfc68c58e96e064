"""How sharp a ReLU network has become when it has learnt targets of a given size, whatever it was initialised to."""

from __future__ import annotations

from etastar.errors import ProblemError
from etastar.theory.kaiming import check_number


def learnt_sharpness(weight_layers: int, targets: float, second_moment: float = 1.0) -> float:
    """lambda1, under half the squared error, of the flattest chain of L layers whose outputs have the root mean square s.

        lambda1 = L s^(2 - 2/L) q^(1/L)

    One unit a layer of weight a = (s / sqrt(q))^(1/L) makes outputs a^L x of root mean square s; each of the L derivatives
    a^(L-1) x adds a^(2L-2) q. Other factors of the same product are sharper. A network that starts flatter sharpens up to
    there, so eta* under gradient descent falls as s^-(2 - 2/L), the law of `rescale_lr`, whatever its width.

    Args:
        weight_layers: L.
        targets: s > 0, root mean square of the targets.
        second_moment: q > 0, mean square of the inputs' entries.

    Raises:
        ProblemError: a number out of range.

    >>> learnt_sharpness(2, 10.0), learnt_sharpness(1, 10.0, 3.0)  # a linear model does not feel its targets
    (20.0, 3.0)
    """
    if not isinstance(weight_layers, int) or weight_layers < 1:
        raise ProblemError(f"the number of weight layers is {weight_layers!r}; expected an integer >= 1")
    check_number("targets", targets)
    check_number("second_moment", second_moment)
    return weight_layers * targets ** (2 - 2 / weight_layers) * second_moment ** (1 / weight_layers)
