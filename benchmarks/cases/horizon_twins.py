"""Does a narrow twin in muP say where the best rate of a long run lies, or how it falls with the horizon?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table

RECORD = Path(__file__).parents[1] / "records/2026-11-26_long_horizon/results.jsonl"
"""Where what the real networks end at was recorded."""


OF = ["momentum/constant", "adamw/constant", "momentum/warmup-cosine", "adamw/warmup-cosine"]


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.long_horizon.tasks import cells
    from benchmarks.long_horizon.twins import can_be_narrowed, recorded_twins

    found = [c for c in cells() if can_be_narrowed(c.task) and c.name.split("/", 1)[1] in config["of"]]
    yield from recorded_twins(found, config["width"], config["horizons"], Path(config["folder"]))


def _summary(rows: list[Row]) -> str:
    import numpy as np

    from benchmarks.long_horizon.score import paired
    from benchmarks.long_horizon.twins import LANES, LEVEL, PRIOR, SHORT, scored_arms

    truths = [r for r in map(json.loads, RECORD.read_text().splitlines()) if r["kind"] == "truth"]
    twins = [r for r in rows if r["kind"] == "twin"]
    flops, seconds = (float(np.median([r[key] for r in twins])) for key in ("flops", "seconds"))
    lines = []
    for steps in sorted({r["steps"] for r in twins} - {SHORT}):
        by_arm: dict[str, dict[str, list[Row]]] = {}
        for r in scored_arms([*truths, *twins], steps):
            by_arm.setdefault(r["arm"], {})[r["cell"]] = [r]
        for arm, own in by_arm.items():
            flat = [r for some in own.values() for r in some]
            mean = lambda key, some=flat: float(np.mean([r[key] for r in some]))
            long = 0 if arm in (PRIOR, LEVEL) else LANES
            short = 0 if "short lanes" not in arm else LANES * SHORT / steps
            extra = LANES * SHORT / steps if "slope" in arm else 0
            price = [f"{(long + extra) * unit + short:.2f}" for unit in (1, flops, seconds)]
            gain = [
                "{:+.2f} [{:+.2f}, {:+.2f}]".format(*paired(own, by_arm[base], key))
                for base, key in ((PRIOR, "good"), (LEVEL, "good"), (LEVEL, "near"))
            ]
            off = float(np.sqrt(np.mean([r["off"] ** 2 for r in flat])))
            shares = [f"{mean(key):.2f}" for key in ("good", "near")]
            lines.append(
                [arm, steps, len(flat), *price, *shares, *gain, f"{off:.2f}", f"{mean('holds'):.0%}", f"{mean('width'):.2f}"]
            )
    head = [
        "arm", "horizon", "cells", "cost, steps", "FLOPs", "seconds", "within 5 %", "within .05 nats", "gain on the prior",
        "gain on short lanes", "the same, .05 nats", "rms error, decades", "interval holds it", "its width",
    ]  # fmt: skip
    return table(head, lines)


CASE = Case(
    "A narrow twin in muP for the rate of a long run; what it is trusted with comes from the other tasks",
    _rows,
    _summary,
    {"folder": "out/horizon-twins", "width": 16, "of": OF, "horizons": [100, 1600]},
)
