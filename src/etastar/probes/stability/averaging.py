"""`averaging_gain`: what a lower rate would win in each block, read from an average of the weights, without a fork."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.arguments import shown
from etastar.core.batch import Batch
from etastar.core.objective import without_graph
from etastar.errors import ProblemError
from etastar.probes.stability.blocks import blocks_of, unwrapped
from etastar.probes.stability.objective_module import ObjectiveModule
from etastar.probes.wide import wide

CLEAR = 2.0
"""Standard errors over batches beyond which a gain is told from none, and from another."""


@dataclass(frozen=True)
class BlockGain:
    """How much the loss falls where one block has averaged weights.

    Args:
        name: of the block.
        wins: loss(as trained) - loss(this block averaged), a mean over batches.
        error: its standard error, of differences batch by batch; NaN of a single batch.
    """

    name: str
    wins: float
    error: float


@dataclass(frozen=True)
class AveragingGain:
    """What averaging wins now.

    Args:
        loss: of the weights as trained.
        blocks: each alone.
        everything: all weights averaged.
    """

    loss: float
    blocks: tuple[BlockGain, ...]
    everything: BlockGain

    @property
    def decay_next(self) -> str | None:
        """The block that would win most by a lower rate; None where no block wins beyond doubt."""
        clear = [block for block in self.blocks if block.wins > CLEAR * block.error]
        return max(clear, key=lambda block: block.wins).name if clear else None

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.decay_next is None:
            return "no block wins beyond doubt by averaging: a lower rate would win nothing yet, or the average is too young"
        best = next(block for block in self.blocks if block.name == self.decay_next)
        share = f" of the {self.everything.wins:.3g} that all win" if self.everything.wins > best.wins else ""
        return (
            f"{best.name or 'model'} wins most, {best.wins:.3g} +- {best.error:.1g}{share}; a lower rate for all of them at "
            "once is hard to beat"
        )


def averaging_gain(
    model: nn.Module,
    ema: nn.Module | Mapping[str, torch.Tensor],
    batches: Iterable[Batch],
    *,
    loss: Callable[[Any, Any], torch.Tensor] | None = None,
    loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None,
    blocks: str | Sequence[str] | None = None,
) -> AveragingGain:
    """What each block would win by a lower rate now: its weights are replaced by their average over the last steps.

    Weights that settle at a lower rate end near the average of those that do not: over 320 steps of a ResNet-18 the average
    won all that decay did. Losses are compared batch by batch. BatchNorm takes the statistics of the batch on both sides:
    running ones are of other weights. Dropout is off.

    Args:
        model: as it is trained.
        ema: an average of its weights, e.g. `torch.optim.swa_utils.AveragedModel`, or {name: tensor}. Over a horizon (.99:
            100 steps) shorter than a third of what has passed at this rate.
        batches: to compare on, twenty say; training batches, for the training loss.
        loss: (outputs, targets) -> scalar.
        loss_fn: (model, batch) -> scalar, instead of `loss`.
        blocks: names or globs of modules; None: automatic, see `blocks_of`.

    Raises:
        ProblemError: no batch, or the average is not one of this model's weights.

    >>> net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    >>> net.weight.data.fill_(3.0).item()
    3.0
    >>> batch = torch.ones(4, 1).double(), torch.zeros(4, 1).double()
    >>> gain = averaging_gain(net, {"weight": torch.ones(1, 1).double()}, [batch] * 2, loss=nn.functional.mse_loss)
    >>> gain.loss, gain.everything.wins, gain.everything.error
    (9.0, 8.0, 0.0)
    """
    objective = ObjectiveModule(model, loss, loss_fn)
    average = _average(objective.model, ema)
    of_block = lambda name: {f"{name}.{p}" if name else p for p, _ in objective.model.get_submodule(name).named_parameters()}
    chosen = {name: of_block(name) for name in blocks_of(objective.model, blocks)}
    arms = [{}, *({p: average[p] for p in average if p in names} for names in chosen.values()), average]
    rows: list[list[float]] = []
    for batch in batches:
        wider, values = wide(batch), []
        for arm in arms:
            with objective.still():
                values.append(float(without_graph(objective.at, arm, wider).detach()))
        rows.append(values)
    if not rows:
        raise ProblemError("averaging_gain got no batch; expected some of those that are trained on, twenty say")
    losses = torch.tensor(rows, dtype=torch.float64)
    wins = losses[:, :1] - losses[:, 1:]
    errors = wins.std(0) / math.sqrt(len(rows)) if len(rows) > 1 else torch.full_like(wins[0], math.nan)
    found = [BlockGain(*row) for row in zip([*chosen, "all"], wins.mean(0).tolist(), errors.tolist(), strict=True)]
    return AveragingGain(float(losses[:, 0].mean()), tuple(found[:-1]), found[-1])


def _average(model: nn.Module, ema: nn.Module | Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """name -> averaged weights, as the model calls them."""
    if isinstance(ema, torch.optim.swa_utils.AveragedModel):
        ema = ema.module
    if not isinstance(ema, (nn.Module, Mapping)):
        raise ProblemError(f"ema is {shown(ema)}; expected an average of the model's weights: a module, or {{name: tensor}}")
    given = dict(unwrapped(ema).named_parameters()) if isinstance(ema, nn.Module) else dict(ema)
    own = dict(model.named_parameters())
    for name, p in own.items():
        if name not in given or given[name].shape != p.shape:
            what = f"a {name!r} of shape {tuple(given[name].shape)}" if name in given else f"no {name!r}"
            raise ProblemError(f"the average has {what}; expected {tuple(p.shape)}: average the weights of this model")
    return {name: given[name].detach().to(p.device, torch.promote_types(p.dtype, torch.float32)) for name, p in own.items()}
