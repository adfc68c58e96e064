"""Best and maximal rate against depth at a fixed width, for plain, residual and normalised networks.

An argument often heard: a correction is counted once per layer, so the rate should fall as 1 / depth. One about activations
(Jelassi et al.) says depth^-3/2 for gradient descent. Both are tested against measured exponents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F

from etastar.core.problem import Problem
from etastar.designs.eta_star.eta_star import Precision
from etastar.laws.scaling.power_law import PowerLaw
from etastar.problems.optimizers import optimizer_factory
from etastar.problems.residual import DeepNetwork
from etastar.reports.parts import SectionText, Table
from etastar.studies.bench import Bench
from etastar.studies.charts import DataPoint, LogLog, loglog_chart
from etastar.studies.claim import Claim, Inside, Near
from etastar.studies.fits import SIZES, difference, exponent, law_of, measured, plain_law, rows_with
from etastar.studies.record import Row
from etastar.studies.study import Findings, Measurement, Setting, Study

WIDTH, STEPS, BATCH = 64, 150, 64
DEPTHS = {"quick": (2, 3, 4, 6), "full": (2, 4, 6, 8, 12, 16)}
KINDS = {"plain": (False, False), "residual": (True, False), "normalised": (False, True), "both": (True, True)}
"""name -> (residual connections, LayerNorm)."""
OPTIMIZERS = {"SGD": ("sgd:lr=0.1", 0.3), "Adam": ("adam:lr=0.001", 0.05)}
"""name -> (optimizer, share of eta* where the climb to the best rate starts)."""
PRECISION = Precision(half_width=0.15, max_runs=24, min_runs=12, batch=12, scan_seeds=1)
WIDEST = 0.6
ONCE, ACTIVATIONS = "a correction is counted once per layer", "the activations' change in one step"


def _power(name: str, statement: str, source: str, optimizer: str, quantity: str, rule: Inside | Near) -> Claim:
    region = f"plain networks of width {WIDTH}, {optimizer}"
    return Claim(name, statement, source, region, f"power of depth (hidden layers) in {quantity}", rule)


CLAIMS = (
    _power("SGD: the best rate falls", "Deeper networks prefer lower rates.", "common advice", "SGD", "the best rate",
           Inside(high=0.0)),
    _power("Adam: the best rate falls", "Deeper networks prefer lower rates.", "common advice", "Adam", "the best rate",
           Inside(high=0.0)),
    _power("SGD: best ~ 1/depth", "The best rate falls as 1 / depth.", ONCE, "SGD", "the best rate", Near(-1, -1, WIDEST)),
    _power("SGD: best ~ depth^-3/2", "The best rate falls as depth^-3/2.", ACTIVATIONS, "SGD", "the best rate",
           Near(-1.5, -1.5, WIDEST)),
    _power("SGD: eta* ~ 1/depth", "The maximal rate falls as 1 / depth.", ONCE, "SGD", "eta*", Near(-1, -1, WIDEST)),
    _power("SGD: eta* ~ depth^-3/2", "The maximal rate falls as depth^-3/2.", ACTIVATIONS, "SGD", "eta*",
           Near(-1.5, -1.5, WIDEST)),
    _power("Adam: best ~ 1/depth", "The best rate falls as 1 / depth.", ONCE, "Adam", "the best rate", Near(-1, -1, WIDEST)),
    _power("Adam: eta* ~ 1/depth", "The maximal rate falls as 1 / depth.", ONCE, "Adam", "eta*", Near(-1, -1, WIDEST)),
    Claim("residual connections help", "With residual connections the best rate depends less on depth.", "common advice",
          f"width {WIDTH}, SGD, He weights in every branch, no scaling of branches",
          "power of depth in the best rate with residual connections, minus without", Inside(low=0.0)),
    Claim("normalisation helps", "With normalisation the best rate depends less on depth.", "common advice",
          f"width {WIDTH}, SGD, LayerNorm before every ReLU", "power of depth in the best rate with it, minus without",
          Inside(low=0.0)),
    Claim("both help", "With residual connections and normalisation the best rate depends less on depth.", "common advice",
          f"width {WIDTH}, SGD", "power of depth in the best rate with both, minus with neither", Inside(low=0.0)),
)  # fmt: skip


def plan(setting: Setting) -> list[Measurement]:
    """eta* and best rate of every kind, optimizer and depth."""
    return [
        Measurement(
            {"kind": kind, "optimizer": optimizer, "depth": depth, "width": WIDTH, "steps": STEPS},
            partial(_row, setting, kind, optimizer, depth),
        )
        for kind in KINDS
        for optimizer in OPTIMIZERS
        for depth in DEPTHS[setting.effort]
    ]


def _row(setting: Setting, kind: str, optimizer: str, depth: int, bench: Bench) -> Row:
    residual, norm = KINDS[kind]
    spec, share = OPTIMIZERS[optimizer]
    inputs = setting.data.train[0].shape[1]
    problem = Problem(
        model=DeepNetwork(inputs, depth, WIDTH, setting.data.classes, residual=residual, norm=norm),
        optimizer=optimizer_factory(spec),
        loss=F.cross_entropy,
        train=setting.data.train,
        valid=setting.data.valid,
        batch_size=BATCH,
        steps=STEPS,
        accuracy_threshold=0.5,
        label=f"{kind} {depth}x{WIDTH}",
    )
    seed = setting.seed_of("deeper_prefers_lower", f"{kind} {optimizer} {depth}")
    row = bench.eta_star(problem, seeds=[seed], precision=PRECISION)
    start = share * row["eta_star"] if row["eta_star"] else 0.1 * share
    best = bench.best_rate(problem, start=start, seed=seed)
    costs = {name: row[name] + best[name] for name in ("lanes", "gradient_steps")}
    value = best["best"]["value"]
    said = [row["status"] if row["eta_star"] is None else f"eta* {row['eta_star']:.3g}"]
    said.append("no best rate" if value is None else f"best {value:.3g}")
    return {**row, **best, **costs, "said": ", ".join(said)}


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Exponents of depth by kind and optimizer, and their differences."""
    best = {(k, o): _best_law(rows_with(rows, kind=k, optimizer=o)) for k in KINDS for o in OPTIMIZERS}
    most = {
        (k, o): law_of(measured(rows, kind=k, optimizer=o), {"depth": SIZES["depth"]}) for k in KINDS for o in OPTIMIZERS
    }
    power = {key: exponent(law, "depth") for key, law in best.items()}
    star = {key: exponent(law, "depth") for key, law in most.items()}
    sgd, adam, unit = ("plain", "SGD"), ("plain", "Adam"), "exponent of depth"
    weaker = [difference(power[kind, "SGD"], power[sgd], unit) for kind in ("residual", "normalised", "both")]
    estimates = (power[sgd], power[adam], power[sgd], power[sgd], star[sgd], star[sgd], power[adam], star[adam], *weaker)
    conclusions = tuple(claim.judge(e) for claim, e in zip(CLAIMS, estimates, strict=True))
    numbers = [
        (f"{kind}, {optimizer}: {what}", found[kind, optimizer], f"power of depth in {of}")
        for kind in KINDS
        for optimizer in OPTIMIZERS
        for what, of, found in (("best", "the best rate", power), ("eta*", "eta*", star))
    ]
    layers = _best_law(rows_with(rows, kind="plain", optimizer="SGD"), extra=1)
    numbers.append(("plain, SGD: best, weight layers", exponent(layers, "depth"), "power of depth counted as weight layers"))
    return Findings(conclusions, tuple(numbers), (_member_table(rows),), SECTIONS, _charts(rows))


def _best_law(rows: Sequence[Row], extra: int = 0) -> PowerLaw | None:
    known = [row for row in rows if row["best"]["value"] is not None and "not-bracketed" not in row["best"]["flags"]]
    return plain_law({"depth": [row["depth"] + extra for row in known]}, [row["best"]["value"] for row in known])


def _member_table(rows: Sequence[Row]) -> Table:
    cells = tuple(
        (f"{r['kind']}, {r['optimizer']}, {r['depth']} layers", _eta(r), _text(r["best"]), _share(r)) for r in rows
    )
    return Table("Members", ("", "eta*, 90 %", "best rate, 90 %", "best / eta*"), cells)


def _eta(row: Row) -> str:
    if row["eta_star"] is None:
        return row["status"]
    return f"{row['eta_star']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


def _text(best: Row) -> str:
    if best["value"] is None:
        return best["status"]
    return f"{best['value']:.3g} ({best['low']:.3g} to {best['high']:.3g})"


def _share(row: Row) -> str:
    known = row["eta_star"] and row["best"]["value"]
    return f"{row['best']['value'] / row['eta_star']:.2g}" if known else "-"


def _charts(rows: Sequence[Row]) -> dict[str, object]:
    found: dict[str, object] = {}
    for optimizer in OPTIMIZERS:
        panels = []
        for title, get in (("best rate", lambda r: r["best"]), ("eta*", _as_best)):
            marks = [
                DataPoint(r["depth"], e["value"], r["kind"], f"{r['kind']}, {r['depth']} hidden layers", e["low"], e["high"])
                for r in rows_with(rows, optimizer=optimizer)
                if (e := get(r))["value"] is not None
            ]
            if len(marks) > 1:
                panels.append(LogLog(title, "hidden layers", title, marks))
        if panels:
            found[optimizer.lower()] = loglog_chart(panels, f"{optimizer}: rates against depth", "bars: 90 % intervals")
    return found


def _as_best(row: Row) -> Row:
    return {"value": row["eta_star"], "low": row["low"], "high": row["high"]}


SECTIONS = (
    SectionText(
        "Do deeper networks prefer lower rates?",
        f"Networks of width {WIDTH}; the best has the smallest validation loss after {STEPS} steps, eta* is the largest "
        "at which half of fresh networks start to train.",
        {"sgd": "Plain, residual, normalised, and both. Point at a dot for its member.", "adam": "The same with Adam."},
    ),
)

STUDY = Study(
    name="deeper_prefers_lower",
    title="Do deeper networks prefer lower rates?",
    question="How do the best and the maximal rate fall with depth at a fixed width, for SGD and Adam, with and without "
    "residual connections and normalisation; and is it once per layer?",
    source="Common advice and two arguments about it, tested on small networks; every number is ours.",
    claims=CLAIMS,
    declared={
        "network": f"bias-free, width {WIDTH}, He weights, cross-entropy; residual branches are not scaled by depth",
        "protocol": f"batches of {BATCH}, {STEPS} steps at a constant rate; best rate on quarter decades, 3 to 5 seeds",
        "depth": "number of hidden layers",
    },
    plan=plan,
    conclude=conclude,
    minutes={"quick": 2, "full": 6},
)
