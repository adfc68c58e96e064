"""One test per number of docs/measured.md that no other test already makes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import etastar
from etastar.problems import builder

ROOT = Path(__file__).parents[2]
MEASURED = (ROOT / "docs/measured.md").read_text()
FASHION = Path(os.environ.get("ETASTAR_FASHION", ROOT / "data/fashion-mnist"))


def rows(name: str) -> list[dict]:
    record = sorted((ROOT / "benchmarks/records").glob(f"*_{name}"))[-1]
    return [json.loads(line) for line in (record / "results.jsonl").read_text().splitlines()]


def test_the_recorded_coverage_is_what_is_said():
    by_case: dict[tuple, list[bool]] = {}
    for row in rows("coverage"):
        by_case.setdefault((row["truth"], row["width"]), []).append(row["covered"])
    shares = [100 * sum(c) / len(c) for c in by_case.values()]
    assert all(len(c) == 300 for c in by_case.values()) and len(shares) == 9
    assert f"{min(shares):.1f} - {max(shares):.1f} %" in MEASURED
    assert min(shares) >= 85 and max(shares) <= 95


def test_the_recorded_quadratics_and_fashion_rows_are_what_is_said():
    exact = [r for r in rows("quadratics") if r["kind"].startswith("noiseless")]
    assert len(exact) == 27 and all(r["inside"] for r in exact)
    assert sum(r["inside"] for r in rows("quadratics") if r["kind"].startswith("noise ")) >= 85
    fashion = rows("fashion")
    assert len(fashion) == 8 and all(r["overlap"] for r in fashion)
    worst = max(abs(r["value"] / r["b1"] - 1) for r in fashion)
    assert worst <= 0.3 and f"8 of 8 intervals overlap, values within {100 * worst:.0f} %" in MEASURED


def test_the_recorded_scale_rows_are_what_is_said():
    scale = rows("scale")
    assert len(scale) == 8 and all(r["overlap"] for r in scale)
    assert max(abs(r["value"] / r["expected"] - 1) for r in scale) <= 0.095


def test_the_recorded_lanes_are_what_is_said():
    ratios: dict[str, list[float]] = {}
    for row in rows("lanes"):
        ratios.setdefault(row["network"], []).append(row["ratio"])
    assert len(ratios) == 6 and all(len(own) >= 7 for own in ratios.values())
    for network, own in ratios.items():
        assert f"| {network} | {statistics.median(own):.1f}x ({min(own):.1f} .. {max(own):.1f}) |" in MEASURED, network


def test_the_recorded_bisection_and_engines_are_what_is_said():
    bisection = rows("bisection")
    few, many = (statistics.median(r[f"cpu_ratio{least}"] for r in bisection) for least in (4, 10))
    seconds = statistics.median(r["cpu_s"] for r in bisection)
    assert f"{seconds:.1f} s of CPU; by hand {few:.1f}x (at least 4 seeds) and {many:.1f}x (at least 10) as much" in MEASURED
    assert max(r["wall_s"] for r in bisection) <= 5
    found: dict[str, dict[str, dict]] = {}
    for row in rows("engines"):
        found.setdefault(row["problem"], {})[row["asked"]] = row
    assert len(found) == 6
    for both in found.values():
        assert both["loop"]["low"] <= both["auto"]["high"] and both["auto"]["low"] <= both["loop"]["high"]


def test_the_recorded_sharpness_rows_are_what_is_said():
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows("sharpness"):
        found.setdefault((row["case"], row["tool"]), []).append(row)
    networks = [case for case, tool in found if tool == "etastar 1e-3" and not case.startswith("planted")]
    assert len(networks) == 6

    def ratios(tool: str) -> list[float]:
        pairs = [zip(found[case, tool], found[case, "etastar 1e-3"], strict=True) for case in networks]
        return [statistics.median(a["seconds"] / b["seconds"] for a, b in pair) for pair in pairs]

    hessian, eigsh = ratios("PyHessian 1e-3"), ratios("curvlinops + eigsh 1e-3")
    assert (
        f"PyHessian {min(hessian):.1f} - {max(hessian):.1f} x, curvlinops {min(eigsh):.1f} - {max(eigsh):.1f} x" in MEASURED
    )
    assert max(statistics.median(r["error"] for r in found[case, "etastar 1e-3"]) for case in networks) <= 2e-6
    theirs = [statistics.median(r["error"] for r in found[case, "PyHessian 1e-3"]) for case in networks]
    assert f"{min(theirs):.0e} - {max(theirs):.0e}".replace("e-0", "e-") in MEASURED
    planted = {tool: values for (case, tool), values in found.items() if case.startswith("planted")}
    assert all(abs(r["value"] / 3 - 1) <= 1e-4 for r in planted["etastar 1e-3"])
    assert all(r["value"] < -48 for r in planted["PyHessian 1e-3"])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["momentum:lr=0.05", "adam:lr=0.001"])
def test_digits_mlp_reaches_ten_percent_within_48_runs(optimizer):
    problem = builder("digits-mlp")(optimizer=optimizer)
    band = etastar.eta_star(problem, options=etastar.Options(store=":memory:", workers=1)).band
    e = band.eta_star
    assert e.ok and band.refine_runs <= 48
    narrow = (e.high - e.low) / 2 <= 0.1 * e.value
    assert narrow or "max-runs" in e.flags
    if band.width.value <= 0.23:
        assert narrow


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="needs the Fashion-MNIST IDX files; set ETASTAR_FASHION to their folder")
def test_fashion_mnist_agrees_with_the_earlier_measurement():
    from benchmarks.fashion import TABLE_B1, load, problem

    _, low, high = TABLE_B1[8, 128]
    e = etastar.eta_star(problem(load(FASHION), 8, 128), options=etastar.Options(store=":memory:", workers=1)).estimate
    assert e.low <= high and low <= e.high


BAKEOFF_NAMES = {
    "Lightning `lr_find`": "lightning",
    "fastai valley (its default)": "fastai valley",
    "Optuna TPE + Hyperband": "optuna tpe + hyperband, 3.2 runs",
    "short grid, 13 rates x 3 epochs": "short grid, 3 epochs",
    "Optuna TPE, 10 trials (3 at random)": "optuna tpe, 10 trials (3 at random)",
}
"""What docs/measured.md calls a method -> what the record does."""


def test_bakeoff_table_is_the_records():
    record = sorted((ROOT / "benchmarks/records").glob("*_bakeoff"))[-1]
    text = (record / "README.md").read_text()
    recorded = {}
    for line in text[text.index("## 160 steps") : text.index("minus each other method")].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 10:
            recorded[cells[0]] = [cells[2], cells[3], cells[4], cells[5], cells[7]]
    table = MEASURED[MEASURED.index("| 160 steps |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 10
    for line in table:
        cells = [cell.strip().strip("*") for cell in line.strip("|").split("|")]
        assert recorded[BAKEOFF_NAMES.get(cells[0], cells[0])] == cells[1:], cells[0]


def test_quick_takes_what_is_said():
    found = rows("quick")
    for name, steps, shown in (
        ("digits-mlp", 400, "digits-mlp {} (400 steps)"),
        ("digits-mlp", 1600, "{} (1600)"),
        ("digits-cnn", 400, "digits-cnn {}"),
        ("digits-deep-mlp", 400, "digits-deep-mlp {}"),
        ("digits-transformer", 400, "digits-transformer {}"),
    ):
        own = [r for r in found if (r["problem"], r["steps"]) == (name, steps)]
        of_processor, of_wall = (statistics.median(r[key] for r in own) for key in ("cpu_ratio", "ratio"))
        assert shown.format(f"{of_processor:.2f} / {of_wall:.2f}") in MEASURED
    busy = statistics.median(r["ordinary_s"] / r["ordinary_cpu_s"] for r in found)
    assert f"took {busy:.1f} x its processor time" in MEASURED


@pytest.mark.slow
def test_a_small_bake_off_runs_from_nothing(tmp_path):
    command = [sys.executable, "-m", "benchmarks.bakeoff", "--small"]
    environment = {**os.environ, "ETASTAR_BAKEOFF": str(tmp_path), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=True)
    ours = [line for line in ran.stdout.splitlines() if line.startswith("| etastar") and line.count("|") == 11]
    assert len(ours) == 4, ran.stdout
    assert all("| 0.0% |" in line for line in ours), "no suggestion fails on the easiest task"
