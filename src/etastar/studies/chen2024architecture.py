"""The rate of branched networks from a sum over their paths.

Chen, Wu, Wang and Hanin, "Principled Architecture-aware Scaling of Hyperparameters" (ICLR 2024, arXiv 2402.17440): where
weights are scaled by the in-degree of the vertex they lead to, the largest rate goes as (sum over paths of L_p^3)^-1/2. Rule
and initialisation are the paper's; it was derived for squared error. Graphs, data, cross-entropy and every number are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from etastar.core.estimate import Estimate
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness, seed_everything
from etastar.designs.eta_star.eta_star import Precision
from etastar.laws.scaling.power_law import PowerLaw
from etastar.problems.branched import BranchedNetwork
from etastar.problems.optimizers import optimizer_factory
from etastar.reports.parts import SectionText, Table
from etastar.studies.bench import Bench
from etastar.studies.charts import DataPoint, Line, LogLog, loglog_chart
from etastar.studies.claim import Claim, Inside, Near
from etastar.studies.fits import exponent, mean_and_interval, plain_law, rank_correlation, rows_with
from etastar.studies.record import Row
from etastar.studies.study import Findings, Measurement, Setting, Study
from etastar.theory.path_sum import path_lengths, path_sum_lr_factor

WIDTH, STEPS, BATCH, NETWORKS = 64, 150, 64, 32
PRECISION = Precision(half_width=0.15, max_runs=24, min_runs=12, batch=12, scan_seeds=1)


def chain(depth: int) -> tuple[tuple[int, int], ...]:
    """`depth` hidden layers in a row."""
    return tuple((i, i + 1) for i in range(depth - 1))


GRAPHS: dict[str, tuple[tuple[int, int], ...]] = {
    "chain of 2": chain(2),
    "chain of 3": chain(3),
    "chain of 4": chain(4),
    "chain of 6": chain(6),
    "chain of 8": chain(8),
    "diamond": ((0, 1), (0, 2), (1, 3), (2, 3)),
    "four branches": ((0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (2, 5), (3, 5), (4, 5)),
    "long and short": ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4)),
    "every layer to every later one, 4": tuple((a, b) for b in range(1, 4) for a in range(b)),
    "every layer to every later one, 6": tuple((a, b) for b in range(1, 6) for a in range(b)),
    "two diamonds": ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6)),
    "ladder": ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5)),
}
QUICK = ("chain of 2", "chain of 4", "chain of 6", "diamond", "four branches", "long and short")
"""name -> edges between hidden layers; the readout is one edge more."""

LOSSES: dict[str, tuple[Any, float]] = {
    "squared error": (F.mse_loss, 2 / WIDTH),
    "cross-entropy": (F.cross_entropy, 1.0),
}
"""name -> (loss, readout gain): the paper's theory has squared error and a readout of variance ~ 1 / width^2."""


QUANTITIES = (
    ("squared error", "eta*", "the paper's theory"),
    ("squared error", "best rate", "the paper's theory"),
    ("cross-entropy", "eta*", "the paper's experiments"),
    ("cross-entropy", "best rate", "the paper's experiments"),
)
"""(loss, what is set beside the rule, whose claim); best rate: smallest training loss, as in the paper's search."""


def _claims(loss: str, what: str, whose: str) -> tuple[Claim, Claim]:
    ranks = Claim(
        f"{loss}, {what}: ranked",
        f"(sum of L_p^3)^-1/2 ranks architectures by their {what}.",
        whose,
        f"graphs of width {WIDTH}, weights scaled by in-degree, SGD, {loss}",
        f"rank correlation of {what} with the rule; the paper reports correlations of 0.73 to 0.96 with searched rates",
        Inside(low=0.5),
    )
    proportion = Claim(
        f"{loss}, {what}: in proportion",
        f"The {what} is proportional to it.",
        whose,
        "the same graphs",
        f"power of the rule in {what}",
        Near(1.0, 1.0, widest=0.8),
    )
    return ranks, proportion


CLAIMS = (
    *(claim for quantity in QUANTITIES for claim in _claims(*quantity)),
    Claim(
        "variance is kept",
        "Weights scaled by the in-degree of their target keep E z^2 from the first vertex to the last.",
        "the paper",
        f"the same graphs, {NETWORKS} networks each",
        "E z^2 at the last vertex / at the first, mean over graphs",
        Inside(0.9, 1.1),
    ),
)


def plan(setting: Setting) -> list[Measurement]:
    """eta* and the variances of every graph."""
    names = list(GRAPHS) if setting.full else list(QUICK)
    return [
        Measurement(
            {"loss": loss, "best": "training loss", "graph": name, "width": WIDTH, "steps": STEPS},
            partial(_row, setting, loss, name),
        )
        for loss in LOSSES
        for name in names
    ]


def rule(name: str) -> float:
    """(sum of L_p^3)^-1/2 of a graph, the readout included."""
    return path_sum_lr_factor(_with_readout(name))


def _with_readout(name: str) -> list[tuple[int, int]]:
    last = max(b for _, b in GRAPHS[name])
    return [*GRAPHS[name], (last, last + 1)]


def _row(setting: Setting, loss: str, name: str, bench: Bench) -> Row:
    x, y = setting.data.train
    function, gain = LOSSES[loss]
    network = BranchedNetwork(x.shape[1], GRAPHS[name], WIDTH, setting.data.classes, gain)
    problem = Problem(
        model=network,
        optimizer=optimizer_factory("sgd:lr=0.1"),
        loss=function,
        train=(x, F.one_hot(y).to(x.dtype) if function is F.mse_loss else y),
        batch_size=BATCH,
        steps=STEPS,
        label=name,
    )
    seeds = [setting.seed_of("chen2024architecture", loss, name, i) for i in range(2 if setting.full else 1)]
    row = bench.eta_star(problem, seeds=seeds, precision=PRECISION)
    kept = _variance_kept(network, x[:256], setting.seed_of("variance", name))
    best = bench.best_rate(problem, start=0.3 * (row["eta_star"] or 1.0), seed=seeds[0])
    costs = {name: row[name] + best[name] for name in ("lanes", "gradient_steps")}
    said = row["status"] if row["eta_star"] is None else f"eta* {row['eta_star']:.3g}"
    facts = {"rule": rule(name), "variance_kept": kept, "said": f"{said}, rule {rule(name):.3g}"}
    return {**row, "best_rate": best["best"], **costs, **facts}


def _variance_kept(network: BranchedNetwork, x: torch.Tensor, seed: int) -> float:
    """E z^2 at the last vertex over that at the first, over fresh networks."""
    first = last = 0.0
    with isolated_randomness(), torch.no_grad():
        seed_everything(seed)
        for _ in range(NETWORKS):
            z = network().vertices(x)
            first += float((z[0] ** 2).mean())
            last += float((z[-1] ** 2).mean())
    return last / first


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Rank correlation, power, and the variance."""
    known = {(loss, what): points(rows, loss, what) for loss, what, _ in QUANTITIES}
    estimates: list[Estimate] = []
    for own in known.values():
        estimates.append(rank_correlation([p.x for p in own], [p.y for p in own]))
        estimates.append(exponent(_law(own), "rule"))
    estimates.append(mean_and_interval([r["variance_kept"] for r in rows], "ratio"))
    conclusions = tuple(claim.judge(e) for claim, e in zip(CLAIMS, estimates, strict=True))
    numbers = []
    for (loss, what), own in known.items():
        chains = [p for p in own if p.series == "chains"]
        numbers.append((f"{loss}, {what}: chains", exponent(_law(chains), "rule"), "power of the rule, chains only"))
    return Findings(conclusions, tuple(numbers), (_table(rows),), SECTIONS, _charts(known))


def points(rows: Sequence[Row], loss: str, what: str) -> list[DataPoint]:
    """(rule, rate) of the graphs that have one."""
    found = []
    for r in rows_with(rows, loss=loss):
        best = r["best_rate"]
        value, low, high = (r["eta_star"], r["low"], r["high"])
        if what == "best rate":
            bracketed = best["value"] is not None and "not-bracketed" not in best["flags"]
            value, low, high = (best["value"], best["low"], best["high"]) if bracketed else (None, None, None)
        if value is not None:
            kind = "chains" if r["graph"].startswith("chain") else "branched"
            found.append(DataPoint(r["rule"], value, kind, r["graph"], low, high))
    return found


def _law(own: Sequence[DataPoint]) -> PowerLaw | None:
    return plain_law({"rule": [p.x for p in own]}, [p.y for p in own])


def _table(rows: Sequence[Row]) -> Table:
    cells = []
    for r in rows:
        lengths = path_lengths(_with_readout(r["graph"]))
        paths = ", ".join(f"{count} of {length:g}" for length, count in lengths.items())
        eta = r["status"] if r["eta_star"] is None else f"{r['eta_star']:.3g} ({r['low']:.3g} to {r['high']:.3g})"
        best = "-" if r["best_rate"]["value"] is None else f"{r['best_rate']['value']:.3g}"
        cells.append((f"{r['graph']}, {r['loss']}", f"{r['rule']:.3g}", eta, best, f"{r['variance_kept']:.2f}", paths))
    return Table("Graphs", ("", "rule", "eta*, 90 %", "best rate", "E z^2 last / first", "paths by length"), tuple(cells))


def _charts(known: dict[tuple[str, str], list[DataPoint]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, wanted in (("rule", "eta*"), ("best", "best rate")):
        panels = [_panel(loss, what, own) for (loss, what), own in known.items() if what == wanted and len(own) > 1]
        if panels:
            title = f"{wanted} against the path-sum rule"
            found[name] = loglog_chart(panels, title, "dashed: in proportion; bars: 90 % intervals", height=260)
    return found


def _panel(loss: str, what: str, marks: list[DataPoint]) -> LogLog:
    constant = 10 ** (sum(math.log10(m.y / m.x) for m in marks) / len(marks))
    ends = (min(m.x for m in marks), max(m.x for m in marks))
    line = Line(f"{constant:.3g} x the rule", tuple((x, constant * x) for x in ends), dashed=True)
    return LogLog(f"{loss}: {what}", "(sum over paths of L^3)^-1/2", what, marks, [line], connect=False)


SECTIONS = (
    SectionText(
        "Does the sum over paths say the rate?",
        "One dot a graph of layers; L is the number of ReLUs on a path from input to output.",
        {"rule": "Point at a dot for its graph.", "best": "The rate with the smallest training loss after all steps."},
    ),
)

STUDY = Study(
    name="chen2024architecture",
    title="The rate of branched networks, from their paths",
    question="Is the largest rate of a branched ReLU network proportional to (sum over its paths of L^3)^-1/2?",
    source="The rule and the initialisation are of Chen, Wu, Wang and Hanin (ICLR 2024), derived for squared error. Graphs, "
    "data, loss, definition of the largest rate and every number are ours.",
    claims=CLAIMS,
    declared={
        "network": f"width {WIDTH}, bias-free, weights of variance 2 / (in-degree x width), SGD",
        "protocol": f"batches of {BATCH}, {STEPS} steps; started = mean loss <= 0.8 x uninformed over 10 batches",
    },
    plan=plan,
    conclude=conclude,
    minutes={"quick": 0.5, "full": 2},
)
