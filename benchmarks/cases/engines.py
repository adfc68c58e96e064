"""eta* by the loop and by the engine chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, find_row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from etastar.problems import BUILTINS, builder

    for name in BUILTINS:
        for engine in ("loop", "auto"):
            options = etastar.Options(store=":memory:", engine=engine)
            answer = etastar.eta_star(builder(name)(), options=options)
            yield find_row(answer, problem=name, asked=engine, engine=answer.engine)


def _summary(rows: list[Row]) -> str:
    lines = []
    for name in dict.fromkeys(r["problem"] for r in rows):
        loop, auto = (next(r for r in rows if r["problem"] == name and r["asked"] == asked) for asked in ("loop", "auto"))
        cells = [f"{r['value']:.3g} [{r['low']:.3g}, {r['high']:.3g}]" for r in (loop, auto)]
        overlap = loop["low"] <= auto["high"] and auto["low"] <= loop["high"]
        seconds = f"{loop['seconds']:.1f} / {auto['seconds']:.1f}"
        lines.append([name, cells[0], auto["engine"], cells[1], "yes" if overlap else "NO", seconds])
    header = [
        "problem",
        "eta* by the loop, 90 %",
        "engine chosen",
        "eta* by it, 90 %",
        "intervals overlap",
        "s, loop / chosen",
    ]
    return table(header, lines)


CASE = Case("eta* by the loop and by the engine chosen", _rows, _summary, {})
