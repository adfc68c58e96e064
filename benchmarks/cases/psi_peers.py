"""What else sets a rate, on tasks that psi is judged on: policies at tuned peaks, optimizers that find their rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.cases.case import Row, table
from etastar.core.told import told
from etastar.designs.psi.repeats import Repeats
from etastar.laws.psi.driven import Ratio
from etastar.policies.named import policy_over
from etastar.problems.small.family import Task
from etastar.verbs.compare.lr_free import LR_FREE
from etastar.verbs.psi.measured import SmallBench

POLICIES = (
    "linear", "cosine", "wsd", "one-cycle", "constant", "plateau", "greedy", "psi", "psi-network",
)  # fmt: skip
"""Each at a peak of its own, tuned on the same grid of rates, by the same four seeds."""
REFERENCE = "linear"


def peers_of(bench: SmallBench, task: Task, seeds: int) -> Row:
    """Final losses of every peer on fresh seeds, and the tuned peaks; a policy without a peak has no losses."""
    policies = {name: policy_over(name, task.steps) for name in POLICIES}
    peaks = {name: bench.peak(task, policy).peak.value for name, policy in policies.items()}
    arms = {name: (policies[name], lr) for name, lr in peaks.items() if lr is not None}
    losses = bench.fresh(task, arms, seeds) | {name: _without_a_rate(bench, task, name, seeds) for name in LR_FREE}
    labels = {"steps": task.steps, "task": task.name, "family": task.family.name, "group": task.group}
    return {"what": "peers", **labels, "peaks": peaks, "losses": told(losses)}


def _without_a_rate(bench: SmallBench, task: Task, name: str, seeds: int) -> tuple[float, ...]:
    """Those of an optimizer that finds its rate, at its authors' settings, on the same seeds."""
    own = LR_FREE[name]
    session = bench.place.of(own.of(task.problem(scored_on="test")))
    policy, lr = policy_over(own.schedule, task.steps), session.facts.lr or 1.0
    design = Repeats(session.facts.criterion, task.steps, {name: (policy, lr)}, seeds, bench.seed_of(task, "fresh"))
    return bench.run(session, design)[name]


def peers_table(rows: Sequence[Row]) -> str:
    """Every peer against tuned linear decay, the best first; what it cost to find its peak, in trainings."""
    ratios = {name: ratio for name in (*POLICIES, *LR_FREE) if name != REFERENCE and (ratio := _ratio(rows, name)).logs}
    lines = []
    for name, ratio in sorted(ratios.items(), key=lambda item: item[1].mean().value or math.inf):
        mean, (won, tied, lost) = ratio.mean(), ratio.record
        broken = sum(loss is None for row in rows for loss in row["losses"].get(name, ()))
        cost = "28 to 44" if name in POLICIES else "0"
        worth = [f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]", f"{ratio.median:.3f}", f"{won} / {tied} / {lost}"]
        lines.append([name, cost, len(ratio.logs), *worth, broken])
    head = ["peer", "trainings before", "tasks", "final loss / tuned linear's [90 %]", "median", "won / tied / lost at 1 %",
            "broken lanes"]  # fmt: skip
    return table(head, lines)


def _ratio(rows: Sequence[Row], name: str) -> Ratio:
    both = (row for row in rows if {name, REFERENCE} <= set(row["losses"]))
    return Ratio.of(
        {
            row["task"]: (row["family"], row["group"], _finite(row["losses"], name), _finite(row["losses"], REFERENCE))
            for row in both
        }
    )


def _finite(losses: Mapping[str, Sequence[float | None]], name: str) -> list[float]:
    return [math.inf if loss is None else loss for loss in losses[name]]
