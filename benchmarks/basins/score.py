"""What an effort's rate loses, what its interval holds, whom it harms: on every cell, and over tasks that are resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks.basins.tasks import DEFAULTS, Cell
from benchmarks.basins.truth import NATS, SHARE, Row, Truth
from etastar.designs.best_rate.best_rate import BestRate

DRAWS = 4000


def cell_of(name: str) -> Cell:
    """The cell called task/optimizer/schedule/steps."""
    task, optimizer, schedule, steps = name.split("/")
    return Cell(task, optimizer, schedule, int(steps))


def answer_row(cell: Cell, effort: str, seed: int, best: BestRate) -> Row:
    """What an effort said."""
    lr = best.lr
    return {
        "kind": "answer", "cell": cell.name, "effort": effort, "seed": seed, "status": lr.status.value, "lr": lr.value,
        "low": lr.low, "high": lr.high, "cost": best.full_runs, "flags": list(lr.flags),
    }  # fmt: skip


def scored(row: Row, truth: Truth) -> Row:
    """The same with what is true of it."""
    lr, default = row["lr"], DEFAULTS[truth.cell.optimizer]
    harm = math.inf if lr is None else truth.at(lr) - truth.at(default)
    regret, ratio = (math.inf, math.inf) if lr is None else (truth.regret(lr), truth.ratio(lr))
    holds = None if lr is None or row["low"] is None else row["low"] <= 10**truth.centre <= row["high"]
    return row | {
        "task": truth.cell.task, "steps": truth.cell.steps, "regret": regret, "good": regret < NATS, "close": ratio <= SHARE,
        "holds": holds, "width": None if holds is None else math.log10(row["high"] / row["low"]),
        "worse": harm > 0.01, "harmed": harm > NATS, "off": None if lr is None else math.log10(lr) - truth.best,
    }  # fmt: skip


def clopper_pearson(held: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share.

    >>> tuple(round(x, 3) for x in clopper_pearson(9, 10))
    (0.555, 0.997)
    """
    tail = (1 - level) / 2
    low = 0.0 if held == 0 else float(beta.ppf(tail, held, n - held + 1))
    high = 1.0 if held == n else float(beta.ppf(1 - tail, held + 1, n - held))
    return low, high


def over_tasks(rows: Iterable[Row], of: Callable[[Row], float]) -> tuple[float, float, float]:
    """Mean over tasks of equal weight, with its 95 % interval, tasks resampled."""
    by_task: dict[str, list[float]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(float(of(row)))
    means = np.array([np.mean(v) for v in by_task.values()])
    drawn = np.random.default_rng(0).choice(means, (DRAWS, len(means))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def line(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of one effort over some cells."""
    mean = lambda key: float(np.mean([r[key] for r in rows]))
    held = [r for r in rows if r["holds"] is not None]
    count = sum(r["holds"] for r in held)
    return {
        "n": len(rows), "cost": mean("cost"), "most": max(r["cost"] for r in rows), "good": over_tasks(rows, lambda r: r["good"]),
        "close": over_tasks(rows, lambda r: r["close"]), "worse": mean("worse"), "harmed": mean("harmed"),
        "none": sum(r["lr"] is None for r in rows), "held": count, "of": len(held),
        "width": float(np.median([r["width"] for r in held])) if held else math.nan,
    }  # fmt: skip
