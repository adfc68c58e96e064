"""`surface`: the default choice."""

from __future__ import annotations

import etastar
from etastar.designs.surface.surface import SurfaceData
from etastar.designs.surface.surface_cells import cells_of
from etastar.laws import Record
from etastar.verbs.surface.surface import default_choice


def data(rows) -> SurfaceData:
    """One cell per (lr, horizon, losses of its seeds); a seed with a loss above 1 has not trained."""
    records = [
        Record(lr, "constant", horizon, seed, loss, status=etastar.core.LaneStatus("trained" if loss < 1 else "slow"))
        for lr, horizon, losses in rows
        for seed, loss in enumerate(losses)
    ]
    return SurfaceData(tuple(records), cells_of(records), (), None, None)


def test_the_default_choice_is_reliability_then_accuracy_at_the_planned_steps():
    rows = [(0.1, 100, (0.3, 0.3)), (0.2, 100, (0.2, 0.2)), (0.4, 100, (0.05, 2.0)), (0.1, 400, (0.01, 0.01))]
    chosen, sentence = default_choice(data(rows), 100)
    assert (chosen.lr, chosen.horizon) == (0.2, 100) and "most seeds train (100%)" in sentence
    assert default_choice(data(rows), 77)[0].horizon == 400
    assert default_choice(data([]), 100)[0] is None
