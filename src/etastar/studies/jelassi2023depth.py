"""How far one gradient step moves the activations of a deep ReLU network.

Jelassi, Hanin, Ji, Reddi, Bhojanapalli and Kumar, "Depth Dependence of muP Learning Rates in ReLU MLPs" (arXiv 2305.07810):
with hidden weights of variance 2 / n and a readout of variance 1 / n^2, E (dz^L)^2 ~ eta^2 L^3 whatever the width n, so the
rate at which it stays bounded falls as L^-3/2. Claims and setting are the paper's; members and every number are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch

from etastar.core.estimate import Estimate
from etastar.core.randomness import generator
from etastar.reports.parts import SectionText, Table
from etastar.studies.bench import Bench
from etastar.studies.charts import DataPoint, Line, LogLog, loglog_chart
from etastar.studies.claim import Claim, Inside
from etastar.studies.fits import exponent_of_means, ratio_of_spreads, rows_with, too_few
from etastar.studies.record import Row
from etastar.studies.study import Findings, Measurement, Setting, Study

ETA = 1e-3
WIDTH = 128
WIDE = 256
DEPTHS = (2, 3, 4, 6, 8, 12, 16)
WIDTHS, WIDTHS_DEPTH = (64, 128, 256, 512), 4
RATES = (1e-4, 1e-3, 1e-2)
TOO_DEEP, SHALLOW = 32, 8
SEEDS = {"quick": 32, "full": 200}
CHUNK = 16

CLAIMS = (
    Claim(
        "L^3",
        "After one step the mean squared change of the last hidden pre-activations grows as the cube of the depth.",
        "the paper",
        f"width {WIDE}, {DEPTHS[0]} to {DEPTHS[-1]} hidden layers (depth / width <= 1/16)",
        "exponent of depth; the cube is the limit of great depth and the next terms lower it, hence the range",
        Inside(2.6, 3.2),
    ),
    Claim(
        "whatever the width",
        "That change does not depend on the width.",
        "the paper",
        f"{WIDTHS_DEPTH} hidden layers, widths {', '.join(map(str, WIDTHS))}",
        "exponent of width",
        Inside(-0.2, 0.2),
    ),
    Claim(
        "eta^2",
        "It grows as the square of the rate.",
        "the paper",
        f"{WIDTHS_DEPTH} hidden layers of {WIDTH}, rates {RATES[0]:g} to {RATES[-1]:g}",
        "exponent of the rate",
        Inside(1.95, 2.05),
    ),
    Claim(
        "only where depth / width is small",
        "At depth / width = 1/4 single networks scatter so much that the mean says little of any of them.",
        "derived for this project",
        f"{TOO_DEEP} against {SHALLOW} hidden layers of {WIDTH}",
        "log10 of the ratio of (deviation / mean) over networks",
        Inside(low=0.0),
    ),
)


def activation_change(depth: int, width: int, seeds: int, eta: float = ETA, seed: int = 0) -> torch.Tensor:
    """(dz^L)^2, averaged over the units of the last hidden layer, of `seeds` networks after one step at rate `eta`.

    One sample x of `width` inputs with |x|^2 = width, target +-1, loss (f - y)^2 / 2, gradient descent on all weights.

    Args:
        depth: hidden layers L.
        width: units n in each.
        seeds: networks.
        eta: the rate.
        seed: of all draws.

    Returns:
        [seeds].
    """
    found = []
    for start in range(0, seeds, CHUNK):
        k = min(CHUNK, seeds - start)
        random = generator("jelassi2023depth", depth, width, seed, start)
        draw = lambda *shape, var, random=random: torch.randn(*shape, generator=random, dtype=torch.float64).mul_(var**0.5)
        x = draw(k, width, var=1.0)
        x = x * (width**0.5 / x.norm(dim=1, keepdim=True))
        sizes = [width] * (depth + 1)
        weights = [draw(k, b, a, var=2.0 / a) for a, b in pairwise(sizes)]
        readout = draw(k, width, var=1.0 / width**2)
        y = torch.randint(0, 2, (k,), generator=random).double() * 2 - 1
        found.append(_change_of_one_step(weights, readout, x, y, eta))
    return torch.cat(found)


def _change_of_one_step(
    weights: list[torch.Tensor], readout: torch.Tensor, x: torch.Tensor, y: torch.Tensor, eta: float
) -> torch.Tensor:
    """(dz^L)^2. A step moves W_l by -eta delta_l a_l^T, which is applied as it stands: two vectors, and no second matrix."""
    ins, a, z = [], x, x
    for w in weights:
        ins.append(a)
        z = torch.bmm(w, a[:, :, None]).squeeze(2)
        a = z.relu()
    deltas = [((readout * a).sum(1) - y)[:, None] * readout * (z > 0)]  # of the last layer first: d loss / d z^l
    for w, own in zip(weights[:0:-1], ins[:0:-1], strict=True):
        deltas.append(torch.bmm(w.transpose(1, 2), deltas[-1][:, :, None]).squeeze(2) * (own > 0))
    a, moved = x, x
    for w, delta, own in zip(weights, reversed(deltas), ins, strict=True):
        moved = torch.bmm(w, a[:, :, None]).squeeze(2) - eta * delta * (own * a).sum(1, keepdim=True)
        a = moved.relu()
    return ((moved - z) ** 2).mean(1)


def plan(setting: Setting) -> list[Measurement]:
    """Depths at one width, widths at one depth, rates at one member, and one member that is too deep."""
    members = [("depth", depth, WIDE, ETA) for depth in DEPTHS]
    members += [("narrow", depth, WIDTH, ETA) for depth in DEPTHS]
    members += [("width", WIDTHS_DEPTH, width, ETA) for width in WIDTHS]
    members += [("rate", WIDTHS_DEPTH, WIDTH, eta) for eta in RATES]
    members += [("tails", depth, WIDTH, ETA) for depth in (SHALLOW, TOO_DEEP)]
    seeds = SEEDS[setting.effort]
    return [
        Measurement(
            {"series": series, "depth": depth, "width": width, "eta": eta, "networks": seeds},
            partial(_row, depth, width, eta, seeds, setting.seed_of(series) % 2**31),
        )
        for series, depth, width, eta in members
    ]


def _row(depth: int, width: int, eta: float, seeds: int, seed: int, bench: Bench) -> Row:
    changes = activation_change(depth, width, seeds, eta, seed).tolist()
    mean = sum(changes) / len(changes)
    return {"changes": [float(f"{c:.6g}") for c in changes], "mean": mean, "said": f"E dz^2 = {mean:.3g}"}


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Exponents of depth, width and rate, and the spread where the network is too deep."""
    depths, widths, rates = (rows_with(rows, series=name) for name in ("depth", "width", "rate"))
    tails = {row["depth"]: row["changes"] for row in rows_with(rows, series="tails")}
    spread = too_few("decades")
    if len(tails) == 2:
        spread = ratio_of_spreads(tails[TOO_DEEP], tails[SHALLOW], "decades")
    slope = _exponent(depths, "depth")
    estimates = (slope, _exponent(widths, "width"), _exponent(rates, "eta"), spread)
    conclusions = tuple(claim.judge(e) for claim, e in zip(CLAIMS, estimates, strict=True))
    numbers: tuple[tuple[str, Estimate, str], ...] = ()
    if slope.ok:
        half = Estimate(
            -slope.require() / 2, -(slope.high or 0.0) / 2, -(slope.low or 0.0) / 2, slope.level, "exponent", slope.n
        )
        numbers = (("power of depth in the rate", half, "of the rate that keeps the change constant; -3/2 in the paper"),)
    narrow = _exponent(rows_with(rows, series="narrow"), "depth")
    numbers = (
        *numbers,
        (f"exponent of depth at width {WIDTH}", narrow, "depth / width up to 1/8: single networks weigh on it"),
    )
    table = Table(
        "Members",
        ("hidden layers x width", "rate", "networks", "E (dz^L)^2 / eta^2"),
        tuple(
            (f"{r['depth']} x {r['width']}", f"{r['eta']:g}", str(r["networks"]), f"{r['mean'] / r['eta'] ** 2:.4g}")
            for r in rows
        ),
    )
    return Findings(conclusions, numbers, (table,), SECTIONS, _charts(depths, widths))


def _exponent(rows: Sequence[Row], name: str) -> Estimate:
    return exponent_of_means([r[name] for r in rows], [r["changes"] for r in rows], f"exponent of {name}")


def _charts(depths: Sequence[Row], widths: Sequence[Row]) -> dict[str, object]:
    panels = []
    for rows, name in ((depths, "depth"), (widths, "width")):
        if len(rows) < 2:
            continue
        marks = [
            DataPoint(r[name], r["mean"] / r["eta"] ** 2, "mean over networks", f"{r['depth']} x {r['width']}") for r in rows
        ]
        power = 3 if name == "depth" else 0
        ends = (marks[0].x, marks[-1].x)
        middle = marks[len(marks) // 2]
        line = Line(f"{name}^{power}", tuple((x, middle.y * (x / middle.x) ** power) for x in ends), dashed=True)
        panels.append(LogLog("", {"depth": "hidden layers", "width": "width"}[name], "E dz^2 / eta^2", marks, [line]))
    title = "Change of the last hidden pre-activations in one step"
    return {"change": loglog_chart(panels, title, "dashed: depth^3 and no dependence on the width")} if panels else {}


SECTIONS = (
    SectionText(
        "How far does one step move the activations?",
        "One gradient step on one sample; the mean over networks of the squared change, divided by the squared rate.",
        {"change": f"Left: {WIDE} units a layer. Right: {WIDTHS_DEPTH} hidden layers."},
    ),
)

STUDY = Study(
    name="jelassi2023depth",
    title="The change of activations in one step, against depth",
    question="Does one gradient step move a deep ReLU network's activations by eta^2 L^3, whatever its width?",
    source="The law and its setting (mean-field readout, one sample) are of Jelassi et al. (arXiv 2305.07810). Members, "
    "ranges and every number are ours.",
    claims=CLAIMS,
    declared={
        "network": "hidden weights N(0, 2 / fan_in), readout N(0, 1 / n^2), as many inputs as units, one sample, "
        "squared loss, float64"
    },
    plan=plan,
    conclude=conclude,
    uses_data=False,
    minutes={"quick": 0.2, "full": 1},
)
