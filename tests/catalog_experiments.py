"""Designs, laws and stores that exist in several kinds, registered once; conformance tests run over these rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etastar import Criterion, Design, Lane, Law, RunStore
from etastar.core import Until
from etastar.core.design import Store
from etastar.designs import EtaStar, OptunaSearch, Surface
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.budgeted import Budgeted
from etastar.designs.best_rate.from_here import FromHere
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.best_rate.rate_prior import RatePrior
from etastar.designs.compare import Compare
from etastar.designs.fixed_lanes import FixedLanes
from etastar.designs.psi.forks import Forks
from etastar.designs.psi.repeats import Repeats
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.designs.search.confirmation import Confirmation
from etastar.designs.search.search_space import Space
from etastar.designs.search.trials import Found, Trial
from etastar.designs.surface.surface import Row
from etastar.laws import PowerLaw, Record, ScalingLaw, SurfaceLaw
from etastar.laws.psi.closed_form import ClosedForm, log_factors
from etastar.laws.psi.ideal import Ideal
from etastar.policies import Constant
from etastar.policies.named import policy_over

CRITERION = Criterion(uninformed=2.3)
POLICIES = {name: policy_over(name, 100) for name in ("linear", "wsd")}
MOMENTUM_TOO = Space.of({"lr": {"low": 1e-3, "high": 10.0}, "momentum": {"low": 0.0, "high": 0.9}})


def _search(sampler: str, pruner: str = "none") -> Callable[[], OptunaSearch]:
    return lambda: OptunaSearch(MOMENTUM_TOO, CRITERION, 40, Constant(), sampler=sampler, pruner=pruner, trials=12)


def _confirmation() -> Confirmation:
    trials = tuple(Trial(i, {"lr": lr}, lr, loss) for i, (lr, loss) in enumerate([(0.05, 0.6), (0.1, 0.5), (0.2, 0.55)]))
    lane_of = lambda trial, seed: Lane(trial.lr, seed, 40, CRITERION, Until.END)
    return Confirmation(Found(trials, MOMENTUM_TOO, 2.3, 0, None, None), lane_of)


DESIGNS: dict[str, Callable[[], Design[Any]]] = {
    "fixed lanes": lambda: FixedLanes([Lane(0.1 * (i + 1), i, 10, CRITERION) for i in range(5)], batch=2),
    "eta*": lambda: EtaStar(CRITERION, steps=40, around=0.3),
    "eta*, at the end": lambda: EtaStar(CRITERION, steps=40, around=0.3, until=Until.END, seed=7),
    "best rate": lambda: BestLR(CRITERION, 200, start=0.02),
    "best rate, a glance": lambda: BestLR(CRITERION, 200, budget=0.6),
    "best rate, for a budget": lambda: Budgeted(CRITERION, 2000, RatePrior(-1.5, 0.3, 0.5, 0.3, 0.2), 400),
    "best rate, full length": lambda: FullLength(CRITERION, 100, Constant(), 0.05, 0.25, 0),
    "best rate, full length, all seeds": lambda: FullLength(CRITERION, 100, start=1.0, within=0.01),
    "best rate, from here": lambda: FromHere(CRITERION, 100, Constant(), 0.05, 0.25, 0, rest=400),
    "compare": lambda: Compare(CRITERION, 100, POLICIES, 0.05, 30),
    "compare, the smallest budget": lambda: Compare(CRITERION, 100, POLICIES, 3.0, 12),
    "tuned peak": lambda: TunedPeak(CRITERION, POLICIES["linear"], 100, 0.02),
    "forks": lambda: Forks(CRITERION, 100, 0.05, updates=20, task="t", group="g", seeds=2),
    "repeats": lambda: Repeats(CRITERION, 100, {name: (policy, 0.1) for name, policy in POLICIES.items()}, seeds=3),
    "surface": lambda: Surface(CRITERION, [Row("constant", n, Constant()) for n in (50, 100)], (-2.0, -1.5, -1.0), seeds=2),
    "search, tpe": _search("tpe"),
    "search, genetic": _search("genetic", "median"),
    "search, grid": _search("grid"),
    "search, cmaes": _search("cmaes"),
    "confirmation": _confirmation,
}
"""name -> maker of a design. Told the same outcomes it must ask the same lanes, keep to its plan, and stop when told to."""


@dataclass(frozen=True)
class KnownLaw:
    """A law fitted to data of a known truth; see `check_law`."""

    fit: Callable[[int], Law]
    truth: Callable[..., float]
    inside: Sequence[tuple[Any, ...]]
    outside: Sequence[tuple[Any, ...]]
    empty: Law | None = None


SIZES = [{"depth": d, "width": w} for d, w in ((4, 64), (4, 128), (4, 256), (6, 96), (8, 128), (8, 256))]
WITHIN, BEYOND = {"depth": 6, "width": 200}, {"depth": 8, "width": 2**20}


def _of_size(member: dict[str, int]) -> float:
    return 20.0 * member["depth"] ** -1.0 * member["width"] ** -0.8


def _noisy(seed: int) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.04, len(SIZES))
    return [_of_size(member) * 10**e for member, e in zip(SIZES, noise, strict=True)]


def _bowl(lr: float, schedule: str, horizon: int) -> float:
    off = math.log10(lr / 0.06) + 0.5 * math.log10(horizon / 100)
    return math.exp(-2 - 0.3 * math.log(horizon / 100) + off**2)


def _records(seed: int) -> list[Record]:
    rng, lrs = np.random.default_rng(seed), [10 ** (k / 4) for k in range(-10, 1)]
    loss = lambda lr, horizon: _bowl(lr, "cosine", horizon) * math.exp(rng.normal(0, 0.05))
    return [Record(lr, "cosine", n, s, loss(lr, n)) for n in (100, 200) for lr in lrs for s in range(3)]


PSI = (-0.1, 1.0, 0.55, 0.3, 0.25)
"""The numbers of a trapezoid."""


def _of_share(s: float) -> float:
    return math.exp(float(log_factors("trapezoid", PSI, [s], [0.0])[0]))


def _ideals(seed: int) -> list[Ideal]:
    rng, shares = np.random.default_rng(seed), [0.05 * k for k in range(20)]
    rate = lambda s: math.log(_of_share(s)) + rng.normal(0, 0.4)
    return [Ideal(f"t{task}", "g", "linear", s, 0.0, rate(s), 0) for s in shares for task in range(6)]


LAWS: dict[str, KnownLaw] = {
    "power law": KnownLaw(
        lambda seed: PowerLaw.fit({name: [m[name] for m in SIZES] for name in SIZES[0]}, _noisy(seed)),
        _of_size,
        [(WITHIN,)],
        [(BEYOND,)],
    ),
    "scaling law": KnownLaw(
        lambda seed: ScalingLaw.fit(SIZES, _noisy(seed), errors=[0.04] * len(SIZES)),
        _of_size,
        [(WITHIN,)],
        [(BEYOND,)],
    ),
    "surface": KnownLaw(
        lambda seed: SurfaceLaw.fit(_records(seed)),
        _bowl,
        [(0.05, "cosine", 100), (0.03, "cosine", 150)],
        [(50.0, "cosine", 100), (0.05, "cosine", 800), (0.05, "linear", 100)],
        SurfaceLaw.fit([]),
    ),
    "closed form": KnownLaw(
        lambda seed: ClosedForm.fit(_ideals(seed)),
        _of_share,
        [(0.0,), (0.3,), (0.9,)],
        [(-0.1,), (1.0,)],
    ),
}
"""name -> law. Each must cover what it says it does, and refuse outside its data and without any."""

STORES: dict[str, Callable[[str], Store]] = {"sqlite": RunStore, "postgresql": RunStore}
"""kind of database -> URL -> store."""
