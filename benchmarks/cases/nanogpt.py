"""A small GPT of 20,000 planned steps: what 2 % of a run say of its rate, and what five rates really end at."""

from __future__ import annotations

import runpy
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table

EXAMPLE = Path(__file__).parents[2] / "examples" / "nanogpt.py"


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    """The finder's answers, then a lane of all steps a rate while `minutes` are left; lanes are kept, to go on with."""
    import etastar
    from etastar.core.lane import Lane, Until, quantise
    from etastar.core.randomness import derive_seed
    from etastar.designs.fixed_lanes import FixedLanes
    from etastar.verbs.workplace import Workplace

    folder, started = Path(config["folder"]), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    problem = runpy.run_path(str(EXAMPLE))["problem"]().but(steps=config["steps"])
    options = etastar.Options(store=folder / "lanes.db", workers=1)
    for seed in range(config["seeds"]):
        answer = etastar.find(problem, budget=config["budget"], seed=seed, options=options)
        paid = answer.bought
        assert paid is not None
        yield {
            "kind": "answer", "seed": seed, "status": answer.lr.status.value, "lr": answer.lr.value,
            "prior": paid.prior.value, "low": answer.lr.low, "high": answer.lr.high, "stable": paid.stable,
            "left": paid.left, "lanes": paid.lanes, "lane_steps": paid.lane_steps, "full_runs": answer.cost["full_runs"],
            "share_of_seconds": answer.cost["seconds"] / answer.cost["full_run_seconds"],
        }  # fmt: skip
    with Workplace(options) as place:
        session = place.of(problem)
        for rate in config["rates"]:
            if time.monotonic() - started > 60 * config["minutes"]:
                return
            seed = derive_seed(0, "nanogpt")
            lane = Lane(quantise(rate), seed, problem.steps, session.facts.criterion, Until.END, problem.policy)
            [outcome] = session.run(FixedLanes([lane]))
            ends = {"loss": outcome.scored_loss, "training_loss": outcome.end_loss}
            yield {"kind": "truth", "lr": rate, **ends, "seconds": outcome.seconds}


def _summary(rows: list[Row]) -> str:
    answers, truth = ([r for r in rows if r["kind"] == kind] for kind in ("answer", "truth"))
    known = {r["lr"]: r["loss"] for r in truth if r["loss"] is not None}
    best = min(known.values(), default=None)
    lines = []
    for r in answers:
        rate = r["lr"] or r["prior"]
        lost = "-" if best is None or len(known) < 5 else f"{_between(known, rate) - best:+.3f}"
        interval = f"{rate:.2g} [{r['low']:.2g}, {r['high']:.2g}]"
        shares = f"{r['full_runs']:.3f} / {r['share_of_seconds']:.3f}"
        lines.append(
            [r["seed"], r["status"], interval, r["lanes"], r["lane_steps"], f"{r['stable'] or 0:.2g}", shares, lost]
        )
    head = ["seed", "status", "rate (the prior's where prior-only)", "lanes", "steps each", "highest stable rate",
            "cost of a run: steps / seconds", "nats lost"]  # fmt: skip
    fitted = {r["lr"]: r["training_loss"] for r in truth}
    told = ", ".join(f"{lr:g}: {loss:.3f} ({fitted[lr]:.3f})" for lr, loss in sorted(known.items())) or "not measured yet"
    every = f" ({statistics.fmean(r['seconds'] for r in truth) / 60:.0f} minutes each)" if truth else ""
    found = f"Validation loss (training loss) at the end of all steps, {len(known)} of 5 rates{every}: {told}."
    return f"{table(head, lines)}\n\n{found}"


def _between(known: dict[float, float], rate: float) -> float:
    import numpy as np

    rates = sorted(known)
    return float(np.interp(np.log(rate), np.log(rates), [known[lr] for lr in rates]))


CASE = Case(
    "A small GPT of 20,000 planned steps: what 2 % of a run say of its rate",
    _rows,
    _summary,
    {
        "folder": "out/nanogpt", "steps": 20_000, "budget": 0.02, "seeds": 3, "rates": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
        "minutes": 90,
    },
)  # fmt: skip
