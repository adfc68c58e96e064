"""The claims, declared before a number was measured, and the pilot's numbers."""

from __future__ import annotations

from etastar.studies.claim import Claim, Inside

OURS = "derived for this project from the two effects the article proposes"
REGION = "one network, noise in a fifth of the labels, far from fitting; seeds generalise to seeds, not to networks"
SHARE = "share of the gain of decaying everything"


def _claim(name: str, statement: str, quantity: str, rule: Inside) -> Claim:
    return Claim(name, statement, OURS, REGION, quantity, rule)


AVERAGING = _claim(
    "an effect besides averaging",
    "Decay gains more than an average of const's weights does, which leaves the training as unstable as it was.",
    f"1 - gain of the average (.99) of const's weights, on the same batches, as a {SHARE}",
    Inside(low=0.1),
)
SAME_NOISE = _claim(
    "same noise, less change helps",
    "The early half learns more where the late half stands at noisy weights than where it changes among equally noisy ones.",
    "objective with the late half frozen (mean over four weights) minus that with it changed every 1 to 30 steps among them",
    Inside(high=0.0),
)
SHARPER = _claim(
    "decay settles where it is sharper",
    "Decayed weights lie where the loss curves more than const's do.",
    "log of lambda1 at decayed weights / at const's, BatchNorm's statistics fixed",
    Inside(low=0.0),
)
ONE_VALLEY = _claim(
    "decayed and averaged weights lie in one valley",
    "No barrier lies on the straight line between them.",
    "barrier on that line as a share of the fall of the fixed loss from const's to decayed weights",
    Inside(high=0.1),
)
ACTIVATIONS = _claim(
    "activations get more stable",
    "The lower the rate, the less do activations change in a step.",
    "slope of log A on log rate, mean over blocks",
    Inside(low=0.5),
)
SIGNALS = _claim(
    "loss signals get more stable",
    "The lower the rate, the less do back-propagated signals change in a step; as its root where a ReLU follows.",
    "slope of log B on log rate, mean over blocks",
    Inside(low=0.4),
)
GAIN = _claim(
    "decay lowers the objective",
    "Decaying everything lowers the objective.",
    "objective of const minus that of all decayed",
    Inside(low=0.0),
)
HELPS = {
    half: _claim(
        f"stability helps the {half} half",
        f"The {half} half gains where the {other} half stands still at its noisy weights.",
        f"gain with the {other} half frozen noisy, as a {SHARE}",
        Inside(low=0.1),
    )
    for half, other in (("late", "early"), ("early", "late"))
}
NOW = {
    half: _claim(
        f"the {half} half needs the low rate now",
        f"What a settled {half} half has gained is gone where it trains at the high rate again.",
        f"gain with the {half} half settled, then at the high rate again, as a {SHARE}",
        Inside(high=0.1),
    )
    for half in ("late", "early")
}
RETURNS = _claim(
    "stability goes with the rate",
    "Ten steps after everything is at the high rate again, activations change as much as const's.",
    "A of the restarted arm / A of const, mean over blocks",
    Inside(0.5, 2.0),
)
BLOCKWISE = _claim(
    "one half after the other beats all at once",
    "Decaying the early half first and the late half then is better than decaying both over the same steps.",
    f"objective of that minus that of linear decay of everything, last third of the window, as a {SHARE}",
    Inside(high=-0.02),
)
PRIMARY = (AVERAGING, SAME_NOISE, SHARPER, ONE_VALLEY)
CLAIMS = (*PRIMARY, ACTIVATIONS, SIGNALS, GAIN, *HELPS.values(), *NOW.values(), RETURNS, BLOCKWISE)

PILOT: dict[str, tuple[float, float, int]] = {
    "gain of all": (0.1005, 0.0018, 8),
    "share, late decayed": (0.63, 0.021, 6),
    "share, early decayed": (0.47, 0.027, 6),
    "share, late frozen noisy": (0.24, 0.030, 6),
    "share, early frozen noisy": (0.32, 0.037, 6),
    "share, late settled, high again": (-0.19, 0.035, 6),
    "share, early settled, high again": (-0.10, 0.015, 6),
    AVERAGING.name: (-0.11, 0.053, 4),
    SAME_NOISE.name: (-0.025, 0.004, 4),
    ACTIVATIONS.name: (0.86, 0.028, 4),
    SIGNALS.name: (0.53, 0.017, 4),
}
"""number -> (value, standard error, seeds) of an earlier measurement of ours: ResNet-18 of width 16 on pictures of 16 x 16,
other code, other seeds, one subset of 1,000 pictures; errors from its intervals."""
SHARES = {name: known for name, known in PILOT.items() if name.startswith("share") or name == AVERAGING.name}
"""Those of them that are shares of a gain: they may be held against another network's."""
FULL_SIZE: dict[str, tuple[float, float, int]] = {
    "share, late decayed": (0.93, 0.41, 3),
    "share, early decayed": (0.20, 0.078, 3),
    "share, late frozen noisy": (0.18, 0.50, 3),
    "share, early frozen noisy": (0.15, 0.087, 3),
    "share, late settled, high again": (-0.43, 0.14, 3),
    "share, early settled, high again": (-0.13, 0.063, 3),
    AVERAGING.name: (0.92, 0.50, 3),
}
"""The same of the pilot of `faithful`: the full network, a trunk of 200 steps and arms of 80. Errors of numerator and
denominator are taken as independent; the gain of all was .040 +- .012. The average's horizon was longer than an arm."""
