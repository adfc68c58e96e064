"""`watch` as it ships, bounds and cadence, on trainings long enough for its default cadence to matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import early_warning_runs as runs
from benchmarks.early_warning import LEAD, Row, edge, events, later, warned
from etastar.adapters.watch import BOUNDS, EVERY_STEPS

STEPS = 2000
CADENCES = (50, 200, EVERY_STEPS)
CHEAP = ("linear", "relu, 1 hidden", "relu, 3 hidden", "tanh, 2 hidden", "squared loss", "regression", "two classes")
"""Of the networks of the shorter trainings those whose step takes less than half a millisecond."""
KINDS = sorted(runs.BASE)
Table = Callable[[list[str], list[list[Any]]], str]


def rows(config: dict[str, Any]) -> Iterator[Row]:
    """What a training was, how it went, and what looks at each cadence saw of it."""
    import torch

    torch.set_num_threads(1)
    for row in runs.rows(Path(config["folder"]), config["rounds"], config["most"], CHEAP, STEPS, CADENCES):
        kept = {name: row[name] for name in ("network", "optimizer", "shape", "peak", "seed", "seconds", "spent")}
        yield {
            **kept,
            "looks": {every: len(of) for every, of in row["looks"].items()},
            "steps": len(row["losses"]),
            "moment": runs.moment(row),
            "well": runs.goes_well(row),
            "seen": {str(every): events(edge(every)(row)) for every in CADENCES},
        }


def verdict(some: Sequence[Row], every: int) -> tuple[str, str, str]:
    """Share of later divergences with a lead of `LEAD`, their median lead, share of false alarms: under the shipped bounds.

    >>> calm = {"optimizer": "SGD", "moment": None, "well": True, "seen": {"50": [[0, 0.2]]}}
    >>> late = {"optimizer": "SGD", "moment": 90, "well": False, "seen": {"50": [[0, 0.2], [60, 0.7]]}}
    >>> verdict([calm, calm, late], 50)
    ('1 of 1', '30', '0 of 2')
    """
    late, well = later(some), [row for row in some if row["well"]]
    first = lambda row: warned(row, {str(every): BOUNDS[row["optimizer"].lower()]})
    leads = [0 if first(row) is None else max(0, row["moment"] - first(row)) for row in late]
    alarms = sum(first(row) is not None for row in well)
    caught = sum(lead >= LEAD for lead in leads)
    return f"{caught} of {len(late)}", f"{np.median(leads):.0f}" if late else "-", f"{alarms} of {len(well)}"


def summary(all_rows: list[Row], table: Table) -> str:
    """The record's text."""
    late, well = later(all_rows), [row for row in all_rows if row["well"]]
    head = (
        f"{len(all_rows)} trainings of {len(CHEAP)} networks x Adam, SGD, {STEPS:,} steps each, warm-ups and jumps ten "
        f"times as late as in the {runs.STEPS} steps of `early_warning`; its networks whose step is cheap, trainings of "
        f"their own. {len(late)} diverge later, {len(well)} go well, told apart as there. Nothing is fitted: the bounds "
        f"are those that ship ({BOUNDS['sgd']} for SGD, {BOUNDS['adam']} for Adam), chosen at looks every 200 steps; "
        f"the default is {EVERY_STEPS}. Caught are divergences that were warned of {LEAD} steps before."
    )
    of = lambda what, value: [row for row in all_rows if row[what] == value]
    by_kind, by_shape = [], []
    for every in CADENCES:
        told = [cell for kind in KINDS for cell in verdict(of("optimizer", kind), every)]
        by_kind.append([f"every {every}" + " (default)" * (every == EVERY_STEPS), *told, *_cost(all_rows, every)])
    for shape in runs.SHAPES:
        told = [verdict(of("shape", shape), every) for every in CADENCES]
        by_shape.append([shape, *(caught for caught, _, _ in told), *(alarms for _, _, alarms in told)])
    kinds = [f"{kind}: {what}" for kind in KINDS for what in ("caught", "median lead", "false alarms")]
    shapes = [f"{what}, every {every}" for what in ("caught", "false alarms") for every in CADENCES]
    tables = table(["looks", *kinds, "looks a training", "CPU time more"], by_kind), table(["rate", *shapes], by_shape)
    return "\n\n".join([head, *tables])


def _cost(all_rows: Sequence[Row], every: int) -> tuple[str, str]:
    """Looks a training, and their CPU time in that of the trainings."""
    looks, spent = (sum(row[what][str(every)] for row in all_rows) for what in ("looks", "spent"))
    return f"{looks / len(all_rows):.1f}", f"{spent / sum(row['seconds'] for row in all_rows):.0%}"
