"""A search of 64 trials: etastar against Optuna alone, one trial at a time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.search import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for key in dict.fromkeys((r["sampler"], r["space"], r["prior"]) for r in rows):
        some = [r for r in rows if (r["sampler"], r["space"], r["prior"]) == key]
        of = lambda name: [r[name] for r in some]  # noqa: B023
        lines.append(
            [
                *key,
                len(some),
                f"{statistics.median(of('ours_s')):.1f}",
                f"{statistics.median(of('optuna_s')):.1f}",
                f"**{statistics.median(of('ratio')):.1f}x** ({min(of('ratio')):.1f} .. {max(of('ratio')):.1f})",
                f"{statistics.fmean(of('ours_loss')):.4f} / {statistics.fmean(of('optuna_loss')):.4f}",
                f"{statistics.fmean(a - b for a, b in zip(of('ours_loss'), of('optuna_loss'), strict=True)):+.4f}",
            ]
        )
    header = ["sampler", "space", "our prior", "rounds", "etastar, s", "Optuna alone, s", "ratio (range)"]
    load = f"{min(r['load'] for r in rows):.1f} .. {max(r['load'] for r in rows):.1f}"
    columns = [*header, "validation loss on fresh seeds, ours / theirs", "difference"]
    return (
        f"{table(columns, lines)}\n\n64 trials of digits-mlp, 400 steps each, two cores; ours with preflight, choice "
        "of engine, worker processes where it starts them, store and study on disk (and the glance where the prior is "
        "measured); Optuna's study in memory, the "
        f"loop at its faster of 1 and the default threads. Load average {load}. Ray Tune is not compared: its dependencies "
        "(pyarrow among them) are not installed."
    )


CASE = Case(
    "A search of 64 trials: etastar against Optuna alone, one trial at a time",
    _rows,
    _summary,
    {
        "trials": 64,
        "rounds": 3,
        "searches": [
            ["tpe", "lr", True],
            ["random", "lr", True],
            ["tpe", "lr", False],
            ["tpe", "lr, momentum, weight decay", False],
        ],
    },
)
