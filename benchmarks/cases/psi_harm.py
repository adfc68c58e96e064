"""Which trainings the network of the ideal rate harms, and whether what it takes off tells them from those it mends."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.cases.case import Case, Row, table
from benchmarks.cases.psi_equal_cost import RECORD
from benchmarks.cases.psi_frozen_2 import FAMILIES, tasks_of
from etastar.designs.psi.repeats import Repeats
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.psi import Psi
from etastar.policies.psi_network import PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.options import Options
from etastar.verbs.psi.measured import Forgetful, SmallBench
from etastar.verbs.workplace import Workplace

PEAKS = {"x 0.5": 0.5, "x 1": 1.0, "x 2": 2.0}
FROM, UNTIL = 0.1, 0.6
"""Shares of the steps between which the factor is averaged: it has opened by then, and the decay has hardly begun."""
HARMED = 0.05
"""Nats that the network loses against the closed form at a right peak, from which a task is listed by itself."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    known = [row for row in map(json.loads, RECORD.read_text().splitlines()) if row["what"] == "task"]
    recorded = {(row["part"], row["task"]): row for row in known if row["steps"] == config["steps"]}
    with Workplace(Options(store=config["store"], workers=1)) as place:
        bench = SmallBench(place, 0, 4)
        for part in FAMILIES:
            for task in tasks_of(part, config["steps"]):
                if (row := recorded.get((part, task.name))) is not None:
                    yield _row(bench, part, task, config["seeds"], row)


def _row(bench: SmallBench, part: str, task: Task, seeds: int, recorded: Row) -> Row:
    """Of the recorded final losses the mean ln(network / closed form), and of new runs the mean ln(factor) on the rate."""
    worth = {peak: _mean_log(recorded["losses"][peak]["network"], recorded["losses"][peak]["closed form"]) for peak in PEAKS}
    session = bench.session(task, "test")
    arms = {peak: (PsiNetwork().over(task.steps), m * recorded["peak"]) for peak, m in PEAKS.items()}
    design = Repeats(session.facts.criterion, task.steps, arms, seeds, bench.seed_of(task, "fresh"))
    bench.run(session, design, Forgetful())
    share = Psi().over(task.steps).share
    off = {
        peak: statistics.fmean(
            math.log(row.lr / (arms[peak][1] * share(row.step)))
            for outcome in outcomes
            for row in outcome.trace
            if FROM <= row.step / task.steps <= UNTIL
        )
        for peak, outcomes in design.outcomes.items()
    }
    return {"part": part, "steps": task.steps, "task": task.name, "group": task.group, "worth": worth, "off": off}


def _mean_log(losses: Sequence[float | None], reference: Sequence[float | None]) -> float:
    pairs = zip(*([math.inf if loss is None else loss for loss in own] for own in (losses, reference)), strict=True)
    return statistics.fmean(log_ratio(a, b) if math.isfinite(a) or math.isfinite(b) else 0.0 for a, b in pairs)


def _summary(rows: list[Row]) -> str:
    harmed = sorted((row for row in rows if row["worth"]["x 1"] > HARMED), key=lambda row: -row["worth"]["x 1"])
    others = [row for row in rows if row not in harmed]
    mended = [row for row in others if row["worth"]["x 2"] < -HARMED]
    calm = [row for row in others if row not in mended]
    lines = [[f"{row['task']} ({row['part']})", *_cells([row])] for row in harmed]
    means = {"these": harmed, "mended at twice the peak alone": mended, "neither": calm}
    lines += [[f"mean of {len(own)}: {name}", *_cells(own)] for name, own in means.items() if own]
    head = ["task", *(f"loss, {peak}" for peak in PEAKS), *(f"rate, {peak}" for peak in PEAKS)]
    return f"""\
Over {rows[0]["steps"]} steps, of {len(rows)} tasks, those at whose right peak the network ends more than {HARMED} nats above
the closed form. loss: ln(final loss / the closed form's there), of the record psi_frozen_2. rate: ln of what the network
made of the rate, averaged from {FROM:g} to {UNTIL:g} of the steps. Could it tell a right peak
from a wrong one, that at twice the peak were another than that at half of it.

{table(head, lines)}"""


def _cells(rows: Sequence[Row]) -> list[str]:
    return [f"{statistics.fmean(row[what][peak] for row in rows):+.2f}" for what in ("worth", "off") for peak in PEAKS]


CASE = Case(
    title="Psi's network: whom it harms, and what it saw there",
    config={"steps": 800, "seeds": 2, "store": ".etastar/psi-harm.db"},
    rows=_rows,
    summary=_summary,
)
