"""The experiments on a task: the tuned peak of linear decay, logs of whole runs, and forks from states of training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.randomness import derive_seed
from etastar.laws.psi.fork import Fork
from etastar.laws.psi.ideal import WORST, Ideal, gain_of, ideals_of, log_ratio
from etastar.laws.psi.literal import Observed, observed
from etastar.policies.named import policy_over
from etastar.policies.policy import Policy
from etastar.problems.small import Task
from etastar.studies.psi.tasks import Trained
from etastar.studies.record import Row

LOGGED = ("constant", "linear", "cosine", "wsd", "one-cycle")
"""Schedules of the logs: what people run."""
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the logs, in peaks of linear decay."""
HALVES = ("first half", "second half")
DIGITS = 4


def recorded(task: Task, trained: Trained) -> Row:
    """The row of a task: its peak, what its logs say, and what its forks were worth."""
    peak = trained.peak(task)
    named = {"family": task.family.name, "group": task.group}
    if peak.value is None:
        return {**named, "peak": None, "reason": peak.reason, "said": f"no peak: {peak.reason}"}
    logs, best, floor = _logs(task, peak.value, trained)
    forks = trained.forks(task, peak.value)
    states = [[i.path, i.s, *_rounded(i.eps, i.log_factor), i.side] for i in ideals_of(forks)]
    return {
        **named,
        "peak": peak.value,
        "floor": floor,
        "logs": [[row.s, *_rounded(row.e, row.a, row.gain)] for row in logs],
        "best": best,
        "states": states,
        "halves": [[[i.path, i.s, round(i.log_factor, DIGITS)] for i in ideals_of(half)] for half in _halves(forks)],
        "forks": [[path, s, *_rounded(*values)] for path, s, *values in _promises(forks)],
        "said": f"peak {peak.value:.3g}, {len(states)} states, {len(logs)} rows of logs",
    }


def _logs(task: Task, peak: float, trained: Trained) -> tuple[list[Observed], Row, float]:
    """Rows of all logs; the one that ended lowest, on the split that choices are made by; the lowest training loss."""
    arms: dict[str, tuple[Policy, float]] = {
        f"{name} x {m:g}": (policy_over(name, task.steps), m * peak) for name in LOGGED for m in RATES
    }
    seeds = max(trained.small.seeds // 2, 1)
    runs = trained.runs(task.problem(), arms, seeds, derive_seed(trained.small.seed, "psi", task.name, task.steps, "logs"))
    ended = {name: statistics.fmean(log_ratio(o.scored_loss or math.inf, 1.0) for o in own) for name, own in runs.items()}
    best = min(ended, key=lambda name: (ended[name], name))
    rows = {name: [r for o in own for r in observed(o, peak, task.name, task.group)] for name, own in runs.items()}
    imitated = [[r.s, *_rounded(r.e, r.a)] for r in rows[best]]
    floor = min(o.end_loss for own in runs.values() for o in own if not o.broken)
    return [row for own in rows.values() for row in own], {"run": best, "rows": imitated}, floor


def _halves(forks: Sequence[Fork]) -> tuple[list[Fork], list[Fork]]:
    """By seed: what differs between them is noise."""
    seeds = sorted({fork.seed for fork in forks})
    first = set(seeds[: len(seeds) // 2])
    return [f for f in forks if f.seed in first], [f for f in forks if f.seed not in first]


def _promises(forks: Sequence[Fork]) -> Iterable[tuple[str, float, float, float, float, float]]:
    """(path, s, e, ln(rate / peak), fall over the segment, gain at the end) of every state and rate, means over seeds."""
    arms: dict[tuple[str, float], dict[float, list[Fork]]] = {}
    for fork in forks:
        arms.setdefault((fork.path, fork.s), {}).setdefault(fork.multiple, []).append(fork)
    for (path, s), own in arms.items():
        for multiple, same in own.items():
            falls = [-WORST if math.isnan(f.soon) else f.soon for f in same]
            e, a = statistics.fmean(f.eps for f in same), math.log(multiple * (1 - s))
            yield path, s, e, a, statistics.fmean(falls), -gain_of(same, own[1.0])


def _rounded(*values: float) -> list[float]:
    return [round(value, DIGITS) for value in values]


@dataclass(frozen=True)
class Experiments:
    """What rows of recorded tasks hold, read back.

    Args:
        rows: of `recorded`, those with a peak.
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Experiments:
        """Those among the rows of the study."""
        return cls(tuple(row for row in rows if row["what"] == "recorded" and row["peak"] is not None))

    def without(self, group: str) -> Experiments:
        """Those of the other groups."""
        return Experiments(tuple(row for row in self.rows if row["group"] != group))

    def where(self, **key: Any) -> Experiments:
        """Those with these keys."""
        return Experiments(tuple(row for row in self.rows if all(row[name] == value for name, value in key.items())))

    @property
    def ideals(self) -> list[Ideal]:
        """The best rate of every state."""
        return [
            Ideal(row["task"], row["group"], path, s, eps, log_factor, side)
            for row in self.rows
            for path, s, eps, log_factor, side in row["states"]
        ]

    @property
    def imitated(self) -> list[Ideal]:
        """The rate of every task's best run, as if it were the ideal one."""
        return [
            Ideal(row["task"], row["group"], row["best"]["run"], s, e, a, 0)
            for row in self.rows
            for s, e, a in row["best"]["rows"]
        ]

    @property
    def logged(self) -> list[Observed]:
        """Rows of the logs: what followed is the fall of the loss."""
        return [Observed(r["task"], r["group"], *values) for r in self.rows for values in r["logs"]]

    def forked(self, column: str) -> list[Observed]:
        """The forks as rows: what followed is the fall over the segment ("soon") or the gain at the end ("final")."""
        which = {"soon": 0, "final": 1}[column]
        return [Observed(r["task"], r["group"], s, e, a, seen[which]) for r in self.rows for _, s, e, a, *seen in r["forks"]]
