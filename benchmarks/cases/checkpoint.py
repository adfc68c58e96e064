"""The best rate from a checkpoint at 30 % of a run whose rate was wrong by a factor of 4."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.cases.case import Case, Row, table

if TYPE_CHECKING:
    from etastar.core.problem import Problem

GRID = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Of the best rate of a whole run: where the rest is retuned."""
WRONG = (0.25, 4.0)
TUNED_ON, SCORED_ON = (201, 202, 203), (301, 302, 303, 304, 305)
"""Orders of the data: the lowest of seven losses is low by luck, too, so its rate and those found are scored on others."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.bakeoff.tasks import make_problem

    for task, optimizer, schedule, steps in config["tasks"]:
        make = lambda lr, task=task, optimizer=optimizer, schedule=schedule, steps=steps: make_problem(
            task, optimizer, schedule, steps, lr
        )
        best = _best_of_whole(make(1e-3), config["centre"][optimizer])
        for wrong in WRONG:
            label = {"task": f"{task}/{optimizer}/{schedule}/{steps}", "best_of_whole": best, "wrong": wrong}
            yield label | _from_checkpoint(make(best * wrong), best, best * wrong, config)


def _best_of_whole(problem: Problem, centre: float) -> float:
    """Rate with the lowest mean loss of whole runs on two seeds, a factor of 2 apart over two and a half decades."""
    rates = [centre * 2.0**k for k in range(-4, 5)]
    return min(zip(_ends(problem, rates, (101, 102)), rates, strict=True))[1]


def _from_checkpoint(problem: Problem, best: float, own: float, config: dict[str, Any]) -> Row:
    import etastar
    from etastar.core.beginning import Beginning

    at = round(0.3 * problem.steps)
    state = _run_until(problem, own, at)
    rest = problem.but(start_from=Beginning.of(state, at), steps=problem.steps - at)
    retuned = dict(zip((f * best for f in GRID), _ends(rest, [f * best for f in GRID], TUNED_ON), strict=True))
    tuned = min(retuned, key=lambda lr: retuned[lr])
    loss_tuned, loss_own = _ends(rest, [tuned, own], SCORED_ON)
    row: Row = {
        "own": own,
        "retuned": tuned,
        "loss_retuned": loss_tuned,
        "loss_own": loss_own,
        "grid": list(retuned.items()),
    }
    for effort in config["efforts"]:
        options = etastar.Options(store=":memory:", workers=1)
        answer = etastar.find(problem, start_from=state, at=at, effort=effort, options=options)
        lr = answer.lr.value
        row[effort] = {
            "lr": lr,
            "low": answer.lr.low,
            "high": answer.lr.high,
            "verdict": answer.yours.verdict if answer.yours else None,
            "loss": _ends(rest, [lr], SCORED_ON)[0] if lr else None,
            "cost": answer.cost["full_runs"],
            "seconds": answer.seconds,
        }
    return row


def _run_until(problem: Problem, lr: float, at: int) -> tuple[Any, Any]:
    """The state of a lane of the whole run after `at` steps, as a user's loop would have saved it."""
    from etastar.core.lane import Lane, Until
    from etastar.engine.loop import LoopEngine

    with LoopEngine().start(problem, [Lane(lr, 7, problem.steps, until=Until.END, policy=problem.policy)]) as training:
        training.advance(at)
        setup = training.setup(0)
        return setup.model.state_dict(), setup.optimizer.state_dict()


def _ends(problem: Problem, rates: list[float], seeds: tuple[int, ...]) -> list[float]:
    """Mean validation loss at the end of lanes of all steps, one a rate; infinite where one of them failed."""
    from etastar.core.lane import Lane, Until
    from etastar.engine.lanes.engine import LaneEngine
    from etastar.engine.preflight import preflight

    criterion = preflight(problem).criterion  # with a first batch as its reference, a low one makes a lane "diverged"
    lane = lambda lr, seed: Lane(lr, seed, problem.steps, criterion, Until.END, problem.policy)
    lanes = [lane(lr, seed) for lr in rates for seed in seeds]
    outcomes: dict[int, Any] = dict(LaneEngine("vmap").train(problem, lanes))
    losses = [outcomes[i].scored_loss for i in range(len(lanes))]
    split = [losses[i : i + len(seeds)] for i in range(0, len(losses), len(seeds))]
    return [statistics.fmean(own) if None not in own else float("inf") for own in split]


def _summary(rows: list[Row]) -> str:
    lines, efforts = [], [key for key, value in rows[0].items() if isinstance(value, dict)]
    found = []
    for effort in efforts:
        right = [_right(row, row[effort]) for row in rows]
        excess = [_excess(row, row[effort]) for row in rows]
        held = sum(bool(row[effort]["lr"] and row[effort]["low"] <= row["retuned"] <= row[effort]["high"]) for row in rows)
        found.append(
            f"{effort}: right direction {sum(right)} of {len(rows)}; within 2 % of retuned {sum(e <= 0.02 for e in excess)} "
            f"of {len(rows)} (median {100 * statistics.median(excess):+.1f} %, worst {100 * max(excess):+.1f} %); interval "
            f"holds the retuned rate {held} of {len(rows)}; median cost "
            f"{statistics.median(row[effort]['cost'] for row in rows):.2f} x the rest"
        )
    for row in rows:
        cells = [row["task"], f"x {row['wrong']:g}", f"{row['own']:.2g}", f"{row['retuned']:.2g}"]
        cells.append(f"{100 * (row['loss_own'] / row['loss_retuned'] - 1):+.1f} %")
        for effort in efforts:
            answer = row[effort]
            cells.append(f"{answer['lr']:.2g} ({answer['verdict']})" if answer["lr"] else "none")
            cells.append(f"{100 * _excess(row, answer):+.1f} %")
        lines.append(cells)
    head = ["run", "rate", "own", "retuned", "own's loss"]
    return "\n".join([*found, "", table([*head, *(c for e in efforts for c in (e, "loss"))], lines)])


def _right(row: Row, answer: Row) -> bool:
    return answer["lr"] is not None and (answer["lr"] < row["own"]) == (row["wrong"] > 1)


def _excess(row: Row, answer: Row) -> float:
    """Loss at the end, at the rate found, over that of the retuned rest."""
    return float("inf") if answer["loss"] is None else answer["loss"] / row["loss_retuned"] - 1


CASE = Case(
    "The best rate from a checkpoint at 30 % of a run whose rate was 4 x too high or too low",
    _rows,
    _summary,
    {
        "tasks": [
            ["mlp3", "momentum", "constant", 320],
            ["regression", "adam", "wsd", 320],
            ["mlp3", "adamw", "warmup-cosine", 320],
            ["deep", "adam", "warmup-cosine", 320],
            ["fine-tune", "adamw", "constant", 320],
            ["regression", "momentum", "warmup-cosine", 320],
            ["fine-tune", "momentum", "wsd", 320],
            ["overfit", "adam", "constant", 320],
        ],
        "efforts": ["quick", "thorough"],
        "centre": {"momentum": 0.03, "adam": 0.003, "adamw": 0.003},
    },
)
