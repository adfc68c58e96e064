"""The tables of the study, and the words around its charts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from etastar.core.estimate import Estimate
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.shares import shares_of_variance
from etastar.reports.parts import SectionText, Table
from etastar.studies.psi.arms import ARMS, HIGH, LINEAR, at_peak
from etastar.studies.psi.driven import failures, ratio_of, steps_to_target
from etastar.studies.psi.recorded import Experiments
from etastar.studies.psi.unknown_horizon import KNOWN, pooled
from etastar.studies.record import Row

FACTORS = ("task", "s", "path")
WORTH = (
    "final loss / linear's [90 %]",
    "median",
    "won / tied / lost",
    "broken lanes",
    "met the target",
    "at, share of steps",
)
SECTIONS = (
    SectionText(
        "Which rate was the best, when?",
        "From states of training, reached in four ways, lanes went on at a quarter to four times the rate of linear decay "
        "for a tenth of the steps, and then down the same way. The points are the best of those rates by the loss at the "
        "end, medians over states with quartiles; the crosses are the best by the loss a tenth later, which is what a "
        "greedy rule and a log of convergence see.",
        {"ideal": "Ideal rate / peak of linear decay over the training, and the trapezoid fitted to all tasks."},
    ),
    SectionText(
        "What is each answer worth?",
        "Fresh runs at the tuned peak of linear decay, on tasks of groups that the policy was not fitted to. L1: from logs "
        "to the letter; L2: imitation of the best runs; L3: from forks with a cooldown; L4: chosen on final losses of whole "
        "runs.",
        {"driven": "Final loss / linear decay's, with 90 % intervals over groups, families and seeds; below 1 is better."},
    ),
    SectionText(
        "And where the horizon is unknown?",
        "Runs end when no policy was told. Every arm's numbers, its peak's share among them, were chosen by final losses on "
        "the other groups under the same optimizer. The reference alone knows how many steps there are.",
        {"unknown": "Final loss / that of linear decay, which knows the horizon."},
    ),
)


def tables_of(known: Experiments, driven: Sequence[Row], unknown: Sequence[Row]) -> tuple[Table, ...]:
    """Those that the rows carry."""
    found = []
    if driven:
        found += [driven_table(driven), wrong_peak_table(driven), formulas_table(driven)]
    if unknown:
        found.append(unknown_table(unknown))
    if len(known.rows) > 1:
        found += [shares_table(known), greedy_table(known)]
    return tuple(found)


def driven_table(rows: Sequence[Row]) -> Table:
    """Every arm at the tuned peak."""
    cells = [("linear decay", "", *_worth(rows, LINEAR, ratio_of(rows, LINEAR)), "the reference, its peak tuned")]
    cells += [(arm.name, arm.way, *_worth(rows, arm.name, ratio_of(rows, arm.name)), arm.what) for arm in ARMS]
    return Table(f"Every way, driven on {len(rows)} tasks", ("", "way", *WORTH, "what it is"), tuple(cells))


def wrong_peak_table(rows: Sequence[Row]) -> Table:
    """What is driven at a peak that is too high, against linear decay there."""
    cells = []
    for m in HIGH:
        linear = at_peak("linear", m)
        cells.append((linear, "tuned linear", *_worth(rows, linear, ratio_of(rows, linear))))
        for name in ("closed form", "network"):
            arm = at_peak(name, m)
            cells.append((arm, linear, *_worth(rows, arm, ratio_of(rows, arm, linear))))
            cells.append((arm, "tuned linear", *_worth(rows, arm, ratio_of(rows, arm))))
    return Table("At a peak that is too high", ("", "against", "ratio of final losses [90 %]", *WORTH[1:]), tuple(cells))


def formulas_table(rows: Sequence[Row]) -> Table:
    """What was learnt without each group."""
    learnt = {(arm, row["group"]): text for row in rows for arm, text in row["learnt"].items()}
    cells = tuple((arm, group, text) for (arm, group), text in sorted(learnt.items()))
    return Table("What was learnt", ("", "without the group", "the formula"), cells)


def unknown_table(rows: Sequence[Row]) -> Table:
    """Every arm where the horizon is unknown, by horizon and pooled."""
    horizons = sorted({row["steps"] for row in rows})
    cells = []
    for arm in rows[0]["losses"]:
        own = {n: ratio_of([row for row in rows if row["steps"] == n], arm, KNOWN) for n in horizons}
        chosen = statistics.mode(row["chosen"][arm] for row in rows)
        by_horizon = [_short(ratio.mean()) for ratio in own.values()]
        cells.append((arm, *by_horizon, *_worth(rows, arm, pooled(rows, arm, KNOWN)), f"mostly {chosen}"))
    counts = [f"{n:,} steps, {sum(row['steps'] == n for row in rows)} tasks" for n in horizons]
    head = ("", *counts, f"all: {WORTH[0]}", *WORTH[1:], "numbers chosen on other groups")
    return Table("Where the horizon is unknown", head, tuple(cells))


def shares_table(known: Experiments) -> Table:
    """What the ideal rates vary with."""
    cells = []
    for name, absolute in (("ideal rate", True), ("ideal rate / tuned peak", False)):
        table = halves_of(known, absolute=absolute)
        found = shares_of_variance(table, FACTORS) if table.size else {}
        spread = f"{table.std():.2f}" if table.size else "-"
        cells += [(f"{name}: {what}", f"{100 * share:.0f} %", spread) for what, share in found.items()]
    head = ("share of the variance of its logarithm", "omega squared", "standard deviation, decades")
    return Table("What the ideal rate depends on: task, share s of the steps, path to the state, seed", head, tuple(cells))


def halves_of(known: Experiments, *, absolute: bool) -> np.ndarray:
    """log10 of the ideal rate, [task, s, path, half of the seeds], over the states that all tasks have."""
    tables = []
    for row in known.rows:
        offset = math.log(row["peak"]) if absolute else 0.0
        tables.append([{(s, path): (f + offset) / math.log(10) for path, s, f in half if s} for half in row["halves"]])
    cells = sorted(set.intersection(*(set(half) for halves in tables for half in halves)))
    places, paths = sorted({s for s, _ in cells}), sorted({path for _, path in cells})
    if len(cells) < len(places) * len(paths) or not cells:
        return np.empty(0)
    return np.array([[[[half[s, p] for half in halves] for p in paths] for s in places] for halves in tables])


def greedy_table(known: Experiments) -> Table:
    """The rate that the end wants against the one that the next tenth wants, at each share of the steps."""
    cells = []
    for s, own in sorted(wanted(known).items()):
        ideal, greedy = (math.exp(statistics.median(values)) for values in zip(*own, strict=True))
        cells.append((f"{s:g}", f"{ideal:.2f}", f"{greedy:.2f}", f"{greedy / ideal:.1f}", str(len(own))))
    head = ("share of the steps", "best by the end / peak", "best by the next tenth / peak", "greedy / ideal", "states")
    return Table("A short horizon wants another rate: medians over states", head, tuple(cells))


def wanted(known: Experiments) -> dict[float, list[tuple[float, float]]]:
    """Share of the steps -> of every state (ln of the rate that was the best at the end, ln of the best a tenth later)."""
    states: dict[tuple[str, str, str, float], list[tuple[float, float, float]]] = {}
    for row in known.rows:
        for path, s, _, a, soon, final in row["forks"]:
            states.setdefault((row["task"], row["optimizer"], path, s), []).append((a, soon, final))
    found: dict[float, list[tuple[float, float]]] = {}
    for (*_, s), rates in states.items():
        best = max(rates, key=lambda r: (r[2], -abs(r[0])))[0], max(rates, key=lambda r: (r[1], -abs(r[0])))[0]
        found.setdefault(s, []).append(best)
    return found


def _worth(rows: Sequence[Row], arm: str, ratio: Ratio) -> tuple[str, ...]:
    broken, lanes = failures(rows, arm)
    when, met = steps_to_target(rows, arm)
    won, tied, lost = ratio.record
    at = f"{when:.2f}" if math.isfinite(when) else "never"
    return _short(ratio.mean()), f"{ratio.median:.3f}", f"{won} / {tied} / {lost}", f"{broken} of {lanes}", f"{met:.0%}", at


def _short(e: Estimate) -> str:
    return "-" if e.value is None else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"
