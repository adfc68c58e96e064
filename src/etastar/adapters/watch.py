"""`watch`: says that a rate will diverge before it does, in anyone's training loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.adapters.caution import Caution
from etastar.adapters.edge_look import EdgeLook, EdgeRatio
from etastar.adapters.loggers import Logger, rates_of
from etastar.adapters.rising import Rising
from etastar.arguments import POSITIVE
from etastar.core.gradients import flat_parameters, gradient_values
from etastar.core.kinds import is_plain_adam
from etastar.core.optimizers import checked_optimizer
from etastar.errors import DoesNotApply

LOG = logging.getLogger("etastar")
BOUNDS = {"sgd": 0.56, "adam": 8.5}
"""Of the edge ratio: what one in twenty small trainings that went well passed (benchmarks/records/2026-11-26_early_warning).
SGD's noise lets trainings go wrong below the edge; Adam comes back from far beyond it."""
NORM_BOUND = 16.0
"""Of the gradient's norm over its lowest trend so far, where there is no edge to look at; same record, SGD."""
EVERY_STEPS = 500
"""A look costs about ten small steps (same record): 2 % of so many, beside the norm of every step (a tenth of 1 ms). Over
2,000 steps looks every 200 caught no divergence more, every 50 four more of 25 under SGD (2026-11-26_early_warning_long)."""
CUT = 0.5
"""Of the bound, where a cut leads to: sharpness rises until the next look."""


@dataclass(frozen=True)
class Watched:
    """What a look read.

    Args:
        step: optimizer steps taken before.
        edge, along: the edge ratio, and that along the gradient, see `EdgeLook`; NaN where there is none.
        norm: of the gradient, the mean of about the last three steps.
        move: |change of the parameters| / |parameters| of the last update after a look; NaN before the first.
    """

    step: int
    edge: float
    along: float
    norm: float
    move: float


class Watcher:
    """Watches a training that goes on as if nobody did:

        watcher = etastar.watch(optimizer, model, lambda: loss_fn(model(x0), y0))
        ...
        loss.backward()
        if caution := watcher.step(loss):        # after scaler.unscale_, before gradients are clipped
            print(caution)
        optimizer.step()

    Every step costs a norm. A look at the curvature is taken at the first step, every `every` steps, and where the rate or
    the norm has risen by half since the last. Between looks the edge ratio follows the rate. It warns once each time the
    ratio rises beyond its bound, and of a loss or gradient that is not finite. Other optimizers than SGD and Adam(W), and
    losses without second derivatives, are watched by the gradient's norm, which is said once.

    Args:
        optimizer: of the loop.
        model: whose buffers and modes a look keeps as they are.
        loss: () -> scalar loss of the model on a batch that is always the same, a few times as large as those trained on.
        every: optimizer steps from look to look.
        bound: of the edge ratio; None: `BOUNDS` of the optimizer's kind.
        logger: to which a look's readings go, and the rates.

    Attributes:
        taken: optimizer steps since.
        looks: what was read, `Watched` by `Watched`.
        cautions: all that was warned of.

    >>> x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    >>> sgd = torch.optim.SGD([x], lr=0.5)
    >>> watcher = Watcher(sgd, nn.ParameterList([x]), lambda: (2 * x**2).sum(), bound=1.2)
    >>> watcher.step(2.0) is None, round(watcher.looks[0].edge, 6)
    (True, 1.0)
    >>> sgd.param_groups[0]["lr"] = 0.7
    >>> round(watcher.step(2.0).value, 6)
    1.4
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        loss: Callable[[], torch.Tensor],
        *,
        every: int = EVERY_STEPS,
        bound: float | None = None,
        logger: Logger | None = None,
    ) -> None:
        self._optimizer, self._logger = checked_optimizer(optimizer), logger
        self._bound = POSITIVE("bound", BOUNDS["adam" if is_plain_adam(optimizer) else "sgd"] if bound is None else bound)
        self._rising = Rising(every)
        self._look: EdgeLook | None = None
        self.looks, self.cautions = list[Watched](), list[Caution]()
        self.taken, self._over, self._lowest = 0, False, math.inf
        self._before: torch.Tensor | None = None
        self._move, self._looked_at = math.nan, math.nan
        try:
            self._look = EdgeLook(optimizer, model, loss)
        except DoesNotApply as why:
            self._without(why)
        optimizer.register_step_post_hook(self._stepped)

    def step(self, loss: Any = None) -> Caution | None:
        """Look at what the coming update does; call between the backward pass and `optimizer.step()`.

        Args:
            loss: of this step, a number or a tensor of one.

        Returns:
            A warning, where this step is the first to be beyond a bound.
        """
        rate = self._rate()
        norm = self._norm()
        told = 0.0 if loss is None else float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        if not (math.isfinite(norm) and math.isfinite(told)):
            sign = "the loss" if math.isfinite(norm) else "the gradient's norm"
            return self._judged(Caution(self.taken, sign, math.nan, math.nan, rate, CUT), beyond=True)
        if self._rising.due(self.taken, rate, norm):
            self._read(rate)
        return self._judged(*self._sign(rate))

    def _sign(self, rate: float) -> tuple[Caution, bool]:
        """The caution that would be, and whether it is."""
        if self._look is None:
            self._lowest = min(self._lowest, self._rising.trend)
            value, bound = self._rising.trend / self._lowest if self._lowest else 1.0, NORM_BOUND
            sign = "the gradient's norm, in its lowest so far,"
        else:
            share = rate / self._looked_at if self._looked_at else math.nan
            value, bound = self.looks[-1].edge * share, self._bound
            sign = f"rate x lambda1, as a share of the edge {self._look.formula},"
        factor = min(1.0, CUT * bound / value) if value > 0 else 1.0
        return Caution(self.taken, sign, value, bound, rate, factor), value > bound

    def _judged(self, caution: Caution, beyond: bool) -> Caution | None:
        """Said once, until it was no longer so."""
        fresh, self._over = beyond and not self._over, beyond
        if not fresh:
            return None
        self.cautions.append(caution)
        LOG.warning("%s", caution)
        return caution

    def _read(self, rate: float) -> None:
        """Look, and note what was seen."""
        edge = EdgeRatio(math.nan, math.nan)
        if self._look is not None:
            try:
                edge = self._look()
            except DoesNotApply as why:
                self._without(why)
        self._looked_at = rate
        self.looks.append(Watched(self.taken, edge.top, edge.along, self._rising.trend, self._move))
        self._before = flat_parameters(self._parameters())
        if self._logger is not None:
            names = {"edge": "edge", "along": "edge_along_gradient", "norm": "gradient_norm", "move": "update_ratio"}
            last = {f"watch/{name}": getattr(self.looks[-1], own) for own, name in names.items()}
            told = {name: value for name, value in last.items() if not math.isnan(value)}
            self._logger.log(self.taken, {**rates_of(self._optimizer), **told})

    def _without(self, why: DoesNotApply) -> None:
        """Go on by the norm alone."""
        self._look = None
        LOG.warning("the edge of stability is not looked at: %s; the gradient's norm is watched instead", why)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Called by the optimizer once it has stepped."""
        self.taken += 1
        if self._before is not None:
            moved = torch.linalg.vector_norm(flat_parameters(self._parameters()) - self._before)
            self._move = float(moved / torch.linalg.vector_norm(self._before))
            self._before = None

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self._optimizer.param_groups)

    def _norm(self) -> float:
        values = gradient_values(self._parameters())
        return float(torch.nn.utils.get_total_norm(values)) if values else 0.0

    def _parameters(self) -> list[torch.Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"] if p.requires_grad]


watch = Watcher
"""What a loop calls."""
