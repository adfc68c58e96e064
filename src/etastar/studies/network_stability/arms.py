"""The arms: what happens to the rates of the halves after the trunk, as policies, so that equal beginnings are shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etastar.policies.compose import PerGroup, Then, Times
from etastar.policies.policy import Constant, Policy
from etastar.policies.schedule import Schedule
from etastar.studies.network_stability.sizes import Sizes
from etastar.studies.network_stability.states import Led

DECAY = 0.1
"""Factor of a decayed rate."""
FACTORS = (1.0, 0.3, 0.1, 0.03)
"""Of the rates at which A and B are read; x.01 would be near what fp32 resolves in a deep block."""
HELD = 4
"""Weights of the trunk at which the late half is held, one after the other, each of them the same number of times."""
APART = 30
"""Steps between them: cosines of weights' noise are below .6 after ten."""
DWELLS = (1, 10, 30)
"""Steps for which the late half stands before it changes to the next of them."""
GROUPS = ("primary", "rates", "halves", "same noise", "controls", "blocks")
"""Groups of arms, in the order in which they are measured: what decides first."""
CONST, ALL = "const", "all decayed"
HALVES = {"late": "early", "early": "late"}
"""half -> the other one."""
CONTROLS: dict[str, dict[str, Any]] = {
    "no weight decay": {"weight_decay": 0.0},
    "clean labels": {"noise": 0.0},
    "momentum reset": {"forgotten": True},
}
"""What a reviewer asks for -> how const and all decayed are led then, from the trunk's end on."""
HIGH, LOW, STILL = Constant(), Times(Constant(), DECAY), Times(Constant(), 0.0)


@dataclass(frozen=True)
class StabilityArm:
    """One arm.

    Args:
        name: in the record.
        path: how it is led.
        looks: steps at which A and B are read over the next step.
        far: and over the next ten.
        averaged: the averages of its weights are read, too.
    """

    name: str
    path: Led
    looks: tuple[int, ...] = ()
    far: bool = False
    averaged: bool = False


def arms_of(sizes: Sizes, group: str) -> list[StabilityArm]:
    """The arms of a group."""
    return {
        "primary": _primary, "halves": _halves, "rates": _rates, "same noise": _same_noise, "controls": _controls,
        "blocks": _blocks,
    }[group](sizes)  # fmt: skip


def link(policy: Policy, step: int) -> tuple[str, int]:
    """What a state of a policy is kept by."""
    return repr(policy), step


def shared_by(sizes: Sizes) -> frozenset[tuple[str, int]]:
    """States that several measurements go on from: where arms part, and what the ends of two of them are compared by."""
    arms = [arm for group in sizes.groups for arm in arms_of(sizes, group)]
    parting = {own for arm in arms for own in arm.path.links[:-1]}
    ends = {link(policy, sizes.burn + sizes.arm) for policy in (HIGH, decayed(sizes))}
    held = {link(HIGH, at) for at in held_at(sizes)} if "same noise" in sizes.groups else set()
    return frozenset(parting | ends | held)


def decayed(sizes: Sizes) -> Policy:
    """Everything at the low rate after the trunk."""
    return Then(HIGH, sizes.burn, LOW)


def held_at(sizes: Sizes) -> tuple[int, ...]:
    """Steps of the trunk whose weights the late half is held at."""
    return tuple(sizes.burn - APART * back for back in range(HELD))


def _led(sizes: Sizes, after: Policy, **more: Any) -> Led:
    return Led(Then(HIGH, sizes.burn, after), sizes.burn + sizes.arm, sizes.burn, **more)


def _primary(sizes: Sizes) -> list[StabilityArm]:
    end = sizes.burn + sizes.arm
    longer = "rates" in sizes.groups  # the restart is compared with it
    const = Led(HIGH, end + (sizes.half if longer else 0), sizes.burn)
    looks = (end - 2, end + 10) if longer else ()
    return [
        StabilityArm(CONST, const, looks=looks, averaged=True),
        StabilityArm(ALL, _led(sizes, LOW), looks=(end - 2,) if longer else ()),
    ]


def _halves(sizes: Sizes) -> list[StabilityArm]:
    """E1 and E2: one half decayed; frozen as noisy as it is; settled, then frozen; settled, then at the high rate again."""
    only = {half: lambda policy, half=half: PerGroup({half: policy}) for half in HALVES}
    end = sizes.burn + sizes.arm

    def settled(half: str, rest: Policy) -> Led:
        low = Then(HIGH, sizes.burn, only[half](LOW))
        return Led(Then(low, sizes.burn + sizes.half, only[half](rest)), end, sizes.burn)

    return [
        *(StabilityArm(f"{half} frozen noisy", _led(sizes, only[half](STILL))) for half in HALVES),
        *(StabilityArm(f"{half} decayed", _led(sizes, only[half](LOW))) for half in HALVES),
        *(StabilityArm(f"{half} settled, high again", settled(half, HIGH)) for half in HALVES),
        *(StabilityArm(f"{half} settled, frozen", settled(half, STILL)) for half in HALVES),
    ]


def _rates(sizes: Sizes) -> list[StabilityArm]:
    """E3, A and B at several rates; E4, everything decayed, then at the high rate again."""
    at = sizes.burn + sizes.settle
    scan = [
        StabilityArm(
            f"rate x{factor:g}",
            Led(Then(HIGH, sizes.burn, Times(HIGH, factor)), at + 11, sizes.burn),
            looks=(at,),
            far=True,
        )
        for factor in FACTORS
    ]
    end = sizes.burn + sizes.arm
    restart = Led(Then(decayed(sizes), end, HIGH), end + sizes.half, sizes.burn)
    return [*scan, StabilityArm("restart", restart, looks=(end, end + 10))]


def _same_noise(sizes: Sizes) -> list[StabilityArm]:
    """E6: the late half held at weights of the trunk, which change every few steps, or never; each of them once."""
    at = held_at(sizes)
    still = PerGroup({"late": STILL})
    changing = [
        StabilityArm(f"late held, changed every {dwell}", _led(sizes, still, dwell=dwell, held_at=at)) for dwell in DWELLS
    ]
    frozen = [StabilityArm(f"late held at {step}", _led(sizes, still, dwell=sizes.arm, held_at=(step,))) for step in at]
    return [*changing, *frozen]


def _controls(sizes: Sizes) -> list[StabilityArm]:
    """E7, the two halves one after the other; and what a reviewer asks for."""
    down = Schedule(decay=1.0, curve="linear")
    first, second = Then(down.over(sizes.half), sizes.half, STILL), Then(HIGH, sizes.half, down.over(sizes.half))
    more = Then(Times(HIGH, 2 - DECAY), sizes.half, LOW)
    return [
        StabilityArm("linear decay", _led(sizes, down.over(sizes.arm))),
        *(
            StabilityArm(f"linear decay, {half} first", _led(sizes, PerGroup({half: first, other: second})))
            for half, other in HALVES.items()
        ),
        StabilityArm("same sum of rates", _led(sizes, more)),
        *(
            StabilityArm(f"{name}, {control}", _led(sizes, after, **changed))
            for control, changed in CONTROLS.items()
            for name, after in ((CONST, Times(HIGH, 1.0)), (ALL, LOW))
        ),
    ]


def _blocks(sizes: Sizes) -> list[StabilityArm]:
    """E1, block by block: one decayed, all others at the high rate."""
    return [StabilityArm(block_decayed(block), _led(sizes, PerGroup({block: LOW}))) for block in sizes.blocks]


def block_decayed(block: str) -> str:
    """The name of its arm.

    >>> block_decayed("late.fc")
    'fc decayed'
    """
    return f"{block.partition('.')[2]} decayed"
