"""Laws of loss curves on one-pass tasks of our own: schedules never fitted, logs cut short, cooldowns from now, extensions.

The order is the rule: the peak is chosen and three schedules are trained and fitted first; what is scored is trained after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.one_pass import FOLDERS, LOOKS, Run, Trained
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
from etastar.verbs.forecast.measured_curve import measured

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
EVALUATIONS = 10
WAYS = {"evaluations alone": "val_loss", "training losses alone": "loss", "both, one offset": None}
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
        yield from _few_evaluations(trained)


def over(spec: str | Policy, steps: int) -> Policy:
    """A schedule over so many steps."""
    return policy_over(spec, steps) if isinstance(spec, str) else squeezed(spec, steps)


def best(trained: Trained, spec: str | Policy, steps: int, rates: Sequence[float]) -> Run:
    """The peak with the least mean loss at the end of this schedule."""
    runs = [Run(lr, over(spec, steps), steps) for lr in rates]
    trained.train(runs)
    ends = [float(np.mean(trained.end(run))) for run in runs]
    return runs[int(np.nanargmin(ends))]


def three_and_unseen(trained: Trained) -> tuple[list[Curve], list[Curve]]:
    """The curves that are fitted, and those that are scored, all at the peak that is best for the cosine."""
    fitted, held = _runs(trained)
    trained.train([*fitted.values(), *held.values()])
    curves = lambda runs: [trained.curve(run, name) for name, run in runs.items()]
    return curves(fitted), curves(held)


def _runs(trained: Trained) -> tuple[dict[str, Run], dict[str, Run]]:
    """By schedule: what is fitted, and what is scored."""
    steps = trained.task.problem.steps
    lr = best(trained, "cosine", steps, trained.task.rates).lr
    at = lambda specs: {name: Run(lr, over(spec, steps), steps) for name, spec in specs.items()}
    return at(FITTED), at(FALLING | RISING)


def _schedules(trained: Trained, draws: int) -> Iterator[Row]:
    fitted, held = _runs(trained)
    trained.train(fitted.values())
    curves = [trained.curve(r, name) for name, r in fitted.items()]
    laws = [law.fit(curves) for law in LAWS]
    for law in laws:
        yield {
            "kind": "fit",
            "task": trained.name,
            "lr": fitted["cosine"].lr,
            "law": law.name,
            "rms": law.rms,
            **law.exponents,
        }
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


def _few_evaluations(trained: Trained) -> Iterator[Row]:
    """One seed's logs with ten evaluations each: fitted to those, to the losses of batches, and to both with one offset."""
    fitted, held = _runs(trained)
    trained.train([*fitted.values(), *held.values()])
    for way, loss in WAYS.items():
        errors, refused = [], 0
        for seed in range(trained.seeds):
            logs = {name: trained.log(run, seed, LOOKS // EVALUATIONS) for name, run in fitted.items()}
            law = FadingNoise.fit([measured(log, name=name, loss=loss).curve for name, log in logs.items()])
            if law.refusal:
                refused += 1
                continue
            errors += [_errors(law, trained.curve(held[name], name, [seed]))[2] for name in FALLING]
        own = {"way": way, "refused": refused, "seeds": trained.seeds}
        yield {"kind": "evaluations", "task": trained.name, **own, "relative": float(np.mean(errors)) if errors else None}
