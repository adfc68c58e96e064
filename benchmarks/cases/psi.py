"""The ideal rate over a training: closed forms on groups of tasks they have not seen, and the network at wrong peaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.cases.case import Case, Row, table
from etastar.core.told import told
from etastar.problems.small.family import OPTIMIZERS
from etastar.verbs.options import Options
from etastar.verbs.psi.fit_psi import fit_psi
from etastar.verbs.psi.judging import driven, judged, known_task
from etastar.verbs.psi.measured import SmallBench, small_tasks
from etastar.verbs.workplace import Workplace


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    options = Options(store=config["store"], workers=1)
    for steps in config["fitted"]:
        answer = fit_psi(steps=steps, options=options)
        yield from ({"what": "form", "steps": steps, **told(judged._asdict())} for judged in answer.forms)
        yield from ({"what": "share", "steps": steps, **told(share._asdict())} for share in answer.shares)
        yield from ({"what": "task", "steps": steps, **told(task._asdict())} for task in answer.tasks)
    for steps, fresh in config["driven"].items():
        with Workplace(replace(options)) as place:
            bench = SmallBench(place, 0, 4)
            tasks = small_tasks(None, tuple(OPTIMIZERS), int(steps))
            known = [own for task in tasks if (own := known_task(bench, task)) is not None]
            rows = judged(driven(bench, {"all": known}, {}, fresh))
        yield from ({"what": "network", **told(row._asdict())} for row in rows)


def _summary(rows: list[Row]) -> str:
    forms = [[r["steps"], r["form"], *_worth(r), f"{r['decades']:.2f}"] for r in _of(rows, "form")]
    at_peaks = [[r["steps"], r["peak"], r["arm"], r["against"], *_worth(r)] for r in _of(rows, "network")]
    worth = ["final loss / its [90 %]", "median", "won / tied / lost"]
    text = (
        f"{len(_of(rows, 'task'))} small tasks, at the tuned peak of linear decay, fitted without the task's group, against "
        "linear decay; intervals resample groups, families and seeds."
    )
    chosen = (
        "The network as it is shipped, at peaks that are right, wrong and hastily found: its numbers were chosen on these "
        "tasks, so this is no proof; `tuned` is linear decay at its own peak, which every horizon has tuned for it."
    )
    forms_table = table(["steps", "form", *worth, "off by, decades"], forms)
    driven_table = table(["steps", "peak", "arm", "against", *worth], at_peaks)
    return f"{text}\n\n{forms_table}\n\n{chosen}\n\n{driven_table}"


def _of(rows: list[Row], what: str) -> list[Row]:
    return [row for row in rows if row["what"] == what]


def _worth(row: Row) -> list[str]:
    ratio = row["ratio"]
    value = f"{ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"
    return [value, f"{row['median']:.3f}", f"{row['won']} / {row['tied']} / {row['lost']}"]


CASE = Case(
    title="Psi: the ideal rate over a training",
    config={"fitted": [200], "driven": {"50": 6, "200": 6, "800": 3}, "store": ".etastar/psi-bench.db"},
    rows=_rows,
    summary=_summary,
)
