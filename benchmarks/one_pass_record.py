"""What the rows of one-pass tasks say, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.one_pass_scores import FALLING, LAWS, RISING, Row
from etastar.laws.curves.fading_noise import FadingNoise


def ratio_interval(found: Sequence[Row], task: str, key: int, schedules: Sequence[str]) -> tuple[str, float, float, float]:
    """The better other law, and fading noise's mean error over its: median and 95 % interval over seeds and schedules."""
    drawn = [r for r in found if r["kind"] == "drawn" and r["task"] == task]
    errors = {
        law: np.array([[r["errors"][s][key] for s in schedules] for r in drawn if r["law"] == law])
        for law in dict.fromkeys(r["law"] for r in drawn)
    }
    mine = errors.pop(FadingNoise.name)
    other = min(errors, key=lambda law: errors[law].mean())
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(4000):
        draw, chosen = rng.integers(len(mine)), rng.integers(0, len(schedules), len(schedules))
        ratios.append(mine[draw, chosen].mean() / errors[other][draw, chosen].mean())
    low, middle, high = np.quantile(ratios, [0.025, 0.5, 0.975])
    return other, float(middle), float(low), float(high)


def summary(found: list[Row], table) -> str:
    """All tables."""
    return "\n\n".join(part(found, table) for part in (_scores, _each, _ratios, _cuts, _now, _extensions, _few))


def _of(found: Sequence[Row], kind: str) -> list[Row]:
    return [r for r in found if r["kind"] == kind]


def _tasks(found: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r["task"] for r in found))


def _scores(found: list[Row], table) -> str:
    lines = []
    for task in _tasks(found):
        for law in (kind.name for kind in LAWS):
            for label, names in (("all", FALLING | RISING), ("falling", FALLING), ("rising", RISING)):
                some = [r for r in _of(found, "score") if (r["task"], r["law"]) == (task, law) and r["schedule"] in names]
                answered = sum(r["answered"] for r in some)
                ends = [r["end_inside"] for r in some if r["answered"]]
                lines.append([
                    task, law, f"{label} ({len(some)})", *(f"{np.mean([r[k] for r in some]):.4f}" for k in ("mae", "end")),
                    f"{np.mean([r['relative'] for r in some]):.2%}", f"{max(r['relative'] for r in some):.2%}",
                    f"{sum(r['inside'] for r in some) / answered:.0%}" if answered else "-",
                    f"{sum(ends)}/{len(ends)}",
                ])  # fmt: skip
    header = [
        "task",
        "law",
        "schedules",
        "MAE",
        "error at the end",
        "relative",
        "worst",
        "losses inside 90 %",
        "ends inside",
    ]
    return "Schedules that were never fitted (values of laws that would refuse are scored, too):\n\n" + table(header, lines)


def _each(found: list[Row], table) -> str:
    value = {(r["task"], r["law"], r["schedule"]): r["relative"] for r in _of(found, "score")}
    lines = [
        [task, s, *(f"{value[task, law.name, s]:.2%}" for law in LAWS)] for task in _tasks(found) for s in FALLING | RISING
    ]
    return "Error at the end, relative:\n\n" + table(["task", "schedule", *(law.name for law in LAWS)], lines)


def _ratios(found: list[Row], table) -> str:
    lines = []
    for task in _tasks(found):
        for label, names in (("all", [*FALLING, *RISING]), ("falling", [*FALLING])):
            for what, key in (("end", 1), ("MAE", 0)):
                other, middle, low, high = ratio_interval(found, task, key, names)
                lines.append([task, label, what, other, f"{middle:.2f} [{low:.2f}, {high:.2f}]"])
    text = "Fading noise over the better other law (bootstrap over seeds, with refits, and schedules; 95 %):\n\n"
    return text + table(["task", "schedules", "error", "law", "ratio"], lines)


def _cuts(found: list[Row], table) -> str:
    lines = []
    for r in _of(found, "cut"):
        said = [f"{r[k]:.4f}" for k in ("mae", "blind", "same_gain")] if "mae" in r else ["refused", "-", "-"]
        inside = f"{r['inside'] / r['answered']:.0%}" if "mae" in r else "-"
        lines.append([r["task"], r["log"], r["cut"], f"{r['answered']}/{r['points']}", *said, inside])
    header = ["task", "log", "known", "answered", "MAE", "blind law's", "same gain's", "inside 90 %"]
    return "One log cut short:\n\n" + table(header, lines)


def _now(found: list[Row], table) -> str:
    said = lambda r: "refused" if r["relative"] is None else f"{r['relative']:+.2%}"
    lines = [[r["task"], r["at"], r["law"], said(r), "yes" if r["inside"] else "no"] for r in _of(found, "now")]
    text = "A cooldown started now, from the constant run so far and a branch at half of the horizon:\n\n"
    return text + table(["task", "asked at", "law", "error at its end", "inside 90 %"], lines)


def _extensions(found: list[Row], table) -> str:
    lines = []
    for r in _of(found, "extension"):
        against = f"{r['relative']:+.2%} +- {r['sem']:.2%}"
        lines.append([r["task"], r["way"], f"{r['lr']:g}", f"{r['best'][0]} at {r['best'][1]:g} x", against])
    text = "Half of the horizon extended to the whole, against the best of twelve retuned runs (3 shapes, 4 peaks):\n\n"
    return text + table(["task", "way", "peak of the short run", "best retuned", "loss against it"], lines)


def _few(found: list[Row], table) -> str:
    lines = []
    for r in _of(found, "evaluations"):
        error = "-" if r["relative"] is None else f"{r['relative']:.2%}"
        lines.append([r["task"], r["way"], error, f"{r['refused']}/{r['seeds']}"])
    text = "One seed, ten evaluations a log, schedules that fall: error of the evaluation loss at the end:\n\n"
    return text + table(["task", "fitted to", "relative error", "seeds refused"], lines)
