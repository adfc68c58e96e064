"""All policies on many small tasks, at equal budget, against tuned linear decay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table
from etastar.laws.psi.driven import Ratio
from etastar.problems.small import FAMILIES, Task
from etastar.verbs.compare.compare import LINEAR, compare
from etastar.verbs.options import Options

POLICIES = (
    "linear", "cosine", "polynomial", "warmup-linear", "wsd", "wsd:decay=0.5", "one-cycle", "constant", "exponential",
    "step-decay", "inverse-sqrt", "triangular", "cosine-restarts", "plateau", "greedy", "bold-driver", "hypergradient",
    "spike-guard", "psi", "psi-network",
)  # fmt: skip


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    for family in FAMILIES:
        for optimizer in config["optimizers"]:
            task = Task(family, optimizer, config["steps"])
            options = Options(store=config["store"], workers=1)
            answer = compare(task.problem(), POLICIES, budget=config["budget"], options=options)
            for own in answer.compared:
                yield {
                    "task": task.name,
                    "family": family.name,
                    "group": family.group,
                    "policy": own.name,
                    "verdict": own.verdict,
                    "peak": own.peak,
                    "losses": [o.scored_loss for o in answer.runs if _is_final(o, own)],
                    "failures": own.failures,
                    "seeds": own.seeds,
                    "wrong_peak": [w.loss for w in own.wrong_peaks],
                    "loss": own.loss,
                    "p": own.p_value,
                }


def _is_final(outcome: Any, own: Any) -> bool:
    """Whether it is one of the fresh lanes at the policy's peak: the last of its rate and policy."""
    return outcome.lane.lr == own.peak and repr(outcome.lane.policy) == own.policy


def _summary(rows: list[Row]) -> str:
    by_policy = {policy: [r for r in rows if r["policy"] == policy] for policy in POLICIES}
    linear = {r["task"]: r for r in by_policy[LINEAR]}
    lines = []
    for policy, own in by_policy.items():
        ratio = Ratio.of(
            {r["task"]: (r["family"], r["group"], _fresh(r), _fresh(linear[r["task"]])) for r in own if r["losses"]}
        )
        mean = ratio.mean()
        won, tied, lost = ratio.record
        doubled = [math.log(r["wrong_peak"][2] / r["loss"]) for r in own if r["loss"] and r["wrong_peak"][2]]
        harm = f"{math.exp(sum(doubled) / len(doubled)):.2f}" if doubled else ""
        says = [sum(r["verdict"] == v for r in own) for v in ("better", "no difference", "worse", "failed")]
        worth = [f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]", f"{ratio.median:.3f}", f"{won} / {tied} / {lost}"]
        line = [policy, *worth, " / ".join(map(str, says)), harm, sum(r["failures"] for r in own)]
        lines.append((mean.value or math.inf, line))
    head = [
        "policy", "final loss / tuned linear decay's [90 %]", "median", "won / tied / lost at 1 %",
        "`compare`: better / no difference / worse / failed", "twice the peak costs x", "broken lanes",
    ]  # fmt: skip
    tasks = len({r["task"] for r in rows})
    text = (
        f"{tasks} small tasks; every policy had the same number of trainings, the search of its peak included; a third of "
        "them are fresh seeds, the same for all. Ratios of final validation losses, geometric means over tasks; intervals "
        "resample groups, families and seeds."
    )
    return f"{text}\n\n{table(head, [line for _, line in sorted(lines, key=lambda pair: pair[0])])}"


def _fresh(row: Row) -> list[float]:
    return [math.inf if loss is None else loss for loss in row["losses"][-row["seeds"] :]]


CASE = Case(
    title="Policies at equal budget",
    config={"optimizers": ["sgd", "adam"], "steps": 200, "budget": 15, "store": ":memory:"},
    rows=_rows,
    summary=_summary,
)
