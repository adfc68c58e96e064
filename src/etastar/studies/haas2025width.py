"""How the largest rate falls with width, for cross-entropy and for squared error.

Haas, Bordt, von Luxburg and Vankadara (NeurIPS 2025, arXiv 2505.22491): in standard parametrisation under SGD cross-entropy
tolerates rates ~ width^-1/2 (logits diverge, activations do not), squared error only width^-1. These claims are the paper's;
network, data, definition of the largest rate and every number are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F

from etastar.designs.eta_star.eta_star import Precision
from etastar.problems.mlp import mlp_problem
from etastar.reports.parts import SectionText, Table
from etastar.studies.bench import Bench
from etastar.studies.charts import DataPoint, LogLog, loglog_chart
from etastar.studies.claim import Claim, Inside, Near
from etastar.studies.fits import SIZES, difference, exponent, law_of, measured, rows_with
from etastar.studies.record import Row
from etastar.studies.study import Findings, Measurement, Setting, Study

DEPTH, STEPS, BATCH = 2, 100, 64
WIDTHS = {"quick": (32, 64, 128, 256), "full": (64, 128, 256, 512, 1024)}
LOSSES: dict[str, Any] = {"cross-entropy": F.cross_entropy, "squared error": F.mse_loss}
PRECISION = Precision(half_width=0.15, max_runs=24, min_runs=12, batch=12, scan_seeds=1)
REGION = (
    f"{DEPTH} hidden layers, widths {WIDTHS['full'][0]} to {WIDTHS['full'][-1]}, He weights, SGD, one rate for all layers"
)

CLAIMS = (
    Claim("cross-entropy: width^-1/2", "Under cross-entropy the largest rate falls as width^-1/2.", "the paper", REGION,
          "power of width in eta*", Near(-0.5, -0.5, widest=0.4)),
    Claim("squared error: width^-1", "Under squared error the largest rate falls as 1 / width.", "the paper", REGION,
          "power of width in eta*", Near(-1.0, -1.0, widest=0.4)),
    Claim("squared error is steeper", "Squared error needs a steeper fall than cross-entropy.", "the paper", REGION,
          "power of width under cross-entropy, minus that under squared error; at least 0.2 is asked for (ours)",
          Inside(low=0.2)),
)  # fmt: skip


def plan(setting: Setting) -> list[Measurement]:
    """eta* of every width and loss."""
    return [
        Measurement({"loss": loss, "depth": DEPTH, "width": width, "steps": STEPS}, partial(_row, setting, loss, width))
        for loss in LOSSES
        for width in WIDTHS[setting.effort]
    ]


def _row(setting: Setting, loss: str, width: int, bench: Bench) -> Row:
    x, y = setting.data.train
    targets = y if loss == "cross-entropy" else F.one_hot(y).to(x.dtype)
    problem = mlp_problem(
        (x, targets),
        depth=DEPTH,
        width=width,
        input_multiplier=1.0,
        loss=LOSSES[loss],
        batch_size=BATCH,
        steps=STEPS,
        accuracy_threshold=None,
    )
    seeds = [setting.seed_of("haas2025width", loss, width, i) for i in range(3 if setting.full else 1)]
    row = bench.eta_star(problem, seeds=seeds, precision=PRECISION)
    said = (
        row["status"] if row["eta_star"] is None else f"eta* {row['eta_star']:.3g} ({row['low']:.3g} .. {row['high']:.3g})"
    )
    return {**row, "said": said}


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Exponents of width by loss, and their difference."""
    power = {loss: exponent(law_of(measured(rows, loss=loss), {"width": SIZES["width"]}), "width") for loss in LOSSES}
    ce, mse = power["cross-entropy"], power["squared error"]
    estimates = (ce, mse, difference(ce, mse, "exponent of width"))
    conclusions = tuple(claim.judge(e) for claim, e in zip(CLAIMS, estimates, strict=True))
    wide = {loss: [r for r in measured(rows, loss=loss) if r["width"] >= 2 * 64] for loss in LOSSES}
    numbers = tuple(
        (
            f"{loss}, widths from 128",
            exponent(law_of(wide[loss], {"width": SIZES["width"]}), "width"),
            "power of width in eta*",
        )
        for loss in LOSSES
    )
    return Findings(conclusions, numbers, (_table(rows),), SECTIONS, _charts(rows))


def _table(rows: Sequence[Row]) -> Table:
    cells = []
    for width in sorted({r["width"] for r in rows}):
        own = {r["loss"]: r for r in rows_with(rows, width=width)}
        cells.append((str(width), *(_eta(own.get(loss)) for loss in LOSSES)))
    return Table("Members", ("width", *(f"eta*, {loss}" for loss in LOSSES)), tuple(cells))


def _eta(row: Row | None) -> str:
    if row is None:
        return "not measured"
    if row["eta_star"] is None:
        return row["status"]
    return f"{row['eta_star']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


def _charts(rows: Sequence[Row]) -> dict[str, object]:
    marks = [
        DataPoint(r["width"], r["eta_star"], r["loss"], f"{r['loss']}, width {r['width']}", r["low"], r["high"])
        for r in measured(rows)
    ]
    if len(marks) < 2:
        return {}
    panel = LogLog("", "width", "eta*", marks)
    return {"width": loglog_chart([panel], f"eta* against width, {DEPTH} hidden layers", "bars: 90 % intervals")}


SECTIONS = (
    SectionText(
        "How does the largest rate fall with width?",
        "A lane has started to train when its loss is at most 0.8 of that of the best constant guess, for either loss.",
        {"width": "Squared error is torch's mean over samples and outputs; a factor moves the line, not its slope."},
    ),
)

STUDY = Study(
    name="haas2025width",
    title="The largest rate against width",
    question="Does cross-entropy tolerate rates that fall as width^-1/2 where squared error needs 1 / width?",
    source="The claims are of Haas, Bordt, von Luxburg and Vankadara (NeurIPS 2025, arXiv 2505.22491). Network, data, "
    "definition of the largest rate and every number are ours.",
    claims=CLAIMS,
    declared={
        "network": f"{DEPTH} hidden layers, bias-free ReLU, weights N(0, 2 / fan_in), SGD, one rate for all layers",
        "protocol": f"batches of {BATCH}, {STEPS} steps; started = mean loss <= 0.8 x uninformed over 10 batches",
    },
    plan=plan,
    conclude=conclude,
    minutes={"quick": 0.3, "full": 1.5},
)
