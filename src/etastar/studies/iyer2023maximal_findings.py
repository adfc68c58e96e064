"""What the rows of `iyer2023maximal` say: laws by region, conclusions, tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.estimate import Estimate, Status
from etastar.laws.scaling.power_law import PowerLaw
from etastar.problems.mlp import SLOW_INPUT
from etastar.reports.parts import SectionText, Table
from etastar.studies.charts import DataPoint, Line, LogLog, loglog_chart
from etastar.studies.claim import Claim
from etastar.studies.fits import (
    SIZES,
    difference,
    exponent,
    law_of,
    mean_residual,
    measured,
    plain_law,
    r_squared,
    rank_correlation,
    rows_with,
    too_few,
)
from etastar.studies.record import Row
from etastar.studies.study import Findings, Setting

SHALLOWEST, WIDE = 4, 16
PRODUCT = {"depth x width": SIZES["depth x width"]}
SEPARATE = {"depth": SIZES["depth"], "width": SIZES["width"]}
UNFITTED = {"depth": -1.5, "width": -0.5}
Pairs = list[tuple[Row, float]]


def is_wide(row: Row) -> bool:
    """Condition (i), as declared."""
    return row["width"] >= WIDE * row["depth"]


def in_region(row: Row) -> bool:
    """The region declared beforehand."""
    return row["depth"] >= SHALLOWEST and is_wide(row)


@dataclass(frozen=True)
class Arm:
    """The rows of one input rate and threshold, and their laws in the region."""

    rows: list[Row]
    asked: list[Row]

    @property
    def region(self) -> list[Row]:
        """Members inside the declared region."""
        return [row for row in self.rows if in_region(row)]

    @property
    def narrow(self) -> list[Row]:
        """Members of at least four hidden layers that fail condition (i)."""
        return [row for row in self.rows if row["depth"] >= SHALLOWEST and not is_wide(row)]

    @property
    def product(self) -> PowerLaw | None:
        """eta* ~ (depth width)^-p in the region."""
        return law_of(self.region, PRODUCT)

    @property
    def separate(self) -> PowerLaw | None:
        """Own exponents of depth and width, in the region."""
        return law_of(self.region, SEPARATE)

    def shared(self, other: Arm) -> Arm:
        """The members that the other arm has, too."""
        theirs = {(row["depth"], row["width"]) for row in other.rows}
        return Arm([row for row in self.rows if (row["depth"], row["width"]) in theirs], self.asked)


def arm(rows: Sequence[Row], multiplier: float, threshold: float) -> Arm:
    """One arm of the study."""
    key = {"what": "eta*", "input": multiplier, "threshold": threshold}
    return Arm(measured(rows, **key), rows_with(rows, **key))


def conclude(rows: Sequence[Row], setting: Setting, claims: Sequence[Claim]) -> Findings:
    """The verdicts in the order of `claims`, and what the page shows."""
    slow, low, full = arm(rows, SLOW_INPUT, 0.5), arm(rows, SLOW_INPUT, 0.3), arm(rows, 1.0, 0.5)
    pairs = with_sharpness(rows, slow)
    sharp = _sharpness_law(pairs)
    p = positive(exponent(slow.product, "depth x width"))
    elsewhere = Estimate.none(Status.NOT_MEASURED, "the earlier measurement was on Fashion-MNIST, this one is not", unit="p")
    estimates = (
        r_squared(slow.product),
        p,
        mean_residual(slow.product, slow.narrow),
        difference(exponent(slow.shared(full).separate, "width"), exponent(full.separate, "width"), "exponent"),
        rank_correlation([x for _, x in pairs], [row["eta_star"] for row, _ in pairs]),
        positive(exponent(sharp, "lambda1")),
        exponent(_linear_law(rows), "depth x width"),
        difference(
            positive(exponent(low.product, "depth x width")),
            positive(exponent(slow.shared(low).product, "depth x width")),
            "exponent",
        ),
        p if setting.data.is_fashion_mnist else elsewhere,
    )
    conclusions = tuple(claim.judge(e) for claim, e in zip(claims, estimates, strict=True))
    return Findings(
        conclusions,
        numbers=_numbers(slow, low, full, pairs),
        tables=(*_law_tables(slow, low, full), _member_table(rows, slow, low, full)),
        sections=SECTIONS,
        charts=_charts(slow, full, pairs) if len(slow.rows) > 1 else {},
    )


def positive(e: Estimate) -> Estimate:
    """An exponent with its sign turned: p of x^-p."""
    if not e.ok:
        return e
    return Estimate(-e.require(), -(e.high or 0.0), -(e.low or 0.0), e.level, e.unit, e.n, e.method)


def with_sharpness(rows: Sequence[Row], arm: Arm) -> Pairs:
    """(row, preconditioned lambda1) of the arm's members."""
    known = {(r["depth"], r["width"]): r["preconditioned"] for r in rows_with(rows, what="lambda1")}
    found = [(row, known.get((row["depth"], row["width"]))) for row in arm.rows]
    return [(row, value) for row, value in found if value]


def _sharpness_law(pairs: Pairs) -> PowerLaw | None:
    return plain_law({"lambda1": [x for _, x in pairs]}, [row["eta_star"] for row, _ in pairs])


def _linear_law(rows: Sequence[Row]) -> PowerLaw | None:
    known = [r for r in rows_with(rows, what="lambda1") if r["preconditioned"] and is_wide(r)]
    sizes = [r["depth"] * r["width"] for r in known]
    return plain_law({"depth x width": sizes}, [r["preconditioned"] for r in known], "lambda1")


def _numbers(slow: Arm, low: Arm, full: Arm, pairs: Pairs) -> tuple[tuple[str, Estimate, str], ...]:
    found = [
        ("p, over seeds", positive(exponent(slow.product, "depth x width", "seeds")),
         "slow input layer, threshold 0.5, region; what other seeds of the same members would have given"),
        ("p at threshold 0.3", positive(exponent(low.product, "depth x width")), "slow input layer, region"),
        ("p with the full input rate", positive(exponent(full.product, "depth x width")), "threshold 0.5, region"),
        ("R^2 with the full input rate", r_squared(full.product), "threshold 0.5, region"),
        ("power of depth", exponent(slow.separate, "depth"), "slow input layer, threshold 0.5, region"),
        ("power of width", exponent(slow.separate, "width"), "slow input layer, threshold 0.5, region"),
        ("power of width, full input rate", exponent(full.separate, "width"), "threshold 0.5, region"),
        ("eta* x lambda1", _middle([row["eta_star"] * x for row, x in pairs if in_region(row)]),
         "median and range in the region; a classical edge would be 2"),
    ]  # fmt: skip
    return tuple(found)


def _middle(values: list[float]) -> Estimate:
    if not values:
        return too_few("")
    values = sorted(values)
    return Estimate(values[len(values) // 2], values[0], values[-1], 1.0, "", len(values), "median and range")


def _law_tables(slow: Arm, low: Arm, full: Arm) -> list[Table]:
    rows = []
    for name, own in (("slow, 0.5", slow), ("slow, 0.3", low), ("full, 0.5", full)):
        sets = (("region", own.region), ("width >= 16 x depth", [r for r in own.rows if is_wide(r)]), ("all", own.rows))
        for where, members in sets:
            laws = (("product", law_of(members, PRODUCT)), ("separate", law_of(members, SEPARATE)),
                    ("unfitted width^-1/2 depth^-3/2", law_of(members, SEPARATE, UNFITTED)))  # fmt: skip
            for kind, law in laws:
                if law is not None:
                    fit = (f"{law.r_squared:.3f}", f"{law.loo:.3f}", _formula(law))
                    rows.append((f"{name}: {where}", kind, str(len(members)), *fit))
    head = ("input rate, threshold: members", "law", "n", "R^2", "left-out error, decades", "fit")
    return [Table("Laws by region", head, tuple(rows))] if rows else []


def _formula(law: PowerLaw) -> str:
    return law.formula.replace("depth x width^", "(depth x width)^")


def _member_table(rows: Sequence[Row], *arms: Arm) -> Table:
    sizes = sorted({(r["depth"], r["width"]) for r in rows})
    known = {(r["depth"], r["width"]): r for r in rows_with(rows, what="lambda1")}
    cells = []
    for depth, width in sizes:
        own = [next((r for r in a.asked if (r["depth"], r["width"]) == (depth, width)), None) for a in arms]
        value = known.get((depth, width), {}).get("preconditioned")
        where = "inside" if in_region({"depth": depth, "width": width}) else ""
        sharp = "-" if value is None else f"{value:.3g}"
        cells.append((f"{depth} x {width}", *map(_cell, own), sharp, where))
    head = ("depth x width", "eta*: slow, 0.5", "slow, 0.3", "full, 0.5", "lambda1, preconditioned", "region")
    return Table("Members", head, tuple(cells))


def _cell(row: Row | None) -> str:
    if row is None:
        return "not measured"
    if row["eta_star"] is None:
        return row["status"]
    return f"{row['eta_star']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


def _charts(slow: Arm, full: Arm, pairs: Pairs) -> dict[str, object]:
    panels = [
        _against_size(slow, "input layer at 0.01 x the rate"),
        *([_against_size(full, "input layer at the full rate")] if len(full.rows) > 1 else []),
    ]
    note = "filled: inside the declared region; hollow: outside; bars: 90 % intervals; grey: the product law of the region"
    found: dict[str, object] = {"law": loglog_chart(panels, "eta* against depth x width, threshold 0.5", note)}
    if len(pairs) > 1:
        marks = [
            DataPoint(x, row["eta_star"], f"{row['depth']} hidden layers", f"{row['depth']} x {row['width']}", row["low"],
                 row["high"], not in_region(row))
            for row, x in pairs
        ]  # fmt: skip
        inverse = [row["eta_star"] * x for row, x in pairs if in_region(row)] or [row["eta_star"] * x for row, x in pairs]
        constant = sorted(inverse)[len(inverse) // 2]
        ends = (min(x for _, x in pairs), max(x for _, x in pairs))
        line = Line(f"{constant:.3g} / lambda1", tuple((x, constant / x) for x in ends), dashed=True)
        panel = LogLog("", "lambda1 at initialisation, preconditioned", "eta*", marks, [line])
        found["sharpness"] = loglog_chart([panel], "eta* against lambda1", "dashed: inverse proportion")
    return found


def _against_size(own: Arm, title: str) -> LogLog:
    marks = [
        DataPoint(r["depth"] * r["width"], r["eta_star"], f"{r['depth']} hidden layers", f"{r['depth']} x {r['width']}",
             r["low"], r["high"], not in_region(r))
        for r in sorted(own.rows, key=lambda r: (r["depth"], r["width"]))
    ]  # fmt: skip
    lines = []
    if (law := own.product) is not None:
        sizes = [m.x for m in marks]
        ends = (min(sizes), max(sizes))
        lines.append(Line(_formula(law), tuple((x, law.value({"depth x width": x})) for x in ends)))
    return LogLog(title, "depth x width", "eta*", marks, lines)


SECTIONS = (
    SectionText(
        "Is it a power of depth x width?",
        "One dot a member of the family. Members inside the declared region should lie on one line, whatever their depth; "
        "where a condition fails they should leave it.",
        {"law": "Point at a dot for its member. Each colour is a depth; within a colour the width grows to the right."},
    ),
    SectionText(
        "Does the sharpness say it?",
        "lambda1 is the top eigenvalue of the Hessian at initialisation, each layer scaled by its rate. Were eta* inversely "
        "proportional to it, all dots would lie on the dashed line.",
        {"sharpness": "The same members, threshold 0.5, slow input layer."},
    ),
)
