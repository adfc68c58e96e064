"""Optimizer settings that differ from lane to lane: momentum and weight decay are numbers per row, as rates are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from etastar.core.lane import Lane
from etastar.core.setup import Setup
from etastar.engine.lanes.rows import Layout
from etastar.engine.lanes.rules.rule import PER_LANE

Settings = tuple[tuple[str, Any], ...]


def apart(settings: Settings) -> Settings:
    """What keeps a lane from training with others: its settings but for the values of those rows can hold.

    >>> apart((("momentum", 0.9), ("nesterov", True)))
    (('momentum', None), ('nesterov', True))
    """
    return tuple((name, None if name in PER_LANE else value) for name, value in settings)


def vary(layout: Layout, setup: Setup, lanes: Sequence[Lane]) -> None:
    """Give every lane its settings: rules get numbers per lane, or one for all where it is the same.

    `setup` is of one lane and not yet changed; all lanes have settings of the same names (see `apart`).
    """
    for name, first in lanes[0].settings:
        values = [dict(lane.settings)[name] for lane in lanes]
        if name not in PER_LANE or all(value == first for value in values):
            for group, own in zip(layout.groups, setup.changed(name, first), strict=True):
                group.rule.settings[name] = own
            continue
        like = torch.empty((), dtype=layout.dtype, device=next(setup.model.parameters()).device)
        by_group = zip(*(setup.changed(name, value) for value in values), strict=True)
        for group, own in zip(layout.groups, by_group, strict=True):
            group.rule.vary(name, torch.tensor(own, dtype=torch.float64), like)
