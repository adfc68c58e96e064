"""What an earlier record still knows: where searches begin, the peers' rates, and the curves they were scored on.

A record keeps rates and what they lost, to four digits. What is lost at log10 rate x was read off a curve, straight between
the rates of its grid and level beyond them: loss(x) = sum_k hat_k(x) v_k. So the recorded pairs are linear equations
for the values v_k, and a rate between knots they determine is scored to the rounding of the record, without its curves.
`python -m benchmarks.bakeoff.recorded` leaves rates and whole methods out, says how well the others tell them, and scores
our searches on these curves.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bakeoff.anchors import anchored
from benchmarks.bakeoff.curves import grid
from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, read, suggestion
from benchmarks.bakeoff.tasks import Case
from benchmarks.bakeoff.truth import Truth, island

Array = NDArray[np.floating[Any]]
RECORD = Path(__file__).parents[1] / "records" / "2026-11-22_bakeoff"
USUAL = "usual rate of the other tasks"
NOTE = "of the record of 22 November"
BEFORE = "before: "
"""Says of a search of ours that it is the earlier one."""
ROUNDING = 5e-5
"""The most that a recorded loss is off."""
STRAIGHT = 1e-3
"""Weight of second differences beside a pair: decides only where no pair does."""
SURE = 0.005
"""A rate is determined if roundings of the pairs move its loss by less: a tenth of the bar."""


@cache
def recorded(path: Path = RECORD) -> dict[tuple[str, str], dict[str, Any]]:
    """(case, method) -> its row."""
    rows = map(json.loads, (path / "results.jsonl").read_text().splitlines())
    return {(row["case"], row["method"]): row for row in rows}


def usual_rate(task: str, optimizer: str) -> float | None:
    """Median best rate of the optimizer at 160 steps and a constant rate over all other tasks; None without a row."""
    row = recorded().get((f"{task}/{optimizer}/constant/160", USUAL))
    return row["lr"][0] if row else None


def carried() -> Iterator[dict[str, Any]]:
    """Suggestions of the peers, as `rows.suggestion` keeps them; those who gave no rate stand as such.

    The usual rate is not among them: it is read off the curves themselves. Our own searches are called `BEFORE`.
    """
    for (case, method), row in recorded().items():
        if method == USUAL or method.startswith("etastar ("):
            continue
        name = BEFORE + method if method.startswith("etastar") else method
        spent = round(row["cost"] * int(case.rpartition("/")[2]))
        silent = [None] * (len(row["points"]) - len(row["lr"]))
        for seed, lr in enumerate([*row["lr"], *silent]):
            yield suggestion(case, name, seed, lr, spent, note=NOTE)


@dataclass(frozen=True)
class Fit:
    """The curve of one case as its pairs tell it.

    Args:
        knots: log10 of the curve's rates.
        values: what is lost there; where pairs leave it open, as straight as may be.
        inverse: pseudo-inverse of the pairs' hats.
    """

    knots: Array
    values: Array
    inverse: Array

    @classmethod
    def of(cls, knots: Array, rates: Sequence[float] | Array, lost: Sequence[float] | Array) -> Fit:
        """The least squares fit.

        >>> knots = np.array([-1.0, 0.0, 1.0])
        >>> nats, sure = Fit.of(knots, [0.1, 10**-0.5, 10**0.25], [2.0, 1.5, 1.0]).lost(1.0)
        >>> round(nats, 6), sure, Fit.of(knots, [0.1], [2.0]).lost(1.0)[1]
        (1.0, True, False)
        """
        own, bends = hats(np.log10(rates), knots), STRAIGHT * np.diff(np.eye(len(knots)), 2, axis=0)
        values, *_ = np.linalg.lstsq(np.vstack([own, bends]), np.append(lost, np.zeros(len(bends))))
        return cls(knots, values, np.linalg.pinv(own, rcond=1e-6))

    def lost(self, lr: float) -> tuple[float, bool]:
        """(nats lost at `lr`, whether the pairs determine it)."""
        own = hats(np.array([math.log10(lr)]), self.knots)[0]
        reached = self.inverse @ np.linalg.pinv(self.inverse, rcond=1e-6)
        missed = float(np.abs(own - own @ reached).max())
        moved = ROUNDING * float(np.abs(own @ self.inverse).sum())
        return float(own @ self.values), missed < 1e-6 and moved < SURE


def hats(x: Array, knots: Array) -> Array:
    """[rates, knots]: the weights of linear interpolation, level beyond the ends."""
    spacing = knots[1] - knots[0]
    return np.maximum(0.0, 1 - np.abs(np.clip(x, knots[0], knots[-1])[:, None] - knots) / spacing)


Pair = tuple[str, float, float]
"""(method, rate, nats lost)."""


def pairs() -> dict[str, list[Pair]]:
    """Case -> what is recorded of it."""
    found: dict[str, list[Pair]] = defaultdict(list)
    for (case, method), row in recorded().items():
        found[case] += [(method, lr, lost) for lr, lost in zip(row["lr"], row["regret"], strict=True)]
    return found


def fit(case: str, some: Sequence[Pair]) -> Fit:
    """The curve of `case` from some of its pairs."""
    return Fit.of(np.array(grid(case.split("/")[1])), [lr for _, lr, _ in some], [lost for *_, lost in some])


@cache
def curve(case: str) -> Fit:
    """The curve of `case` from all of its pairs."""
    return fit(case, pairs()[case])


def best_of(case: str) -> float:
    """log10 of the oracle's rate: the one that loses nothing."""
    known = curve(case)
    return float(min((x for x in known.knots if known.lost(10**x)[1]), key=lambda x: abs(known.lost(10**x)[0])))


def told(case: Case) -> Truth:
    """What the record says of a case whose curves are not there, above the loss of `anchored`.

    Good rates are those of the seeds that suggestions are scored on: a record does not have the oracle's own.
    """
    knots, lost, anchor = np.array(grid(case.optimizer)), curve(case.name).values, anchored()[case.name]
    rows = [row for (name, _), row in recorded().items() if name == case.name and len(row["lr"]) == len(row["points"])]
    points = [(lr, points) for row in rows for lr, points in zip(row["lr"], row["points"], strict=True)]
    accuracy = -Fit.of(knots, [lr for lr, _ in points], [lost for _, lost in points]).values / 100
    good = knots[lost <= lost.min() + 0.05]
    nats = anchor["nats"] + lost[None]
    ends = float(good.min()), float(good.max()), island(knots, lost)
    return Truth(knots, best_of(case.name), *ends, nats, accuracy[None], anchor["chance"], case.task.regression)


def left_out(by: Callable[[Pair], Any]) -> tuple[int, list[tuple[float, float]]]:
    """(pairs, [(told, recorded)] of those that the others determine), leaving out all that are alike `by` together."""
    count, told = 0, []
    for case, own in pairs().items():
        for alike in {by(pair) for pair in own}:
            group, rest = [p for p in own if by(p) == alike], [p for p in own if by(p) != alike]
            known = fit(case, rest)
            count += len(group)
            told += [(said[0], lost) for _, lr, lost in group if (said := known.lost(lr))[1]]
    return count, told


def verdicts(rows: Iterable[dict[str, Any]], bar: float = 0.05) -> list[list[str]]:
    """(method, steps, searches, how many the record determines, share of these < `bar` nats) of suggestions with a rate."""
    found: dict[tuple[str, int], list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        if row["lr"] is not None:
            found[row["method"], int(row["case"].rpartition("/")[2])].append(curve(row["case"]).lost(row["lr"]))
    lines = []
    for (method, steps), some in sorted(found.items(), key=itemgetter(0)):
        known = [lost for lost, sure in some if sure]
        good = f"{sum(lost < bar for lost in known) / len(known):.1%}" if known else ""
        lines.append([method, str(steps), str(len(some)), str(len(known)), good])
    return lines


def main() -> None:
    bar = 0.05
    print(
        "| left out | pairs | determined by the others | largest error, nats | verdicts < .05 nats that flip |\n|"
        + "---|" * 5
    )
    for name, by in (("rate", itemgetter(1)), ("method", itemgetter(0))):
        count, told = left_out(by)
        worst = max(abs(one - other) for one, other in told)
        flips = sum((one < bar) != (other < bar) for one, other in told)
        print(f"| each {name} | {count} | {len(told)} = {len(told) / count:.1%} | {worst:.4f} | {flips} |")
    print("\n| method | steps | searches | determined | < .05 nats |\n|" + "---|" * 5)
    for line in verdicts(row for row in read(FOLDER / SUGGESTIONS) if row["method"].startswith("etastar")):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
