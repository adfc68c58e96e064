"""Public loss curves of language models, as curves: 25M and 100M (Luo et al. 2025), 124M (Schaipp et al. 2025)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from etastar.laws.curves.curve import Curve
from etastar.laws.curves.logged_rates import rates_of_every_update

TRAIN = ("cosine_24000", "constant_24000", "wsdcon_9")
TEST = ("constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3", "wsdcon_18")
WARMUP = {"25M": 2160, "100M": 2160, "124M": 300}
"""Updates; most files begin after them."""
PEAKS = ("0.0005", "0.001", "0.002")
WRONG_RATE = "ann124-0.6_lr0.002_T15000"
"""Its logged rate is not what ran."""


def read(folder: Path, size: str, name: str) -> Curve:
    """One file, as it was logged but for two things.

    124M: the last evaluation is over other batches (.025 - .038 above the one before it in every file) and is left out; the
    rate logged after the last step of runs at a constant rate is 0, and is not one.
    """
    table = np.genfromtxt(folder / size / f"{name}.csv", delimiter=",", skip_header=1)
    steps, rates, losses = table[:, 0], table[:, 1], table[:, 2]
    peak, warmup = rates[0], WARMUP[size]
    if size == "124M":
        peak, losses[-1] = float(name.split("_lr")[1].split("_")[0]), np.nan
        rates[-1] = rates[-2] if rates[-1] == 0 and rates[-2] > peak / 2 else rates[-1]
    known, measured = ~np.isnan(rates), ~np.isnan(losses) & (steps > 0)
    at, logged = steps[known], rates[known]
    if steps[0] >= warmup:  # the file begins after the warm-up, or where a cooldown forks from the peak
        later = at > steps[0]
        at, logged = np.array([warmup, max(steps[0], warmup + 1), *at[later]]), np.array([peak, peak, *logged[later]])
    every = rates_of_every_update(at, logged, int(steps[-1]), warmup if steps[0] >= warmup else 0)
    return Curve(steps[measured].astype(int), losses[measured], every, name=name)


def trained_124m(folder: Path, peak: str) -> list[Curve]:
    """The three curves that are fitted at this peak: cosine to a tenth, constant, a cooldown over a fifth."""
    constant = read(folder, "124M", f"stable-124m_lr{peak}_T50000").until(25000)
    return [
        read(folder, "124M", f"cos-10-124m_lr{peak}_T25000"),
        constant,
        read(folder, "124M", f"ann124-0.2_lr{peak}_T15000"),
    ]


def tested_124m(folder: Path, peak: str) -> list[Curve]:
    """All others at this peak; of the constant run what comes after the part that is fitted."""
    fitted = {c.name for c in trained_124m(folder, peak)[::2]} | {WRONG_RATE}
    names = sorted(p.stem for p in (folder / "124M").glob(f"*_lr{peak}_T*.csv") if p.stem not in fitted)
    curves = [read(folder, "124M", name) for name in names]
    return [c.at(c.steps > 25000) if c.name.startswith("stable") else c for c in curves]
