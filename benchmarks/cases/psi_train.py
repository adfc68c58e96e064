"""The network of the ideal rate, trained again by the command that ships: what it takes, and what it arrives at."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.cases.case import Case, Row, table
from etastar.policies.psi_network import NUMBERS, TRAINED
from etastar.verbs.options import Options
from etastar.verbs.psi.train_psi import train_psi

SHOWN = ("linear", "shipped", "tuned")
"""What the network is held against in the summary."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    before = _cpu_seconds()
    options = Options(store=config["store"], workers=config["workers"])
    answer = train_psi(weights=config["weights"], options=options)
    yield from rows_of(answer.to_json(), _cpu_seconds() - before)


def _cpu_seconds() -> float:
    """Of this process and of those that ended under it."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rows_of(answer: Mapping[str, Any], cpu_seconds: float) -> Iterator[Row]:
    """What the JSON of `etastar psi train` holds, and the seconds of a core that it took."""
    yield {"what": "cost", "problem": answer["problem"], **answer["cost"], "cpu_seconds": cpu_seconds}
    yield {"what": "numbers", "of": "shipped", "numbers": list(TRAINED)}
    yield {"what": "numbers", "of": "all groups", "numbers": answer["numbers"]}
    yield from ({"what": "numbers", "of": f"without {name}", "numbers": own} for name, own in answer["folds"].items())
    yield from ({"what": "look", **look} for look in answer["looks"])
    yield from ({"what": "judged", **judged} for judged in answer["judged"])


def _summary(rows: list[Row]) -> str:
    cost = next(row for row in rows if row["what"] == "cost")
    numbers = [[row["of"], *(f"{v:g}" for v in row["numbers"])] for row in rows if row["what"] == "numbers"]
    judged = [row for row in rows if row["what"] == "judged" and row["arm"] == "network" and row["against"] in SHOWN]
    lines = [[r["steps"], r["peak"], r["against"], _interval(r["ratio"]), f"{r['median']:.3f}", _record(r)] for r in judged]
    return f"""\
{cost["problem"]}: {cost["cpu_seconds"] / 60:.0f} minutes of a core, {cost["gradient_steps"]:,.0f} gradient steps.
{_of_the_looks([row for row in rows if row["what"] == "look"])}

{table(["learnt", *NUMBERS], numbers)}

Driven on groups that the numbers have not seen, by fresh runs on data kept for the end. Below 1 the network ends lower.
The shipped numbers were chosen by hand on all of these groups, which is an advantage.

{table(["steps", "peak", "network against", "final loss / its [90 %]", "median", "won / tied / lost"], lines)}"""


def _of_the_looks(looks: list[Row]) -> str:
    evolutions: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in looks:
        evolutions.setdefault((row["fold"], row["stopped_by"]), []).append((row["held_out"], row["generation"]))
    best = [min(own) for own in evolutions.values()]
    gain = statistics.fmean(own[0][0] - low for own, (low, _) in zip(evolutions.values(), best, strict=True))
    return (
        f"In {sum(generation >= 0 for _, generation in best)} of {len(best)} evolutions a later mean was better than the "
        f"shipped numbers, where all began, on the group that stops it:\nby {gain:.3f} of what a peak wrong by a factor of "
        "four costs, averaged over all of them. It was chosen by that."
    )


def _record(row: Row) -> str:
    return f"{row['won']} / {row['tied']} / {row['lost']}"


def _interval(ratio: Row) -> str:
    return f"{ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"


CASE = Case(
    title="Psi's network, trained again by its one command",
    config={"workers": 2, "weights": ".etastar/psi-train.json", "store": ".etastar/psi-train.db"},
    rows=_rows,
    summary=_summary,
)
