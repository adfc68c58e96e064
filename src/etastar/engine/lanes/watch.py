"""Watches many lanes: the recorder's rules on vectors, looked at every few steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from etastar.core.lane import Lane, Until
from etastar.engine.recorder import COLUMNS, DEAD_LOOKS, GRAD_NORM_EVERY, History, blow_up_loss, is_dead, meets

LOOK_EVERY = 5
"""Steps between two looks: a decided lane costs at most this many steps more, and a GPU is waited for this rarely."""

Table = NDArray[np.float64]


class Watch:
    """The histories of K lanes that train together.

    Args:
        lanes: in the order of their rows; one criterion for all of them.
        steps_per_epoch: optimizer steps per pass over the data, where it is known.
    """

    def __init__(self, lanes: Sequence[Lane], steps_per_epoch: int | None) -> None:
        self._lanes, self._steps_per_epoch = list(lanes), steps_per_epoch
        self._pending: list[tuple[torch.Tensor | None, ...]] = []
        steps, k = max(lane.steps for lane in lanes), len(lanes)
        self._columns = [np.full((steps, k), np.nan) for _ in range(6)]
        self._ends = {lane.steps for lane in lanes}
        self._criterion = lanes[0].criterion
        self._looked = 0
        self._bound: Table | None = None
        self._blow_up: Table | None = None
        self._decided = np.zeros(k, dtype=bool)
        self._reached = np.zeros(k, dtype=np.int64)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._looked + len(self._pending)

    def wants_grad_norm(self) -> bool:
        """Whether the gradient norms of the coming step are worth their cost."""
        return self.step % GRAD_NORM_EVERY == 0

    def add(
        self,
        loss: torch.Tensor,
        accuracy: torch.Tensor | None,
        grad_norm: torch.Tensor | None,
        lr: torch.Tensor,
        clipped: torch.Tensor | None,
        alive: torch.Tensor | None,
    ) -> None:
        """One step of all lanes, [K] each, measured before its update. Nothing is waited for."""
        self._pending.append((loss, accuracy, grad_norm, lr, clipped, alive))

    def due(self) -> bool:
        """Whether it is time to look: every few steps, and at the end of a lane."""
        return self.step % LOOK_EVERY == 0 or self.step in self._ends

    def look(self) -> list[tuple[int, History]]:
        """Lanes decided since the last look: (row, what the lane did up to its end)."""
        first, last = self._looked, self.step
        self._read_pending()
        losses = self._columns[0]
        if self._bound is None or self._blow_up is None:
            starts = [float(x) for x in losses[0]]
            pairs = list(zip(self._lanes, starts, strict=True))
            self._bound = np.array([lane.criterion.bound(start) for lane, start in pairs])
            self._blow_up = np.array([blow_up_loss(lane, start) for lane, start in pairs])
        new = losses[first:last]
        broken = ~np.isfinite(new) | (new > self._blow_up)
        waiting = ~self._decided & (self._reached == 0)
        below = self._window_below(first, last) if waiting.any() else np.zeros_like(broken)
        found = []
        for row in np.flatnonzero(~self._decided & self._may_be_decided(first, last, broken | below)):
            history = self._decide(int(row), first, last, broken[:, row], below[:, row])
            if history is not None:
                self._decided[row] = True
                found.append((int(row), history))
        return found

    def _may_be_decided(self, first: int, last: int, odd: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Rows to which something happened within steps [first, last): of most of them there is nothing to ask.

        Args:
            odd: [steps, K]: whether a loss decides something by itself.
        """
        of_all = len(_gradient_looks(first, last)) > 0 or last >= min(self._ends)
        return np.logical_or.reduce(odd, axis=0) | of_all

    @property
    def undecided(self) -> NDArray[np.int64]:
        """Rows still of interest."""
        return np.flatnonzero(~self._decided)

    @property
    def looked(self) -> bool:
        """Whether every step was looked at."""
        return not self._pending

    def state(self, row: int) -> dict[str, Any]:
        """What was recorded of one lane, as the recorder has it; call after `look`."""
        values = zip(COLUMNS, self._columns, strict=False)
        state: dict[str, Any] = {name: _optional(column[: self.step, row]) for name, column in values}
        state["losses"], state["lrs"] = (self._columns[i][: self.step, row].tolist() for i in (0, 3))
        state["clipped"] = [None if c is None else bool(c) for c in state["clipped"]]
        alive = self._columns[5][: self.step : GRAD_NORM_EVERY, row].tolist()
        return state | {"reached": int(self._reached[row]) or None, "alive": alive}

    def resume(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what was recorded of undecided lanes, one state a row."""
        self._looked = last = len(states[0]["losses"])
        for row, state in enumerate(states):
            for name, column in zip(COLUMNS, self._columns, strict=False):
                column[:last, row] = [np.nan if value is None else value for value in state[name]]
            self._columns[5][:last:GRAD_NORM_EVERY, row] = state["alive"]
            self._reached[row] = state["reached"] or 0

    def take(self, index: NDArray[np.int64], lanes: Sequence[Lane] | None = None) -> None:
        """Only these lanes, in this order; a lane may be named twice, and go on as one of `lanes`. Call after `look`."""
        self._lanes = [self._lanes[i] for i in index] if lanes is None else list(lanes)
        self._ends = {lane.steps for lane in self._lanes}
        more = max(self._ends) - len(self._columns[0])
        if more > 0:
            self._columns = [np.pad(column, ((0, more), (0, 0)), constant_values=np.nan) for column in self._columns]
        self._columns = [column[:, index] for column in self._columns]
        self._decided, self._reached = self._decided[index], self._reached[index]
        if self._bound is not None and self._blow_up is not None:
            self._bound, self._blow_up = self._bound[index], self._blow_up[index]

    def _read_pending(self) -> None:
        """Move what was added to the host, in one copy per kind."""
        for column, values in zip(self._columns, zip(*self._pending, strict=True), strict=True):
            rows = [i for i, value in enumerate(values) if value is not None]
            if rows:
                table = torch.stack([values[i] for i in rows]).to(device="cpu", dtype=torch.float64)
                column[[self._looked + i for i in rows]] = table.numpy()
        self._looked, self._pending = self.step, []

    def _window_below(self, first: int, last: int) -> NDArray[np.bool_]:
        """[steps, K]: whether the mean loss of the window that ends at this step may lie below the bound."""
        window = self._criterion.window
        start = max(first - window + 1, 0)
        padded = np.vstack([np.zeros((window - 1 - (first - start), len(self._lanes))), self._columns[0][start:last]])
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).sum(axis=-1)
            counts = np.minimum(np.arange(first, last) + 1, window)[:, None]
            bound = np.asarray(self._bound)
            return (
                sums / counts <= bound + 1e-9 * np.abs(bound) + 1e-300
            )  # the exact rule is `meets`; this only says where to ask it

    def _decide(
        self, row: int, first: int, last: int, broken: NDArray[np.bool_], below: NDArray[np.bool_]
    ) -> History | None:
        """The history of a lane that is decided within steps [first, last), else None."""
        lane = self._lanes[row]
        stop = min(last, lane.steps)
        failures = np.flatnonzero(broken[: stop - first])
        end = first + int(failures[0]) if len(failures) else stop
        death = self._death(row, first, end)
        end = end if death is None else death + 1
        if not self._reached[row]:
            for step in first + np.flatnonzero(below[: end - first]):
                if self._meets(row, int(step)):
                    self._reached[row] = step + 1
                    break
        reached = int(self._reached[row])
        if reached and lane.until is Until.SUCCESS:
            return self._history(row, reached)
        if death is not None:
            return self._history(row, end, dead=True)
        if len(failures):
            return self._history(row, end + 1, non_finite=True)
        return self._history(row, stop) if stop == lane.steps else None

    def _death(self, row: int, first: int, end: int) -> int | None:
        """The step within [first, end) at which the lane was found dead."""
        lane, losses, alive = self._lanes[row], self._columns[0][:, row], self._columns[5][::GRAD_NORM_EVERY, row]
        for step in _gradient_looks(first, end):
            window = losses[max(step + 1 - lane.criterion.window, 0) : step + 1].tolist()
            counted = step // GRAD_NORM_EVERY + 1
            # the first and the last few decide: all of them at every look would cost the square of the steps
            asked = [alive[0], *alive[max(counted - DEAD_LOOKS, 1) : counted]]
            if is_dead(lane, float(losses[0]), window, asked):
                return step
        return None

    def _meets(self, row: int, step: int) -> bool:
        lane, bound = self._lanes[row], float(np.asarray(self._bound)[row])
        span = slice(max(step + 1 - lane.criterion.window, 0), step + 1)
        return meets(lane, bound, self._columns[0][span, row].tolist(), _optional(self._columns[1][span, row]))

    def _history(self, row: int, steps: int, *, non_finite: bool = False, dead: bool = False) -> History:
        loss, accuracy, norm, lr, clipped = (column[:steps, row] for column in self._columns[:5])
        return History(
            lane=self._lanes[row],
            steps_per_epoch=self._steps_per_epoch,
            losses=loss.tolist(),
            accuracies=_optional(accuracy),
            grad_norms=_optional(norm),
            lrs=lr.tolist(),
            clipped=[None if c is None else bool(c) for c in _optional(clipped)],
            reached=int(self._reached[row]) or None,
            non_finite=non_finite,
            dead=dead,
        )


def _optional(column: Table) -> list[float | None]:
    return [None if value != value else value for value in column.tolist()]


def _gradient_looks(first: int, last: int) -> range:
    """Steps within [first, last) whose gradients were looked at."""
    return range(first + -first % GRAD_NORM_EVERY, last, GRAD_NORM_EVERY)
