"""Laws of loss curves on schedules they were not fitted to: public curves of language models (25M, 100M, 124M)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks.curves_data import PEAKS, TEST, TRAIN, WARMUP, read, tested_124m, trained_124m
from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.constant_rate import ConstantRate
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.fading_noise import FadingNoise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.schaipp2025convex import ConvexBound
from etastar.laws.curves.tissue2024momentum import MomentumLaw

Row = dict[str, Any]
LAWS: tuple[type[CurveLaw], ...] = (FadingNoise, MultiPowerLaw, MomentumLaw, ConvexBound, BlindPower)
FEWER = {
    "cosine, two stages": ("cosine_24000", "wsdcon_9"),
    "constant, two stages": ("constant_24000", "wsdcon_9"),
    "cosine, constant": ("cosine_24000", "constant_24000"),
    "cosine": ("cosine_24000",),
}
STARTS = 6
SHARED = ("C", "kappa", "p")
"""Exponents that one size lends another; d is given everywhere, alpha is each one's own."""
PUBLISHED_25M = {"L0": 3.040, "A": 0.525, "alpha": 0.508, "B": 364.0, "C": 2.07, "beta": 0.583, "gamma": 0.641}
"""Of the multi-power law, by its authors, from the same three curves (rates in their own unit, with the warm-up's rise)."""
LENDERS = ("25M", "100M", "124M 0.001")
CUTS = (0.25, 0.5, 0.75)
DRAWS = 2000


def fitted(folder: Path, name: str) -> list[Curve]:
    """The three curves fitted, of a size or of a size and a peak."""
    return trained_124m(folder, name[5:]) if name.startswith("124M ") else [read(folder, name, run) for run in TRAIN]


def tested(folder: Path, name: str) -> list[Curve]:
    return tested_124m(folder, name[5:]) if name.startswith("124M ") else [read(folder, name, run) for run in TEST]


def rows(config: dict[str, Any]) -> Iterator[Row]:
    folder = Path(config["folder"])
    sets = ("25M", "100M", *(f"124M {peak}" for peak in PEAKS))
    for name in sets:
        train, test = fitted(folder, name), tested(folder, name)
        for law in LAWS:
            yield from scored(name, "three curves", law, train, test)
        if name == "25M":
            yield from (score(name, "three curves", "multi-power law, as published", c, published(c)) for c in test)
        for lender in LENDERS:
            if lender.split()[0] != name.split()[0]:
                lent = {k: x for k, x in FadingNoise.fit(fitted(folder, lender)).exponents.items() if k in SHARED}
                yield from scored(
                    name, f"three curves, {', '.join(SHARED)} from {lender}", FadingNoise, train, test, given=lent
                )
        fewer = FEWER if name in ("25M", "100M") else {"cosine, wsd": (0, 2), "constant, wsd": (1, 2)}
        for label, chosen in fewer.items():
            some = [c for i, c in enumerate(train) if c.name in chosen or i in chosen]
            for law in LAWS[:3]:
                yield from scored(name, label, law, some, test)
    law = FadingNoise.fit(fitted(folder, "124M 0.001"))
    for peak in ("0.0005", "0.002"):
        for c in tested(folder, f"124M {peak}"):
            yield interval(score(f"124M {peak}", "fitted at 0.001", law.name, c, law.values(c.rates, c.steps)), law, c)
    yield from floor(folder)
    yield from cuts(folder)


def scored(
    name: str, train: str, kind: type[CurveLaw], curves: Sequence[Curve], test: Sequence[Curve], **given
) -> Iterator[Row]:
    """One row for the fit, one for each curve tested."""
    started = time.process_time()
    law = kind.fit(curves, starts=STARTS, **given)
    seconds, started = time.process_time() - started, time.process_time()
    _ = law.refits
    assert law.found is not None
    costs = law.found.costs
    yield {
        "kind": "fit", "set": name, "train": train, "law": law.name, "cpu_seconds": seconds,
        "cpu_seconds_intervals": time.process_time() - started, "worst_start": max(costs) / min(costs) - 1,
        "exponents": law.exponents, "coefficients": law.coefficients.tolist(), "rms": law.rms,
    }  # fmt: skip
    for c in test:
        yield interval(score(name, train, law.name, c, law.values(c.rates, c.steps)), law, c)


def score(name: str, train: str, law: str, curve: Curve, values: np.ndarray) -> Row:
    """Errors of these values on a curve, past its warm-up and first share (25M and 100M: all that is published)."""
    kept = curve.steps >= (curve.first if name.startswith("124M") else WARMUP[name])
    off, losses = values[kept] - curve.losses[kept], curve.losses[kept]
    return {
        "kind": "score", "set": name, "train": train, "law": law, "curve": curve.name,
        "mae": float(np.abs(off).mean()), "final": float(np.abs(off[-3:]).mean()),
        "final_bias": float(off[-3:].mean()), "worst": float(np.abs(off / losses).max()),
    }  # fmt: skip


def interval(row: Row, law: CurveLaw, curve: Curve) -> Row:
    """The row, with what of the curve lies in its intervals."""
    found = law.predict(curve.rates, curve.steps)
    low, high = found.column("low"), found.column("high")
    known = ~np.isnan(low)
    inside = ((low <= curve.losses) & (curve.losses <= high))[known]
    own = {"points": len(known), "answered": int(known.sum())}
    if not known.any():
        return row | own
    return row | own | {
        "inside": int(inside.sum()), "whole": bool(inside.mean() >= 0.9), "end_inside": bool(inside[-1]),
        "width": float((high - low)[known].mean()),
    }  # fmt: skip


def published(curve: Curve) -> np.ndarray:
    """The multi-power law of 25M by its authors, as their code has it: over every update, the warm-up's rise a gain < 0."""
    p, rates = PUBLISHED_25M, curve.rates
    falls = np.concatenate([[0.0], rates[:-1] - rates[1:]])
    moved = np.flatnonzero(falls)
    total = np.concatenate([[0.0], np.cumsum(rates)])
    found = []
    for step in curve.steps:
        k = moved[moved < step]
        x = rates[k] ** -p["gamma"] * (total[step] - total[k])
        gain = float(np.sum(falls[k] * (1 - (1 + p["C"] * x) ** -p["beta"])))
        found.append(p["L0"] + p["A"] * total[step] ** -p["alpha"] - p["B"] * gain)
    return np.array(found)


def floor(folder: Path) -> Iterator[Row]:
    """Two runs at the same constant rate, where both were measured: what no law can be better than."""
    for size in ("25M", "100M"):
        short, long = (read(folder, size, name) for name in ("constant_24000", "constant_72000"))
        shared, a, b = np.intersect1d(short.steps, long.steps, return_indices=True)
        off = np.abs(short.losses[a] - long.losses[b])
        half = len(shared) // 2
        yield {
            "kind": "floor",
            "set": size,
            "mae": float(off.mean()),
            "first": float(off[:5].max()),
            "later": float(off[half:].mean()),
        }


def cuts(folder: Path) -> Iterator[Row]:
    """One log, of which a share is known; the rest is forecast."""
    small = [*TRAIN[:2], "cosine_72000", "constant_72000", "wsd_20000_24000", "wsdld_20000_24000"]
    runs = [(size, name) for size in ("25M", "100M") for name in small]
    kinds = ("cos-10-124m", "cos-zero-124m", "stable-124m", "ann124-0.9", "ann124-0.2")
    runs += [("124M", f"{kind}_lr{peak}_T50000") for peak in PEAKS for kind in kinds]
    for (size, name), cut in ((run, cut) for run in runs for cut in CUTS):
        whole = read(folder, size, name)
        if whole.steps[0] > cut * whole.steps[-1]:
            continue  # the file begins where its cooldown forks
        known = whole.until(int(cut * whole.steps[-1]))
        rest = whole.at(whole.steps > known.steps[-1])
        law = (ConstantRate if known.constant else FadingNoise).fit([known])
        found = law.predict(whole.rates, rest.steps).column("value")
        there = ~np.isnan(found)
        own = {
            "kind": "cut",
            "set": size,
            "law": law.name,
            "curve": name,
            "cut": cut,
            "points": len(there),
            "answered": int(there.sum()),
        }
        if not there.any():
            yield own
            continue
        answered = rest.at(there)
        blind = BlindPower.fit([known]).values(whole.rates, answered.steps)
        row = interval(own, law, rest)
        yield row | {
            "mae": float(np.abs(found[there] - answered.losses).mean()),
            "blind": float(np.abs(blind - answered.losses).mean()),
            "last": float(known.losses[-1] - answered.losses[-1]), "end_answered": bool(there[-1]),
        }  # fmt: skip


# -- the record ---------------------------------------------------------------------------------------------------------


def exact(k: int, n: int) -> str:
    """k of n, with the 95 % Clopper-Pearson interval of the share."""
    if not n:
        return "-"
    ci = binomtest(k, n).proportion_ci(0.95, method="exact")
    return f"{k}/{n} ({ci.low:.0%} .. {ci.high:.0%})"


def ratio(mine: Sequence[Row], other: Sequence[Row], key: str) -> str:
    """Mean of one law's errors over another's, with the 95 % bootstrap interval over curves."""
    a, b = (np.array([r[key] for r in sorted(some, key=lambda r: r["curve"])]) for some in (mine, other))
    drawn = np.random.default_rng(0).integers(0, len(a), (DRAWS, len(a)))
    low, high = np.quantile(a[drawn].mean(axis=1) / b[drawn].mean(axis=1), [0.025, 0.975])
    return f"{a.mean() / b.mean():.2f} [{low:.2f}, {high:.2f}]"


AIM = 0.85
"""Of the losses of a set, by 90 % intervals, at least."""
CHOSEN = (
    "What the law lacks, how widely given exponents are drawn, the weights of back-tests for one constant run and what one "
    "run is refused were set after errors on these curves had been seen: coverage here is no test of them; `left_out` "
    "judges intervals without the set they are judged on. A further size was never touched."
)


def summary(rows: list[Row], table) -> str:
    scores, fits = [r for r in rows if r["kind"] == "score"], [r for r in rows if r["kind"] == "fit"]
    fit_of = {(r["set"], r["train"], r["law"]): r for r in fits}
    blocks: dict[tuple, list[Row]] = {}
    for r in scores:
        blocks.setdefault((r["set"], r["train"], r["law"]), []).append(r)
    mean = lambda some, key: float(np.mean([r[key] for r in some]))
    lines, missed = [], []
    for key, some in blocks.items():
        held, fit = [r for r in some if "inside" in r], fit_of.get(key)
        share = sum(r["inside"] for r in held) / max(sum(r["answered"] for r in held), 1)
        if key[1:] == ("three curves", FadingNoise.name) and share < AIM:
            missed.append(f"{key[0]} ({share:.0%} of the losses)")
        lines.append([
            *key, len(some), f"{mean(some, 'mae'):.4f}", f"{mean(some, 'final'):.4f}",
            f"{max(r['worst'] for r in some):.1%}", f"{share:.0%}" if held else "-",
            exact(sum(r["whole"] for r in held), len(held)),
            exact(sum(r["end_inside"] for r in held), len(held)), f"{mean(held, 'width'):.3f}" if held else "-",
            f"{fit['cpu_seconds']:.1f} + {fit['cpu_seconds_intervals']:.1f}" if fit else "-",
            f"{fit['worst_start']:.1%}" if fit else "-",
        ])  # fmt: skip
    header = [
        "curves", "fitted to", "law", "test curves", "MAE, nats", "error of the last 3", "worst", "losses inside 90 %",
        "curves with >= 90 % inside", "last losses inside", "mean width", f"CPU s, fit ({STARTS} starts) + intervals",
        "worst start above best",
    ]  # fmt: skip
    text = table(header, lines) + f"\n\nIntervals of fading noise that miss their aim, {AIM:.0%}: "
    text += f"{', '.join(missed) or 'none'}. {CHOSEN}"
    compared = []
    for name in dict.fromkeys(r["set"] for r in scores):
        mine = blocks[name, "three curves", FadingNoise.name]
        for law in (MultiPowerLaw.name, f"{MultiPowerLaw.name}, as published", MomentumLaw.name):
            if other := blocks.get((name, "three curves", law)):
                compared.append([name, law, ratio(mine, other, "mae"), ratio(mine, other, "final")])
    text += "\n\nFading noise over another law, three curves fitted (bootstrap over test curves):\n\n"
    text += table(["curves", "law", "MAE", "last 3"], compared)
    text += "\n\nTwo runs at the same constant rate (no law can be better than this):\n\n"
    floors = [[r["set"], *(f"{r[k]:.4f}" for k in ("mae", "first", "later"))] for r in rows if r["kind"] == "floor"]
    text += table(["curves", "mean difference", "largest of the first 5", "mean over the later half"], floors)
    return text + "\n\n" + cuts_summary([r for r in rows if r["kind"] == "cut"], table)


def cuts_summary(rows: list[Row], table) -> str:
    lines = []
    for r in rows:
        if "mae" not in r:
            lines.append([r["set"], r["curve"], r["cut"], r["law"], "refused", "-", "-", "-", "-", "-"])
            continue
        lines.append([
            r["set"], r["curve"], r["cut"], r["law"], f"{r['answered'] / r['points']:.0%}",
            f"{r['mae']:.4f}", f"{r['blind']:.4f}",
            f"{r['mae'] / r['blind']:.2f}", f"{r['inside'] / r['answered']:.0%}", f"{r['width']:.3f}",
        ])  # fmt: skip
    answered = [r for r in rows if "mae" in r]
    worse = [r for r in answered if r["mae"] > 1.1 * r["blind"]]
    inside, points = sum(r["inside"] for r in answered), sum(r["answered"] for r in answered)
    asked = sum(r["points"] for r in rows)
    header = ["curves", "log", "known", "law", "answered", "MAE", "blind law's", "ratio", "inside 90 %", "mean width"]
    return (
        f"One log cut: {exact(len(answered), len(rows))} forecasts answer, {points / asked:.0%} of all losses asked about; "
        f"{exact(len(worse), len(answered))} of them are more than 10 % worse than the blind power law "
        f"(by {max((r['mae'] - r['blind'] for r in worse), default=0):.4f} nats at most); "
        f"{inside / points:.0%} of the losses lie inside, curve by curve "
        f"{exact(sum(r['whole'] for r in answered), len(answered))} with at least 90 %.\n\n" + table(header, lines)
    )
