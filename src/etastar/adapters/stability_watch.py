"""`StabilityWatch`: what steps change in a network, block by block, in anyone's training loop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from etastar.adapters.loggers import Scalars, rates_of
from etastar.arguments import EVERY
from etastar.core.batch import Batch
from etastar.core.told import told
from etastar.errors import ProblemError
from etastar.probes.stability.change import Stability
from etastar.probes.stability.look import StabilityLook
from etastar.probes.stability.stability_probe import StabilityProbe

EVERY_STEPS = 100
"""Two looks and their comparison take as long as 2.2 to 2.5 training steps of as many samples (2026-11-26_stability): 2.2 %
of so many; every 75 steps it was 3.2 %."""


class StabilityWatch:
    """Reads A_b, B_b and F (see `StabilityProbe`) of a training that goes on, bit for bit, as if nobody had looked:

        watch = StabilityWatch(optimizer, model, (x0, y0), loss=F.cross_entropy)
        ...
        optimizer.step()
        watch.step()

    After every `every` optimizer steps there is a row, of the last `k`. Steps are counted by the optimizer: a step that a
    GradScaler skips, or a batch that only accumulates, is none.

    Args:
        optimizer: of the loop.
        model: any module; compiled and distributed ones are unwrapped.
        batch: that is always the same, best as large as those trained on.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.
        blocks, split: see `StabilityProbe`.
        every: optimizer steps from row to row.
        k: steps that a row compares; `every` makes it one look after the other.
        logger: to which rows go as `stability/A/BLOCK`, `stability/B/BLOCK` and `stability/F`, and the rates.
        taken: steps taken before, where a training is resumed.

    Attributes:
        rows: what was read, `Stability` by `Stability`.

    Raises:
        ProblemError: a block that does not exist, or k > every.

    >>> net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> net.weight.data.fill_(1.0).item()
    1.0
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.25)
    >>> batch = torch.ones(4, 1).double(), torch.zeros(4, 1).double()
    >>> watch = StabilityWatch(sgd, net, batch, loss=nn.functional.mse_loss, every=2)
    >>> for _ in range(4):  # each step halves the weight
    ...     net.weight.grad = 2 * net.weight.detach()
    ...     sgd.step()
    ...     _ = watch.step()
    >>> [(row.step, row.k, row.rate, row.blocks[0].forward) for row in watch.rows]
    [(2, 1, 0.25, 0.5), (4, 1, 0.25, 0.5)]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        batch: Batch,
        *,
        loss: Callable[[Any, Any], torch.Tensor] | None = None,
        loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None,
        blocks: str | Sequence[str] | None = None,
        split: bool = False,
        every: int = EVERY_STEPS,
        k: int = 1,
        logger: Scalars | None = None,
        taken: int = 0,
    ) -> None:
        self._every, self._k = EVERY("every", every), EVERY("k", k)
        if k > every:
            raise ProblemError(f"k is {k}, and the watch has a row every {every} steps; expected k <= every")
        self.probe = StabilityProbe(model, batch, loss=loss, loss_fn=loss_fn, blocks=blocks, split=split)
        self.rows = list[Stability]()
        self._optimizer, self._logger = optimizer, logger
        self._last: StabilityLook | None = None
        self._taken, self._asked, self._rate = taken, taken, math.nan
        optimizer.register_step_post_hook(self._stepped)

    def step(self) -> Stability | None:
        """Look, where it is time; call after `optimizer.step()`.

        Returns:
            A row, where this step ends one.
        """
        taken, fresh = self._taken, self._taken != self._asked
        self._asked = taken
        if not fresh or taken % self._every not in (0, self._every - self._k):
            return None
        before, self._last = self._last, self.probe.look(step=taken, rate=self._rate)
        if before is None or taken % self._every or taken - before.step != self._k:
            return None
        self.rows.append(self.probe.change(before, self._last))
        if self._logger is not None:
            self._logger.log(taken, {**rates_of(self._optimizer), **_scalars(self.rows[-1])})
        return self.rows[-1]

    def table(self) -> str:
        """A line a row: step, rate, F, and A and B of every block."""
        return table(self.rows)

    def to_json(self) -> str:
        """The rows; numbers that are none are null."""
        return json.dumps(told(self.rows), indent=1)

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Called by the optimizer once it has stepped."""
        self._taken += 1
        self._rate = max(float(group["lr"]) for group in optimizer.param_groups)


def _scalars(row: Stability) -> dict[str, float]:
    found = {"stability/F": row.kl}
    for block in row.blocks:
        name = block.name or "model"
        found |= {f"stability/A/{name}": block.forward, f"stability/B/{name}": block.backward}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def table(rows: Sequence[Stability]) -> str:
    """Rows as text, a line each.

    >>> from etastar.probes.stability.change import BlockStability
    >>> print(table([Stability(75, 1, 0.1, 2.3, 1e-3, (BlockStability("fc", 0.0123, 0.2, 0.98, 0.9),))]))
      step     rate        F     A fc     B fc
        75      0.1    0.001   0.0123      0.2
    """
    names = [block.name or "model" for block in rows[-1].blocks] if rows else []
    heads = ["rate", "F", *(f"{kind} {name}" for kind in "AB" for name in names)]
    widths = [max(8, len(head)) for head in heads]
    lines = ["  step " + " ".join(head.rjust(width) for head, width in zip(heads, widths, strict=True))]
    for row in rows:
        values = [row.rate, row.kl, *(b.forward for b in row.blocks), *(b.backward for b in row.blocks)]
        lines.append(f"{row.step:>6} " + " ".join(f"{x:.3g}".rjust(width) for x, width in zip(values, widths, strict=True)))
    return "\n".join(lines)
