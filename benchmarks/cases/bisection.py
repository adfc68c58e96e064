"""eta* of digits-mlp: etastar against bisection by hand."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.bisection import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    def spread(key: str, form: str) -> str:
        values = [r[key] for r in rows]
        return f"{statistics.median(values):{form}} ({min(values):{form}} .. {max(values):{form}})"

    columns = {
        "value": ".3g",
        "half_width": ".1%",
        "trainings": ".0f",
        "gradient_steps": ",.0f",
        "cpu_s": ".2f",
        "wall_s": ".2f",
    }
    names = {"": "etastar", "hand4_": "bisection by hand, >= 4 seeds", "hand10_": "bisection by hand, >= 10 seeds"}
    lines = [[name, *(spread(prefix + key, form) for key, form in columns.items())] for prefix, name in names.items()]
    header = ["eta* of digits-mlp", "value", "half-width", "trainings", "gradient steps", "CPU s", "wall s"]
    ratios = ", ".join(f"{spread(f'cpu_ratio{least}', '.1f')}x with >= {least} seeds" for least in (4, 10))
    text = f"CPU by hand / CPU of etastar: {ratios}; target >= 5x. Wall target: <= 5 s, warm. Medians, ranges beside them."
    return table(header, lines) + "\n\n" + text


CASE = Case("eta* of digits-mlp: etastar against bisection by hand", _rows, _summary, {"seeds": 7})
