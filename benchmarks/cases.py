"""The benchmark cases. Each yields rows as it goes and sums them up as a Markdown table."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A claim to measure: its rows, their summary, and the settings both were made with."""

    title: str
    rows: Callable[[dict[str, Any]], Iterator[Row]]
    summary: Callable[[list[Row]], str]
    config: dict[str, Any]


def table(header: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)])


# -- coverage ---------------------------------------------------------------------------------------------------------


def _coverage_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.coverage import replicate

    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for kind in config["truths"]:
            for width in config["widths"]:
                yield from pool.map(partial(replicate, kind, width), range(config["replicates"]), chunksize=8)


def _coverage_summary(rows: list[Row]) -> str:
    from benchmarks.coverage import wilson

    lines = []
    for key in dict.fromkeys((r["truth"], r["width"]) for r in rows):
        some = [r for r in rows if (r["truth"], r["width"]) == key]
        k, n = sum(r["covered"] for r in some), len(some)
        low, high = wilson(k, n)
        met = sum(r["half_width"] is not None and r["half_width"] <= 0.1 for r in some)
        runs = statistics.fmean(r["runs"] for r in some)
        lines.append([*key, n, f"{k / n:.1%}", f"{low:.1%} .. {high:.1%}", f"{runs:.1f}", f"{met / n:.0%}"])
    header = ["truth", "10-90 % width", "replicates", "coverage", "95 % Wilson", "mean runs beyond scan", "reached +-10 %"]
    return table(header, lines)


# -- quadratics -------------------------------------------------------------------------------------------------------


def _quadratic_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.quadratics import exact_row, noisy_rows

    for momentum in config["momenta"]:
        for curvatures in config["spectra"]:
            for seed in range(config["exact_seeds"]):
                yield exact_row(curvatures, momentum, seed)
    yield from noisy_rows(config["noise"], config["noisy_seeds"])


def _quadratic_summary(rows: list[Row]) -> str:
    from benchmarks.coverage import wilson

    lines = []
    for kind in dict.fromkeys(r["kind"] for r in rows):
        some = [r for r in rows if r["kind"] == kind]
        k = sum(r["inside"] for r in some)
        low, high = wilson(k, len(some))
        width = statistics.median((r["high"] - r["low"]) / 2 / r["value"] for r in some if r["value"])
        lines.append([kind, f"{k} of {len(some)}", f"{low:.0%} .. {high:.0%}", f"{width:.2%}"])
    return table(["quadratics", "truth inside the interval", "95 % Wilson", "median half-width"], lines)


# -- real networks ----------------------------------------------------------------------------------------------------


def _digits_rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from etastar.problems import builder

    for name, optimizer in config["problems"]:
        for seed in range(config["seeds"]):
            problem = builder(name)(optimizer=optimizer, seed=seed)
            end = etastar.Precision(half_width=0.25, max_runs=24, min_runs=8, scan_seeds=1)
            answer = etastar.eta_star(problem, end=end, options=etastar.Options(store=":memory:", workers=1))
            yield _find_row(answer, problem=name, optimizer=optimizer, seed=seed)


def _find_row(answer: Any, **labels: Any) -> Row:
    e = answer.estimate
    return {
        **labels,
        "status": e.status.value,
        "value": e.value,
        "low": e.low,
        "high": e.high,
        "half_width": (e.high - e.low) / 2 / e.value if e.ok else None,
        "runs": answer.band.refine_runs,
        "scan_runs": answer.band.scan_runs,
        "transition": answer.band.width.value,
        "end": answer.end.eta_star.value if answer.end else None,
        "gradient_steps": answer.cost["gradient_steps"],
        "seconds": answer.cost["seconds"],
        "flags": list(e.flags),
    }


def _digits_summary(rows: list[Row]) -> str:
    lines = []
    for key in dict.fromkeys((r["problem"], r["optimizer"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["optimizer"]) == key and r["value"]]
        of = lambda name: [r[name] for r in some]  # noqa: B023
        flags = sorted({flag for r in some for flag in r["flags"]})
        lines.append(
            [
                *key,
                len(some),
                f"{statistics.median(of('value')):.3g} ({min(of('value')):.3g} .. {max(of('value')):.3g})",
                f"{statistics.median(of('half_width')):.1%} (worst {max(of('half_width')):.1%})",
                f"{statistics.median(of('runs')):.0f} (worst {max(of('runs'))})",
                f"{statistics.median(of('transition')):.2f}",
                f"{statistics.median(of('gradient_steps')):,.0f}",
                f"{statistics.median(of('seconds')):.1f}",
                ", ".join(flags) or "-",
            ]
        )
    header = [
        "problem",
        "optimizer",
        "seeds",
        "eta* (range over seeds)",
        "half-width",
        "runs beyond scan",
        "width",
        "steps",
        "s",
    ]
    return table([*header, "flags seen"], lines)


def _fashion_rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from benchmarks.fashion import TABLE_B1, load
    from benchmarks.fashion import problem as make

    folder = Path(os.environ.get("ETASTAR_FASHION", config["folder"]))
    data = load(folder)
    for (depth, width), (b1, b1_low, b1_high) in TABLE_B1.items():
        for seed in range(config["seeds"]):
            problem = make(data, depth, width).but(seed=seed)
            answer = etastar.eta_star(problem, options=etastar.Options(store=":memory:"))
            row = _find_row(answer, problem=f"{depth}x{width}", optimizer="SGD, input x0.01", seed=seed)
            overlap = row["value"] is not None and row["low"] <= b1_high and b1_low <= row["high"]
            yield {**row, "b1": b1, "b1_low": b1_low, "b1_high": b1_high, "overlap": overlap}


def _fashion_summary(rows: list[Row]) -> str:
    lines = [
        [
            r["problem"],
            r["seed"],
            f"{r['value']:.3g} [{r['low']:.3g}, {r['high']:.3g}]",
            f"{r['b1']:.3g} [{r['b1_low']:.3g}, {r['b1_high']:.3g}]",
            "yes" if r["overlap"] else "NO",
            f"{r['value'] / r['b1'] - 1:+.0%}",
            f"{r['transition']:.2f}",
            r["runs"],
            f"{r['seconds']:.0f}",
        ]
        for r in rows
    ]
    header = [
        "depth x width",
        "seed",
        "eta* here, 90 %",
        "earlier measurement, 95 %",
        "overlap",
        "difference",
        "width",
        "runs",
        "s",
    ]
    return table(header, lines)


# -- equivariance -----------------------------------------------------------------------------------------------------


def _scale_rows(config: dict[str, Any]) -> Iterator[Row]:
    import torch.nn.functional as F

    import etastar
    from etastar.problems import builder

    def measure(problem: etastar.Problem) -> etastar.Estimate:
        options = etastar.Options(store=":memory:", workers=1)
        return etastar.eta_star(problem, options=options).estimate

    for optimizer in config["optimizers"]:
        name, _, lr = optimizer.partition(":lr=")
        base = builder("digits-mlp")(optimizer=optimizer)
        changed = {
            f"range x {s:g}": (builder("digits-mlp")(optimizer=f"{name}:lr={float(lr) * s}"), 1.0) for s in config["shifts"]
        }
        for c in config["loss_scales"]:
            scaled = base.but(loss=lambda outputs, targets, c=c: c * F.cross_entropy(outputs, targets))
            changed[f"loss x {c:g}"] = (scaled, c if name == "sgd" else 1.0)
        reference = measure(base)
        for change, (problem, factor) in changed.items():
            e = measure(problem)
            assert e.ok and reference.ok and e.value and e.low and e.high
            low, expected, high = (x / factor for x in (reference.low, reference.value, reference.high))  # type: ignore[operator]
            row = {
                "optimizer": optimizer,
                "change": change,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "expected": expected,
            }
            yield {**row, "overlap": e.low <= high and low <= e.high}


def _scale_summary(rows: list[Row]) -> str:
    lines = [
        [
            r["optimizer"],
            r["change"],
            f"{r['value']:.4g} [{r['low']:.4g}, {r['high']:.4g}]",
            f"{r['expected']:.4g}",
            f"{r['value'] / r['expected'] - 1:+.1%}",
            "yes" if r["overlap"] else "NO",
        ]
        for r in rows
    ]
    return table(
        ["optimizer", "change", "eta*, 90 %", "expected from the unchanged", "difference", "intervals overlap"], lines
    )


# -- lanes ------------------------------------------------------------------------------------------------------------


def _lanes_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.lanes import rows

    yield from rows(config)


def _lanes_summary(rows: list[Row]) -> str:
    targets = {"MLP 3x32": 8, "MLP 3x128": 4, "MLP 3x512": 1.5, "CNN 8x8": 1.8, "CNN 28x28": 1, "transformer B=16": 1}
    lines = []
    for name in dict.fromkeys(r["network"] for r in rows):
        some = [r for r in rows if r["network"] == name]
        middle = lambda key: statistics.median(r[key] for r in some)  # noqa: B023
        ratios = sorted(r["ratio"] for r in some)
        lines.append(
            [
                name,
                some[0]["engine"],
                f"{some[0]['lanes']} x {some[0]['steps']}",
                f"{middle('loop_1_thread_us'):,.0f} / {middle('loop_default_threads_us'):,.0f}",
                f"{middle('ours_us'):,.0f}",
                f"**{middle('ratio'):.1f}x** ({ratios[0]:.1f} .. {ratios[-1]:.1f})",
                f">= {targets[name]}x",
                f"{middle('of_peak'):.0%}",
                f"{some[0]['trial_s']:.1f} + {some[0]['start_workers_s']:.1f}",
            ]
        )
    header = [
        "network",
        "engine chosen",
        "lanes x steps",
        "ordinary loop, 1 / default threads, us a step",
        "ours, us a lane's step",
        "ratio to the faster loop (range over rounds)",
        "target",
        "of sgemm peak",
        "cold: trial + workers, s",
    ]
    return table(header, lines)


def _engines_rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from etastar.problems import BUILTINS, builder

    for name in BUILTINS:
        for engine in ("loop", "auto"):
            options = etastar.Options(store=":memory:", engine=engine)
            answer = etastar.eta_star(builder(name)(), options=options)
            yield _find_row(answer, problem=name, asked=engine, engine=answer.engine)


def _engines_summary(rows: list[Row]) -> str:
    lines = []
    for name in dict.fromkeys(r["problem"] for r in rows):
        loop, auto = (next(r for r in rows if r["problem"] == name and r["asked"] == asked) for asked in ("loop", "auto"))
        cells = [f"{r['value']:.3g} [{r['low']:.3g}, {r['high']:.3g}]" for r in (loop, auto)]
        overlap = loop["low"] <= auto["high"] and auto["low"] <= loop["high"]
        seconds = f"{loop['seconds']:.1f} / {auto['seconds']:.1f}"
        lines.append([name, cells[0], auto["engine"], cells[1], "yes" if overlap else "NO", seconds])
    header = [
        "problem",
        "eta* by the loop, 90 %",
        "engine chosen",
        "eta* by it, 90 %",
        "intervals overlap",
        "s, loop / chosen",
    ]
    return table(header, lines)


# -- bisection --------------------------------------------------------------------------------------------------------


def _bisection_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.bisection import rows

    yield from rows(config)


def _bisection_summary(rows: list[Row]) -> str:
    def spread(key: str, form: str) -> str:
        values = [r[key] for r in rows]
        return f"{statistics.median(values):{form}} ({min(values):{form}} .. {max(values):{form}})"

    columns = {
        "value": ".3g",
        "half_width": ".1%",
        "trainings": ".0f",
        "gradient_steps": ",.0f",
        "cpu_s": ".2f",
        "wall_s": ".2f",
    }
    names = {"": "etastar", "hand4_": "bisection by hand, >= 4 seeds", "hand10_": "bisection by hand, >= 10 seeds"}
    lines = [[name, *(spread(prefix + key, form) for key, form in columns.items())] for prefix, name in names.items()]
    header = ["eta* of digits-mlp", "value", "half-width", "trainings", "gradient steps", "CPU s", "wall s"]
    ratios = ", ".join(f"{spread(f'cpu_ratio{least}', '.1f')}x with >= {least} seeds" for least in (4, 10))
    text = f"CPU by hand / CPU of etastar: {ratios}; target >= 5x. Wall target: <= 5 s, warm. Medians, ranges beside them."
    return table(header, lines) + "\n\n" + text


# -- centre -----------------------------------------------------------------------------------------------------------


def _centre_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.centre import rows

    yield from rows(config)


def _centre_summary(rows: list[Row]) -> str:
    lines = []
    for kinds in (("sgd", "momentum"), ("adam",)):
        ratios = sorted(
            r["log10_ratio"] for r in rows if r["optimizer"].split(":")[0] in kinds and r["log10_ratio"] is not None
        )
        refused = sum(r["log10_ratio"] is None for r in rows if r["optimizer"].split(":")[0] in kinds)
        lines.append(
            [" and ".join(kinds), len(ratios), refused, *(f"{np.quantile(ratios, q):+.2f}" for q in (0, 0.25, 0.5, 0.75, 1))]
        )
    header = ["optimizer", "networks", "no answer", "log10(eta* / eta_c): least", "25 %", "median", "75 %", "most"]
    return table(header, lines)


# -- predict ----------------------------------------------------------------------------------------------------------


def _predict_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.predict import rows

    yield from rows(config)


def _predict_summary(rows: list[Row]) -> str:
    from etastar.core.wilson import wilson_interval

    lines = []
    for kind, optimizer in dict.fromkeys((r["kind"], r["optimizer"]) for r in rows):
        some = [r for r in rows if (r["kind"], r["optimizer"]) == (kind, optimizer) and r["inside"] is not None]
        inside = sum(r["inside"] for r in some)
        low, high = wilson_interval(inside, len(some))
        off = sorted(abs(r["log10_off"]) for r in some)
        safe = sum(r["start"] is not None and r["start"] <= r["eta_star"] for r in some)
        width = statistics.median(math.log10(r["high"] / r["low"]) for r in some)
        lines.append(
            [
                kind,
                optimizer,
                len(some),
                f"{inside} ({low:.0%} .. {high:.0%})",
                f"{width:.2f}",
                f"{statistics.median(off):.2f}, {off[-1]:.2f}",
                safe,
            ]
        )
    header = ["networks", "optimizer", "n", "eta* where expected (Wilson, 90 %)", "width, decades"]
    return table([*header, "decades off the middle: median, most", "start <= eta*"], lines)


# -- start-up ---------------------------------------------------------------------------------------------------------


def _help_rows(config: dict[str, Any]) -> Iterator[Row]:
    command = [str(Path(sys.executable).with_name("etastar")), "--help"]
    for _ in range(config["runs"]):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        yield {"seconds": time.perf_counter() - started}


def _help_summary(rows: list[Row]) -> str:
    seconds = np.array([r["seconds"] for r in rows])
    low, middle, high = (f"{np.quantile(seconds, q):.2f} s" for q in (0, 0.5, 1))
    return f"`etastar --help`: median {middle}, min {low}, max {high} over {len(rows)} runs."


# -- sharpness against peers ------------------------------------------------------------------------------------------


def _sharpness_rows(config: dict[str, Any]) -> Iterator[Row]:
    """In the peers' environment, where torch and scipy are the same versions; etastar comes from this source tree."""
    root = Path(__file__).parents[1]
    peers = Path(os.environ.get("ETASTAR_PEERS", root / config["peers"]))
    if not peers.exists():
        raise SystemExit(f"no {peers}; make it as benchmarks/peers/sharpness.txt says, or set ETASTAR_PEERS to its python")
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    command = [str(peers), "-m", "benchmarks.sharpness", json.dumps(config)]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from (json.loads(line) for line in process.stdout)
    if process.returncode:
        raise SystemExit(f"the peers' process ended with {process.returncode}")


def _sharpness_summary(rows: list[Row]) -> str:
    ours, lines = "etastar 1e-3", []
    for case in dict.fromkeys(r["case"] for r in rows):
        some = [r for r in rows if r["case"] == case]
        base = {(r["seed"], r["round"]): r["seconds"] for r in some if r["tool"] == ours}
        for tool in dict.fromkeys(r["tool"] for r in some):
            own = [r for r in some if r["tool"] == tool]
            ratio = statistics.median(r["seconds"] / base[r["seed"], r["round"]] for r in own)
            errors = [r["error"] for r in own]
            met = sum(e <= 1e-3 for e in errors)
            wrong = f"; says {statistics.median(r['value'] for r in own):.3g}" if min(errors) > 0.5 else ""
            milliseconds = 1000 * statistics.median(r["seconds"] for r in own)
            error = f"{statistics.median(errors):.1e} / {max(errors):.1e}{wrong}"
            lines.append([case, tool, f"{milliseconds:.1f}", f"{ratio:.2f}", error, f"{met} of {len(own)}"])
    header = [
        "network",
        "tool and its tolerance",
        "CPU ms, median",
        f"x {ours}",
        "true error, median / worst",
        "within 1e-3",
    ]
    checks = [abs(r["truth_by_eigsh"] / r["truth"] - 1) for r in rows if r["truth_by_eigsh"]]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (
        f"{table(header, lines)}\n\nOne thread, process CPU time, tools alternating in one process; ratio: median over "
        f"rounds and seeds of the same round. References: float64 Lanczos to 1e-10; scipy's eigsh in float64 agrees to "
        f"{max(checks):.0e} where it was run. Load average at the end: {load}."
    )


# -- search -----------------------------------------------------------------------------------------------------------


def _search_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.search import rows

    yield from rows(config)


def _search_summary(rows: list[Row]) -> str:
    lines = []
    for key in dict.fromkeys((r["sampler"], r["space"], r["prior"]) for r in rows):
        some = [r for r in rows if (r["sampler"], r["space"], r["prior"]) == key]
        of = lambda name: [r[name] for r in some]  # noqa: B023
        lines.append(
            [
                *key,
                len(some),
                f"{statistics.median(of('ours_s')):.1f}",
                f"{statistics.median(of('optuna_s')):.1f}",
                f"**{statistics.median(of('ratio')):.1f}x** ({min(of('ratio')):.1f} .. {max(of('ratio')):.1f})",
                f"{statistics.fmean(of('ours_loss')):.4f} / {statistics.fmean(of('optuna_loss')):.4f}",
                f"{statistics.fmean(a - b for a, b in zip(of('ours_loss'), of('optuna_loss'), strict=True)):+.4f}",
            ]
        )
    header = ["sampler", "space", "our prior", "rounds", "etastar, s", "Optuna alone, s", "ratio (range)"]
    load = f"{min(r['load'] for r in rows):.1f} .. {max(r['load'] for r in rows):.1f}"
    columns = [*header, "validation loss on fresh seeds, ours / theirs", "difference"]
    return (
        f"{table(columns, lines)}\n\n64 trials of digits-mlp, 400 steps each, two cores; ours with preflight, choice "
        "of engine, worker processes where it starts them, store and study on disk (and the glance where the prior is "
        "measured); Optuna's study in memory, the "
        f"loop at its faster of 1 and the default threads. Load average {load}. Ray Tune is not compared: its dependencies "
        "(pyarrow among them) are not installed."
    )


# -- quick ------------------------------------------------------------------------------------------------------------


def _quick_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.quick import rows

    yield from rows(config)


def _quick_summary(rows: list[Row]) -> str:
    lines = []
    for name, steps in dict.fromkeys((r["problem"], r["steps"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["steps"]) == (name, steps)]
        ratios = [r["ratio"] for r in some]
        middle = [f"{statistics.median(r[key] for r in some):.2f}" for key in ("ordinary_s", "quick_s", "full_runs")]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
        lines.append([name, steps, *middle, spread, some[-1]["engine"]])
    return table(["problem", "steps", "one ordinary run, s", "quick, s", "full runs", "quick / ordinary", "engine"], lines)


# -- members of a family ----------------------------------------------------------------------------------------------


def _scale_family_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.scale_family import rows

    yield from rows(config)


def _scale_family_summary(rows: list[Row]) -> str:
    from benchmarks.scale_family import summary

    return summary(rows, table)


# -- starts far off ---------------------------------------------------------------------------------------------------


def _wrong_starts_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.wrong_starts import rows

    yield from rows(config)


def _wrong_starts_summary(rows: list[Row]) -> str:
    from benchmarks.wrong_starts import summary

    return summary(rows)


# -- losses -----------------------------------------------------------------------------------------------------------


def _loss_rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.losses import rows

    yield from rows(config)


def _loss_summary(rows: list[Row]) -> str:
    from benchmarks.losses import overlaps

    twins = {r["optimizer"]: r for r in rows if r["loss"] == "mean cross-entropy"}
    lines = []
    for r in rows:
        twin = twins[r["optimizer"]]["decades"]
        lines.append(
            [
                r["loss"],
                r["optimizer"],
                f"{r['uninformed']:.4g} ({r['by_hand']:.4g})",
                f"{r['eta_star']:.3g} [{r['low']:.3g}, {r['high']:.3g}]" if r["eta_star"] else "-",
                f"{r['loop_low']:.3g} .. {r['loop_high']:.3g}" if r["eta_star"] else "-",
                "yes" if r["eta_star"] and overlaps(r) else "no",
                f"{r['decades'] / twin:.2f}" if r["eta_star"] and twin else "-",
                ", ".join(r["flags"]) or "-",
            ]
        )
    header = [
        "loss",
        "optimizer",
        "uninformed loss (by gradient descent)",
        "eta*",
        "edge of an ordinary loop",
        "overlap",
        "width / the mean's",
        "flags",
    ]
    return table(header, lines)


CASES: dict[str, Case] = {
    "wrong_starts": Case(
        "find --effort quick from a usual rate, from 1e-7 and from 10, where the start of training says little",
        _wrong_starts_rows,
        _wrong_starts_summary,
        {"seeds": [0, 1]},
    ),
    "losses": Case(
        "eta* under sums, weights, smoothing, ignored labels and other losses, against an ordinary loop",
        _loss_rows,
        _loss_summary,
        {"seed": 0, "loop_seeds": 8, "max_runs": 96},
    ),
    "quick": Case(
        "Wall time of find --effort quick against one ordinary training",
        _quick_rows,
        _quick_summary,
        {
            "problems": [
                ["digits-mlp", 400],
                ["digits-mlp", 1600],
                ["digits-deep-mlp", 400],
                ["digits-cnn", 400],
                ["digits-transformer", 400],
            ],
            "rounds": 5,
        },
    ),
    "coverage": Case(
        "Coverage of the 90 % interval of eta* on synthetic truths",
        _coverage_rows,
        _coverage_summary,
        {"truths": ["logistic", "skewed", "islands"], "widths": [0.17, 0.3, 0.45], "replicates": 300},
    ),
    "quadratics": Case(
        "eta* of quadratics, whose answer is exact",
        _quadratic_rows,
        _quadratic_summary,
        {
            "momenta": [0.0, 0.5, 0.9],
            "spectra": [[1.0, 0.5, 0.2, 0.1, 0.05], [30.0, 1.0], [0.002, 0.001]],
            "exact_seeds": 3,
            "noise": [0.3],
            "noisy_seeds": 100,
        },
    ),
    "digits": Case(
        "eta* of the ready-made networks on digits",
        _digits_rows,
        _digits_summary,
        {
            "problems": [
                ["digits-mlp", "momentum:lr=0.05"],
                ["digits-mlp", "adam:lr=0.001"],
                ["digits-mlp", "sgd:lr=0.1"],
                ["digits-cnn", "momentum:lr=0.05"],
                ["digits-deep-mlp", "momentum:lr=0.01"],
                ["digits-transformer", "adam:lr=0.001"],
            ],
            "seeds": 3,
        },
    ),
    "fashion": Case(
        "eta* on Fashion-MNIST against an earlier, independent measurement",
        _fashion_rows,
        _fashion_summary,
        {"folder": "../shared/data/fashion-mnist", "seeds": 2},
    ),
    "scale": Case(
        "Loss x c and a translated range",
        _scale_rows,
        _scale_summary,
        {"optimizers": ["sgd:lr=0.1", "adam:lr=0.001"], "loss_scales": [0.01, 100.0], "shifts": [0.03, 30.0]},
    ),
    "lanes": Case("Lanes against the loop a user would write, 2 cores", _lanes_rows, _lanes_summary, {"rounds": 7}),
    "bisection": Case(
        "eta* of digits-mlp: etastar against bisection by hand", _bisection_rows, _bisection_summary, {"seeds": 7}
    ),
    "centre": Case(
        "eta* relative to the critical rate eta_c, which centres its search",
        _centre_rows,
        _centre_summary,
        {"optimizers": ["sgd:lr=0.1", "momentum:lr=0.05", "adam:lr=0.001"]},
    ),
    "predict": Case(
        "Measured eta* against what predict expects before any training",
        _predict_rows,
        _predict_summary,
        {"optimizers": ["sgd:lr=0.1", "momentum:lr=0.05", "adam:lr=0.001"]},
    ),
    "engines": Case("eta* by the loop and by the engine chosen", _engines_rows, _engines_summary, {}),
    "sharpness": Case(
        "Time to the largest Hessian eigenvalue, and its true error, against PyHessian and curvlinops",
        _sharpness_rows,
        _sharpness_summary,
        {
            "networks": ["mlp 3 x 32", "mlp 3 x 128", "cnn"],
            "seeds": 5,
            "rounds": 3,
            "samples": 512,
            "peers": ".venv-peers/bin/python",
        },
    ),
    "search": Case(
        "A search of 64 trials: etastar against Optuna alone, one trial at a time",
        _search_rows,
        _search_summary,
        {
            "trials": 64,
            "rounds": 3,
            "searches": [
                ["tpe", "lr", True],
                ["random", "lr", True],
                ["tpe", "lr", False],
                ["tpe", "lr, momentum, weight decay", False],
            ],
        },
    ),
    "scale-family": Case(
        "Held-out members of a family: etastar scale against one rate for all, 1 / lambda1 and the probes",
        _scale_family_rows,
        _scale_family_summary,
        {
            "arms": [
                [data, optimizer, input_rate]
                for input_rate in (0.01, 1.0)
                for optimizer in ("sgd:lr=0.1", "adam:lr=0.001")
                for data in ("digits", "fashion", "cifar")
            ],
            "store": ".etastar/scale-family.db",
        },
    ),
    "startup": Case("Time of etastar --help", _help_rows, _help_summary, {"runs": 11}),
}
