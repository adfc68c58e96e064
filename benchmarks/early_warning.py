"""Rules that warn of divergence, judged on trainings: thresholds from other networks, leads, false alarms, cost.

`python -m benchmarks.early_warning RECORD` draws the rows of a record.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import early_warning_runs as runs

FALSE_ALARMS, LEAD, SOON = 0.05, 10, 20
"""At most so many of the trainings that go well are warned of; a lead counts from so many steps; what diverges sooner than
SOON steps leaves no time to warn and is left out."""
THIN = 1.03
"""A record keeps the steps at which a rule's largest number so far grows by this factor."""
Row = dict[str, Any]
Score = Callable[[Row], np.ndarray]
"""A rule's number at every step, of which more is worse."""


def edge(every: int, what: str = "top") -> Score:
    """The edge ratio at the last look, or that along the gradient, moved with the rate since."""

    def score(row: Row) -> np.ndarray:
        looks, found = row["looks"][str(every)], np.full(len(row["losses"]), np.nan)
        ends = [look[0] for look in looks[1:]] + [len(found)]
        for (step, top, along, rate), end in zip(looks, ends, strict=True):
            moved = [runs.rate_at(row["shape"], t, row["peak"], row["turn"]) / rate for t in range(step, end)]
            found[step:end] = {"top": top, "along": along}[what] * np.asarray(moved)
        return found

    return score


def followed(values: Iterable[float], keep: float) -> np.ndarray:
    """The exponential mean, begun at the first value."""
    found: list[float] = []
    for value in values:
        found.append(keep * found[-1] + (1 - keep) * value if found else value)
    return np.asarray(found)


def norm_trend(row: Row) -> np.ndarray:
    """The gradient's norm over its lowest so far, both over about three steps."""
    trend = followed(row["norms"], 0.7)
    return trend / np.minimum.accumulate(trend)


def norm_spike(row: Row) -> np.ndarray:
    """The gradient's norm over its mean of about fifty steps before."""
    norms = np.asarray(row["norms"])
    return norms / np.r_[norms[:1], followed(norms, 0.98)[:-1]]


def loss_trend(row: Row) -> np.ndarray:
    """The loss over its lowest so far, both over about three steps."""
    trend = followed(row["losses"], 0.7)
    return trend / np.minimum.accumulate(trend)


def loss_spike(row: Row) -> np.ndarray:
    """How many standard deviations the loss is above its mean, both over about fifty steps before."""
    mean, square, found = row["losses"][0], 0.0, []
    for step, loss in enumerate(row["losses"]):
        found.append((loss - mean) / math.sqrt(square) if step >= 10 and square > 0 else 0.0)
        weight = 1 / min(step + 1, 50)
        square = (1 - weight) * (square + weight * (loss - mean) ** 2)
        mean += weight * (loss - mean)
    return np.asarray(found)


SCORES: dict[str, Score] = {
    **{f"edge, every {every}": edge(every) for every in runs.CADENCES},
    "edge along the gradient, every 200": edge(200, "along"),
    "norm over its lowest": norm_trend,
    "norm over its mean": norm_spike,
    "loss over its lowest": loss_trend,
    "loss, deviations": loss_spike,
}
RULES: dict[str, tuple[str, ...]] = {
    **{f"norm over its lowest, or edge, every {n}": ("norm over its lowest", f"edge, every {n}") for n in runs.CADENCES},
    **{name: (name,) for name in SCORES},
}
"""A rule of two numbers warns where either is beyond its threshold; they share the false alarms."""


def events(score: np.ndarray) -> list[list[float]]:
    """[step, largest number so far] where it grows; what is infinite is 1e30, what has no number is not seen."""
    found: list[list[float]] = []
    for step, value in enumerate(np.nan_to_num(score, nan=-1.0, posinf=1e30)):
        if value > 0 and (not found or value > THIN * found[-1][1]):
            found.append([step, float(f"{value:.4g}")])
    return found


def rows(config: dict[str, Any]) -> Iterator[Row]:
    """What a training was, how it went, and what each rule saw of it."""
    import torch

    torch.set_num_threads(1)
    for row in runs.rows(Path(config["folder"]), config["rounds"], config["most"]):
        moment = runs.moment(row)
        kept = {name: row[name] for name in ("network", "optimizer", "shape", "peak", "seed", "seconds", "spent")}
        looks = {every: len(of) for every, of in row["looks"].items()}
        seen = {name: events(score(row)) for name, score in SCORES.items()}
        yield {
            **kept,
            "looks": looks,
            "steps": len(row["losses"]),
            "moment": moment,
            "well": runs.goes_well(row),
            "seen": seen,
        }


def highest(row: Row, score: str) -> float:
    """The largest number of a score over the whole training."""
    return row["seen"][score][-1][1] if row["seen"][score] else 0.0


def threshold(good: Sequence[Row], score: str, share: float) -> float:
    """The lowest that at most a share of the trainings that go well pass."""
    return sorted(highest(row, score) for row in good)[max(0, math.ceil(len(good) * (1 - share)) - 1)]


def warned(row: Row, bounds: dict[str, float]) -> int | None:
    """The step of the first warning."""
    steps = [int(step) for name, bound in bounds.items() for step, value in row["seen"][name] if value > bound]
    return min(steps, default=None)


def later(all_rows: Sequence[Row]) -> list[Row]:
    """Trainings that diverge, but not soon."""
    return [row for row in all_rows if row["moment"] is not None and row["moment"] >= SOON]


def judged(all_rows: Sequence[Row], rule: str, share: float = FALSE_ALARMS) -> list[tuple[Row, int | None, bool]]:
    """(training, lead, whether warned of) under thresholds of all other networks with the same kind of optimizer."""
    scores, found = RULES[rule], []
    for network, kind in dict.fromkeys((row["network"], row["optimizer"]) for row in all_rows):
        good = [r for r in all_rows if r["well"] and r["network"] != network and r["optimizer"] == kind]
        bounds = {name: threshold(good, name, share / len(scores)) for name in scores}
        for row in all_rows:
            if (row["network"], row["optimizer"]) == (network, kind):
                step = warned(row, bounds)
                lead = None if step is None or row["moment"] is None else int(row["moment"]) - step
                found.append((row, lead, step is not None))
    return found


def verdict(all_rows: Sequence[Row], rule: str, share: float = FALSE_ALARMS) -> dict[str, float]:
    """Share of later divergences with a lead of LEAD, the median lead of all, and the share of false alarms."""
    some = judged(all_rows, rule, share)
    late = later(all_rows)
    leads = [max(lead or 0, 0) for row, lead, _ in some if row in late]
    false = [alarm for row, _, alarm in some if row["well"]]
    told = {"caught": np.mean(np.asarray(leads) >= LEAD), "lead": np.median(leads), "false": np.mean(false)}
    return {name: float(value) for name, value in told.items()}


def summary(all_rows: list[Row], table: Callable[[list[str], list[list[Any]]], str]) -> str:
    """The record's text."""
    late, well = later(all_rows), [row for row in all_rows if row["well"]]
    soon = sum(row["moment"] is not None for row in all_rows) - len(late)
    kinds = sorted({row["optimizer"] for row in all_rows})
    neither = len(all_rows) - len(late) - soon - len(well)
    head = (
        f"{len(all_rows)} trainings of {len(runs.NETWORKS)} networks x {', '.join(kinds)}, {runs.STEPS} steps each. "
        f"{len(late)} diverge later: the mean of five losses rises beyond {runs.RISEN} times that of the untrained network, "
        f"at step {SOON} or after. {len(well)} go well: they never do, and end below {runs.WELL} of it. {soon} that diverge "
        f"sooner and {neither} that do neither are left out. Thresholds are those that {FALSE_ALARMS:.0%} of the trainings "
        "of all other networks that go well pass, one for each kind of optimizer. "
        f"Target: a lead of {LEAD} steps in 70 % at 5 % false alarms."
    )
    lines = []
    for rule in RULES:
        told = verdict(all_rows, rule)
        own = [verdict([r for r in all_rows if r["optimizer"] == kind], rule)["caught"] for kind in kinds]
        met = "met" if told["caught"] >= 0.7 and told["false"] <= FALSE_ALARMS else "**missed**"
        lines.append(
            [
                rule,
                f"**{told['caught']:.0%}**",
                *(f"{c:.0%}" for c in own),
                f"{told['lead']:.0f}",
                f"{told['false']:.1%}",
                met,
            ]
        )
    header = ["rule", f"lead >= {LEAD}", *kinds, "median lead", "false alarms", "target"]
    parts = [head, table(header, lines), _by_network(all_rows, table), _cost(all_rows, table), _bounds(well, kinds, table)]
    return "\n\n".join([*parts, "![frontier](frontier.svg)"])


def _by_network(all_rows: list[Row], table: Callable[[list[str], list[list[Any]]], str]) -> str:
    """Where each rule wins and loses."""
    names = ["norm over its lowest", "edge, every 200", "norm over its mean", "loss over its lowest"]
    late, found = later(all_rows), {rule: judged(all_rows, rule) for rule in names}
    lines = []
    for network in runs.NETWORKS:
        own = [row for row in late if row["network"] == network]
        hits = lambda some: sum((lead or 0) >= LEAD for row, lead, _ in some if row in own)  # noqa: B023
        lines.append([network, len(own), *(hits(found[rule]) for rule in names)])
    header = ["network", "diverge later", *names]
    return f"Divergences, and how many were warned of {LEAD} steps before:\n\n{table(header, lines)}"


def _cost(all_rows: list[Row], table: Callable[[list[str], list[list[Any]]], str]) -> str:
    """CPU time of looks in that of the training."""
    seconds = sum(row["seconds"] for row in all_rows)
    lines = []
    for every in map(str, runs.CADENCES):
        spent, looks = (sum(row[what][every] for row in all_rows) for what in ("spent", "looks"))
        step = seconds / sum(row["steps"] for row in all_rows)
        looks_a_run = looks / len(all_rows)
        lines.append([every, f"{looks_a_run:.1f}", f"{spent / looks / step:.1f}", f"{spent / seconds:.0%}"])
    text = "A look is one pass, one product along the gradient and four with the Hessian, on 128 samples; a step is on 32."
    return f"{text}\n\n{table(['at most every', 'looks a training', 'a look, in steps', 'CPU time more'], lines)}"


def _bounds(well: list[Row], kinds: list[str], table: Callable[[list[str], list[list[Any]]], str]) -> str:
    """Thresholds over all networks, which is what ships."""
    of = lambda kind: [row for row in well if row["optimizer"] == kind]
    lines = [[name, *(f"{threshold(of(kind), name, FALSE_ALARMS):.3g}" for kind in kinds)] for name in SCORES]
    return f"Thresholds over all networks:\n\n{table(['number', *kinds], lines)}"


def draw(record: Path) -> None:
    """The frontier of each rule: leads against false alarms, as the share allowed on other networks goes from 0 to 20 %."""
    import altair as alt
    import vl_convert

    all_rows = [json.loads(line) for line in (record / "results.jsonl").read_text().splitlines()]
    points = [
        {"rule": rule, "allowed": share, **verdict(all_rows, rule, share)}
        for rule in SCORES
        for share in (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
    ]
    x = alt.X("false:Q", axis=alt.Axis(format="%"), title="false alarms, on networks held out")
    y = alt.Y(
        "caught:Q",
        axis=alt.Axis(format="%"),
        title=f"divergences warned of {LEAD} steps before",
        scale=alt.Scale(domain=[0, 1]),
    )
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=True)
        .encode(x=x, y=y, color=alt.Color("rule:N", title=None), order="allowed:Q")
    )
    goal = alt.Chart(alt.Data(values=[{"false": FALSE_ALARMS, "caught": 0.7}])).mark_point(
        shape="cross", size=200, color="black"
    )
    whole = (chart + goal.encode(x=x, y=y)).properties(width=520, height=340, title="Early warning; the cross is the target")
    (record / "frontier.svg").write_text(vl_convert.vegalite_to_svg(whole.to_dict()))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
