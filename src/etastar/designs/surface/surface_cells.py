"""The cells of a response surface: time, accuracy and reliability at one rate, schedule and horizon, kept apart."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.lane import LaneStatus, Outcome
from etastar.laws.law import Record, median

LUCKIEST = "luckiest-cell"
"""The flag of answers whose cells have one seed each."""
FEWEST_ROWS = 3
"""Recorded steps over which a loss is averaged at least, before it counts as the target reached."""


@dataclass(frozen=True)
class Cell:
    """What the seeds did at one rate, schedule and horizon.

    Args:
        lr, schedule, horizon: where.
        n: seeds run.
        time: median steps to the target loss; None if half of the seeds or more never reach it.
        censored: share of the seeds that do not reach it within the horizon, the diverged ones among them.
        loss: median final loss, None if half of the seeds or more diverged; loss_low, loss_high: its quartiles.
        metric: median accuracy at the end of the lanes that did not diverge, where there is one.
        trained, diverged, slow, dead, raised: how many seeds ended how.
        reliability: share that trained, with its Wilson interval of probability `level`.
    """

    lr: float
    schedule: str
    horizon: int
    n: int
    time: float | None
    censored: float
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    metric: float | None
    trained: int
    diverged: int
    slow: int
    dead: int
    reliability: float
    reliability_low: float
    reliability_high: float
    level: float = 0.9
    raised: int = 0


def final_loss(outcome: Outcome) -> float:
    """The loss it is scored on; inf where that says nothing."""
    return math.inf if outcome.scored_loss is None else outcome.scored_loss


def final_metric(outcome: Outcome) -> float | None:
    """The accuracy that goes with `final_loss`."""
    if outcome.broken:
        return None
    return outcome.end_accuracy if outcome.valid_accuracy is None else outcome.valid_accuracy


def time_to(outcome: Outcome, target: float) -> int | None:
    """Steps after which the training loss, averaged over the criterion's window, first is at most `target`; None if never.

    The recorded steps are thinned on long lanes; the mean is over those within a window, three at least.
    """
    trace = outcome.trace
    if len(trace) < 2:
        return None
    stride = max(trace[1].step - trace[0].step, 1)
    window = min(max(outcome.lane.criterion.window // stride, FEWEST_ROWS), len(trace))
    losses = [row.loss for row in trace]
    for last in range(window - 1, len(trace)):
        recent = losses[last + 1 - window : last + 1]
        if all(map(math.isfinite, recent)) and statistics.fmean(recent) <= target:
            return trace[last].step + 1
    return None


def default_target(outcomes: Sequence[Outcome]) -> float | None:
    """The training loss at or below which half of the lanes end that trained (without any: that did not diverge).

    Rounded up to three digits; None if every lane diverged.
    """
    alive = [o for o in outcomes if not o.broken and math.isfinite(o.end_loss)]
    ended = [o.end_loss for o in alive if o.trained] or [o.end_loss for o in alive]
    if not ended:
        return None
    middle = median(ended)
    if middle == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(middle))) - 2)
    return float(f"{math.ceil(middle / unit - 1e-9) * unit:.6g}")


def cells_of(records: Sequence[Record], level: float = 0.9) -> tuple[Cell, ...]:
    """One cell per schedule, horizon and rate; schedules in order of appearance, then horizon, then rate."""
    groups: dict[tuple[str, int, float], list[Record]] = {}
    for r in records:
        groups.setdefault((r.schedule, r.horizon, r.lr), []).append(r)
    order = {schedule: i for i, schedule in enumerate(dict.fromkeys(r.schedule for r in records))}
    keys = sorted(groups, key=lambda key: (order[key[0]], key[1], key[2]))
    return tuple(_cell(groups[key], level) for key in keys)


def _cell(records: Sequence[Record], level: float) -> Cell:
    from scipy.stats import binomtest  # takes 0.6 s to import

    first, n = records[0], len(records)
    counts = Counter(r.status for r in records)
    low, high = binomtest(counts[LaneStatus.TRAINED], n).proportion_ci(level, method="wilson")
    losses = sorted(r.loss for r in records)
    metrics = [r.metric for r in records if r.metric is not None]
    return Cell(
        lr=first.lr,
        schedule=first.schedule,
        horizon=first.horizon,
        n=n,
        time=_finite(median(math.inf if r.time is None else r.time for r in records)),
        censored=sum(r.time is None for r in records) / n,
        loss=_finite(median(losses)),
        loss_low=_finite(losses[(n - 1) // 4]),
        loss_high=_finite(losses[-1 - (n - 1) // 4]),
        metric=median(metrics) if metrics else None,
        trained=counts[LaneStatus.TRAINED],
        diverged=counts[LaneStatus.DIVERGED],
        slow=counts[LaneStatus.SLOW],
        dead=counts[LaneStatus.DEAD],
        raised=counts[LaneStatus.RAISED],
        reliability=counts[LaneStatus.TRAINED] / n,
        reliability_low=low,
        reliability_high=high,
        level=level,
    )


def chosen_among(cell: Cell, cells: int) -> str:
    """How much of a cell's loss is luck, in words: it is the lowest of so many.

    >>> chosen_among(Cell(0.1, "constant", 10, 3, None, 1, 0.5, 0.4, 0.6, None, 3, 0, 0, 0, 1, 0.5, 1), 7)
    'median of 3 seeds, the lowest of 7'
    """
    return f"median of {cell.n} seeds, the lowest of {cells}" if cell.n > 1 else f"one seed, the luckiest of {cells}"


def pareto_front(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Cells that no other beats: none is as good in time, loss and reliability, and better in one of them.

    Time: median steps to the target, never if that is None. Cells without a final loss are left out.
    """
    alive = [cell for cell in cells if cell.loss is not None]
    return tuple(cell for cell in alive if not any(_beats(other, cell) for other in alive))


def _beats(a: Cell, b: Cell) -> bool:
    ours, theirs = _costs(a), _costs(b)
    return all(x <= y for x, y in zip(ours, theirs, strict=True)) and ours != theirs


def _costs(cell: Cell) -> tuple[float, float, float]:
    return (
        math.inf if cell.time is None else cell.time,
        math.inf if cell.loss is None else cell.loss,
        -cell.reliability,
    )


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
