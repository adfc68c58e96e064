"""eta* under sums, weights, smoothing, ignored labels and other losses, against an ordinary loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.losses import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.losses import overlaps

    twins = {r["optimizer"]: r for r in rows if r["loss"] == "mean cross-entropy"}
    lines = []
    for r in rows:
        twin = twins[r["optimizer"]]["decades"]
        lines.append(
            [
                r["loss"],
                r["optimizer"],
                f"{r['uninformed']:.4g} ({r['by_hand']:.4g})",
                f"{r['eta_star']:.3g} [{r['low']:.3g}, {r['high']:.3g}]" if r["eta_star"] else "-",
                f"{r['loop_low']:.3g} .. {r['loop_high']:.3g}" if r["eta_star"] else "-",
                "yes" if r["eta_star"] and overlaps(r) else "no",
                f"{r['decades'] / twin:.2f}" if r["eta_star"] and twin else "-",
                ", ".join(r["flags"]) or "-",
            ]
        )
    header = [
        "loss",
        "optimizer",
        "uninformed loss (by gradient descent)",
        "eta*",
        "edge of an ordinary loop",
        "overlap",
        "width / the mean's",
        "flags",
    ]
    return table(header, lines)


CASE = Case(
    "eta* under sums, weights, smoothing, ignored labels and other losses, against an ordinary loop",
    _rows,
    _summary,
    {"seed": 0, "loop_seeds": 8, "max_runs": 96},
)
