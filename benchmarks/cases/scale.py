"""Loss x c and a translated range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    import torch.nn.functional as F

    import etastar
    from etastar.problems import builder

    def measure(problem: etastar.Problem) -> etastar.Estimate:
        options = etastar.Options(store=":memory:", workers=1)
        return etastar.eta_star(problem, options=options).estimate

    for optimizer in config["optimizers"]:
        name, _, lr = optimizer.partition(":lr=")
        base = builder("digits-mlp")(optimizer=optimizer)
        changed = {
            f"range x {s:g}": (builder("digits-mlp")(optimizer=f"{name}:lr={float(lr) * s}"), 1.0) for s in config["shifts"]
        }
        for c in config["loss_scales"]:
            scaled = base.but(loss=lambda outputs, targets, c=c: c * F.cross_entropy(outputs, targets))
            changed[f"loss x {c:g}"] = (scaled, c if name == "sgd" else 1.0)
        reference = measure(base)
        for change, (problem, factor) in changed.items():
            e = measure(problem)
            assert e.ok and reference.ok and e.value and e.low and e.high
            low, expected, high = (x / factor for x in (reference.low, reference.value, reference.high))  # type: ignore[operator]
            row = {
                "optimizer": optimizer,
                "change": change,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "expected": expected,
            }
            yield {**row, "overlap": e.low <= high and low <= e.high}


def _summary(rows: list[Row]) -> str:
    lines = [
        [
            r["optimizer"],
            r["change"],
            f"{r['value']:.4g} [{r['low']:.4g}, {r['high']:.4g}]",
            f"{r['expected']:.4g}",
            f"{r['value'] / r['expected'] - 1:+.1%}",
            "yes" if r["overlap"] else "NO",
        ]
        for r in rows
    ]
    return table(
        ["optimizer", "change", "eta*, 90 %", "expected from the unchanged", "difference", "intervals overlap"], lines
    )


CASE = Case(
    "Loss x c and a translated range",
    _rows,
    _summary,
    {"optimizers": ["sgd:lr=0.1", "adam:lr=0.001"], "loss_scales": [0.01, 100.0], "shifts": [0.03, 30.0]},
)
