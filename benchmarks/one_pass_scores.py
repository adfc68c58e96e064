"""Laws of loss curves on one-pass tasks of our own: schedules never fitted, logs cut short, cooldowns from now, extensions.

The order is the rule: the peak is chosen and three schedules are trained and fitted first; what is scored is trained after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.one_pass import FOLDERS, Run, Trained
from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.constant_rate import law_of
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.fading_noise import FadingNoise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.same_gain import SameGain
from etastar.laws.curves.schaipp2025convex import longer_cooldown
from etastar.laws.curves.tissue2024momentum import MomentumLaw
from etastar.policies.compose import Then, Times, squeezed
from etastar.policies.named import policy_over
from etastar.policies.policy import Constant, Policy
from etastar.policies.schedule import Schedule

Row = dict[str, Any]
LAWS: tuple[type[CurveLaw], ...] = (FadingNoise, MultiPowerLaw, MomentumLaw, BlindPower)
FITTED: dict[str, str | Policy] = {
    "cosine": "cosine",
    "constant": "constant",
    "two stages, .3": Then(Constant(), 0.5, Times(Constant(), 0.3)),
}
FALLING: dict[str, str | Policy] = {
    "linear": "linear",
    "polynomial": "polynomial",
    "wsd, .2": "wsd",
    "wsd, .5": "wsd:decay=0.5",
    "wsd, .2 sqrt": "wsd:curve=sqrt",
    "two stages, .1": Then(Constant(), 0.7, Times(Constant(), 0.1)),
    "exponential": "exponential",
    "steps": "step-decay",
    "warm-up, cosine to .1": "warmup-cosine:floor=0.1",
}
RISING: dict[str, str | Policy] = {
    "restarts": "cosine-restarts",
    "triangles": "triangular",
    "shrinking triangles": "triangular2",
    "one cycle": "one-cycle",
}
"""Rates that rise after the warm-up; one cycle rises over a third."""
CUTS = (0.25, 0.5, 0.75)
CUT = {"cosine": "cosine", "linear": "linear", "wsd, .5": "wsd:decay=0.5"}
BRANCH = 0.1
"""Share of the steps so far over which a cooldown started now goes."""
NOW = (0.6, 0.75, 0.9)
"""Points asked about, of the horizon; the branch that was measured is at half of it."""
RETUNED = {"wsd, .2": Schedule(decay=0.2, curve="linear"), "linear": "linear", "cosine": "cosine"}
RATIOS = (0.35, 0.5, 0.7, 1.0)
"""Peaks of the retuned runs of twice the steps, over the peak of the short ones."""


def rows(config: dict[str, Any]) -> Iterator[Row]:
    """All of one task, then of the next."""
    for name in config["tasks"]:
        folder = f"{config['folder']}/{FOLDERS[name]}" if name in FOLDERS else ""
        trained = Trained(name, folder, config["store"], config["seeds"])
        yield from _schedules(trained, config["draws"])
        yield from _cuts(trained)
        yield from _extension(trained)


def over(spec: str | Policy, steps: int) -> Policy:
    """A schedule over so many steps."""
    return policy_over(spec, steps) if isinstance(spec, str) else squeezed(spec, steps)


def best(trained: Trained, spec: str | Policy, steps: int, rates: Sequence[float]) -> Run:
    """The peak with the least mean loss at the end of this schedule."""
    runs = [Run(lr, over(spec, steps), steps) for lr in rates]
    trained.train(runs)
    ends = [float(np.mean(trained.end(run))) for run in runs]
    return runs[int(np.nanargmin(ends))]


def _schedules(trained: Trained, draws: int) -> Iterator[Row]:
    steps = trained.task.problem.steps
    lr = best(trained, "cosine", steps, trained.task.rates).lr
    run = lambda spec: Run(lr, over(spec, steps), steps)
    fitted = {name: run(spec) for name, spec in FITTED.items()}
    trained.train(fitted.values())
    curves = [trained.curve(r, name) for name, r in fitted.items()]
    laws = [law.fit(curves) for law in LAWS]
    for law in laws:
        yield {"kind": "fit", "task": trained.name, "lr": lr, "law": law.name, "rms": law.rms, **law.exponents}
    held = {name: run(spec) for name, spec in (FALLING | RISING).items()}
    trained.train(held.values())
    for law in laws:
        for name, r in held.items():
            yield _scored(trained.name, law, trained.curve(r, name))
    rng = np.random.default_rng(0)
    for draw in range(draws):
        seeds = rng.integers(0, trained.seeds, trained.seeds).tolist()
        drawn = [trained.curve(r, name, seeds) for name, r in fitted.items()]
        for kind in LAWS[:3]:
            law = kind.fit(drawn)
            errors = {name: _errors(law, trained.curve(r, name, seeds)) for name, r in held.items()}
            yield {"kind": "drawn", "task": trained.name, "law": law.name, "draw": draw, "errors": errors}


def _errors(law: CurveLaw, curve: Curve) -> tuple[float, float, float]:
    """Mean |error|, |mean error| of the last three losses, and the latter relative."""
    curve = curve.fitted
    off = law.values(curve.rates, curve.steps) - curve.losses
    end = abs(float(off[-3:].mean()))
    return float(np.abs(off).mean()), end, end / float(curve.losses[-3:].mean())


def _scored(task: str, law: CurveLaw, curve: Curve) -> Row:
    mae, end, relative = _errors(law, curve)
    found, measured = law.predict(curve.rates, curve.fitted.steps), curve.fitted.losses
    low, high = found.column("low"), found.column("high")
    known = ~np.isnan(low)
    return {
        "kind": "score", "task": task, "law": law.name, "schedule": curve.name, "mae": mae, "end": end,
        "relative": relative, "points": len(known), "answered": int(known.sum()),
        "inside": int(((low <= measured) & (measured <= high))[known].sum()),
        "end_inside": bool(low[-1] <= measured[-1] <= high[-1]), "width": float(np.mean((high - low)[known]))
        if known.any() else None,
    }  # fmt: skip


def _cuts(trained: Trained) -> Iterator[Row]:
    """One log known in part; and a cooldown from now, where a branch was measured at half of the horizon."""
    steps = trained.task.problem.steps
    lr = best(trained, "cosine", steps, trained.task.rates).lr
    for name, spec in CUT.items():
        run = Run(lr, over(spec, steps), steps)
        trained.train([run])
        whole = trained.curve(run, name)
        for cut in CUTS:
            yield {"task": trained.name} | cut_row(whole, cut)
    cooled = lambda at: Run(
        lr, Schedule(decay=BRANCH / (1 + BRANCH)).over(round((1 + BRANCH) * at)), round((1 + BRANCH) * at)
    )
    constant, branch = Run(lr, Constant(), steps), cooled(steps // 2)
    asked = {share: cooled(round(share * steps)) for share in NOW}
    trained.train([constant, branch, *asked.values()])
    for share, run in asked.items():
        known = [trained.curve(constant, "constant").until(round(share * steps)), trained.curve(branch, "branch")]
        curve = trained.curve(run, "now")
        for kind in (FadingNoise, MultiPowerLaw, MomentumLaw, SameGain):
            end = kind.fit(known).predict(curve.rates, [curve.steps[-1]]).end
            off = None if end.value is None else end.value / float(curve.losses[-1]) - 1
            inside = end.low is not None and end.high is not None and bool(end.low <= curve.losses[-1] <= end.high)
            yield {"kind": "now", "task": trained.name, "law": kind.name, "at": share, "relative": off, "inside": inside}


def cut_row(whole: Curve, cut: float) -> Row:
    """A log of which a share is known: the default law, the blind one and the same gain on what follows."""
    known = whole.until(int(cut * whole.steps[-1]))
    rest = whole.at(whole.steps > known.steps[-1])
    law = law_of([known])
    found = law.predict(whole.rates, rest.steps)
    value, low, high = (found.column(key) for key in ("value", "low", "high"))
    there = ~np.isnan(value)
    own: Row = {"kind": "cut", "log": whole.name, "cut": cut, "points": len(there), "answered": int(there.sum())}
    if not there.any():
        return own
    losses = rest.losses[there]
    off = lambda kind: float(np.abs(kind.fit([known]).values(whole.rates, rest.steps[there]) - losses).mean())
    return own | {
        "mae": float(np.abs(value[there] - losses).mean()), "blind": off(BlindPower), "same_gain": off(SameGain),
        "inside": int(((low <= rest.losses) & (rest.losses <= high))[there].sum()),
    }  # fmt: skip


def _extension(trained: Trained) -> Iterator[Row]:
    """A run of half the horizon whose peak was chosen there, taken to the whole of it, against runs tuned for that."""
    steps = trained.task.problem.steps
    short = best(trained, RETUNED["wsd, .2"], steps // 2, trained.task.rates)
    ways = {
        "longer cooldown": Run(short.lr, Schedule(decay=longer_cooldown(2.0)).over(steps), steps),
        "plain cooldown": Run(short.lr, over(RETUNED["wsd, .2"], steps), steps),
    }
    retuned = {(s, x): Run(x * short.lr, over(spec, steps), steps) for s, spec in RETUNED.items() for x in RATIOS}
    trained.train([*ways.values(), *retuned.values()])
    least = min(retuned, key=lambda key: float(np.nan_to_num(trained.end(retuned[key]).mean(), nan=np.inf)))
    for way, run in ways.items():
        ratio = trained.end(run) / trained.end(retuned[least]) - 1
        yield {
            "kind": "extension", "task": trained.name, "way": way, "lr": short.lr, "best": list(least),
            "relative": float(ratio.mean()), "sem": float(ratio.std(ddof=1) / len(ratio) ** 0.5),
        }  # fmt: skip


# -- the record ---------------------------------------------------------------------------------------------------------


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
    return "\n\n".join(part(found, table) for part in (_scores, _each, _ratios, _cut_table, _now_table, _extensions))


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


def _cut_table(found: list[Row], table) -> str:
    lines = []
    for r in _of(found, "cut"):
        said = [f"{r[k]:.4f}" for k in ("mae", "blind", "same_gain")] if "mae" in r else ["refused", "-", "-"]
        inside = f"{r['inside'] / r['answered']:.0%}" if "mae" in r else "-"
        lines.append([r["task"], r["log"], r["cut"], f"{r['answered']}/{r['points']}", *said, inside])
    header = ["task", "log", "known", "answered", "MAE", "blind law's", "same gain's", "inside 90 %"]
    return "One log cut short:\n\n" + table(header, lines)


def _now_table(found: list[Row], table) -> str:
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
