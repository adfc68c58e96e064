"""How large the study is, by problem and effort."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.studies.network_stability.networks import BLOCKS


@dataclass(frozen=True)
class Sizes:
    """Sizes of the study, in optimizer steps where nothing else is said.

    Args:
        burn: of the trunk, at the high rate.
        arm: of an arm after it.
        window: the last ones of an arm, over which its objective is the mean.
        seeds: how many.
        width, side: of the ResNet: channels and pixels.
        groups: of arms, as `arms.GROUPS` names them.
        blocks: those that are decayed alone.
        bf16: training under autocast.
        products: Hessian-vector products of lambda1 at most.
    """

    burn: int
    arm: int
    window: int
    seeds: int
    width: int = 16
    side: int = 16
    groups: tuple[str, ...] = ("primary", "rates", "halves", "same noise", "controls", "blocks")
    blocks: tuple[str, ...] = ()
    bf16: bool = False
    products: int = 24

    def in_words(self, effort: str) -> str:
        """All of them."""
        net = f", width {self.width}, {self.side} x {self.side} pixels{', bf16' if self.bf16 else ''}"
        return (
            f"{effort}: {self.seeds} seeds, trunk {self.burn}, arms {self.arm}, window {self.window}, "
            f"{', '.join(self.groups)}{net}"
        )

    @property
    def half(self) -> int:
        """Steps of an arm after which what has settled is frozen, or gets the high rate again."""
        return self.arm // 2

    @property
    def settle(self) -> int:
        """Steps after a change of the rate before the network is looked at."""
        return min(60, self.half // 2)


SIZES: dict[str, dict[str, Sizes]] = {
    "resnet18": {
        "quick": Sizes(200, 80, 30, 2, width=8, side=8, groups=("primary", "halves", "rates"), products=8),
        "full": Sizes(1000, 320, 120, 4, blocks=tuple(BLOCKS["resnet18"])),
        "faithful": Sizes(400, 200, 80, 4, width=64, side=32, groups=("primary", "halves"), bf16=True, products=12),
    },
    "letters": {
        "quick": Sizes(200, 80, 30, 2, groups=("primary", "halves", "rates"), products=8),
        "full": Sizes(600, 200, 80, 4, blocks=tuple(BLOCKS["letters"])),
    },
    "digits-mlp": {
        "quick": Sizes(200, 80, 30, 2, groups=("primary", "halves", "rates"), products=8),
        "full": Sizes(3000, 1000, 200, 4, blocks=tuple(BLOCKS["digits-mlp"])),
    },
}
"""problem -> effort -> sizes. ResNet-18's `full` is the reduced network of the pilot (700,000 weights, a step of 20 ms on a
core), `faithful` the network of the paper at a step of .37 s; `quick` is so short that its shares have errors of .2."""
