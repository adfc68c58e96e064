"""eta* of the ready-made networks on digits."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, find_row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from etastar.problems import builder

    for name, optimizer in config["problems"]:
        for seed in range(config["seeds"]):
            problem = builder(name)(optimizer=optimizer, seed=seed)
            end = etastar.Precision(half_width=0.25, max_runs=24, min_runs=8, scan_seeds=1)
            answer = etastar.eta_star(problem, end=end, options=etastar.Options(store=":memory:", workers=1))
            yield find_row(answer, problem=name, optimizer=optimizer, seed=seed)


def _summary(rows: list[Row]) -> str:
    lines = []
    for key in dict.fromkeys((r["problem"], r["optimizer"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["optimizer"]) == key and r["value"]]
        of = lambda name: [r[name] for r in some]  # noqa: B023
        flags = sorted({flag for r in some for flag in r["flags"]})
        lines.append(
            [
                *key,
                len(some),
                f"{statistics.median(of('value')):.3g} ({min(of('value')):.3g} .. {max(of('value')):.3g})",
                f"{statistics.median(of('half_width')):.1%} (worst {max(of('half_width')):.1%})",
                f"{statistics.median(of('runs')):.0f} (worst {max(of('runs'))})",
                f"{statistics.median(of('transition')):.2f}",
                f"{statistics.median(of('gradient_steps')):,.0f}",
                f"{statistics.median(of('seconds')):.1f}",
                ", ".join(flags) or "-",
            ]
        )
    header = [
        "problem",
        "optimizer",
        "seeds",
        "eta* (range over seeds)",
        "half-width",
        "runs beyond scan",
        "width",
        "steps",
        "s",
    ]
    return table([*header, "flags seen"], lines)


CASE = Case(
    "eta* of the ready-made networks on digits",
    _rows,
    _summary,
    {
        "problems": [
            ["digits-mlp", "momentum:lr=0.05"],
            ["digits-mlp", "adam:lr=0.001"],
            ["digits-mlp", "sgd:lr=0.1"],
            ["digits-cnn", "momentum:lr=0.05"],
            ["digits-deep-mlp", "momentum:lr=0.01"],
            ["digits-transformer", "adam:lr=0.001"],
        ],
        "seeds": 3,
    },
)
