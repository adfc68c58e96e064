"""`surface`: the default choice, the rate in use, and the optimizer variants of `momentum`."""

from __future__ import annotations

import cloudpickle
import pytest
import torch
from torch import nn

import etastar
from etastar import ProblemError, Record
from etastar.designs.surface.surface import SurfaceData
from etastar.designs.surface.surface_cells import cells_of
from etastar.problems.variants import with_optimizer_setting
from etastar.verbs.surface.surface import default_choice


def data(rows) -> SurfaceData:
    """One cell per (lr, horizon, losses of its seeds); a seed with a loss above 1 has not trained."""
    records = [
        Record(lr, "constant", horizon, seed, loss, status=etastar.LaneStatus("trained" if loss < 1 else "slow"))
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


def test_a_variant_changes_one_setting_in_every_group_and_travels(small):
    groups = lambda m: torch.optim.SGD([{"params": [p]} for p in m.parameters()], lr=0.1, momentum=0.9)
    variant = cloudpickle.loads(cloudpickle.dumps(with_optimizer_setting(small.but(optimizer=groups), momentum=0.5)))
    optimizer = variant.optimizer(nn.Linear(2, 2))
    assert {g["momentum"] for g in optimizer.param_groups} == {0.5} and optimizer.defaults["momentum"] == 0.5
    with pytest.raises(ProblemError, match="SGD has no setting 'betas'"):
        with_optimizer_setting(small, betas=(0.5, 0.9)).optimizer(nn.Linear(2, 2))


def test_a_variant_is_another_problem_for_the_store(small):
    from etastar.store.fingerprint import fingerprint

    variants = [small, with_optimizer_setting(small, momentum=0.5), with_optimizer_setting(small, momentum=0.9)]
    assert len({fingerprint(p, {}, "0") for p in variants}) == 3
    assert fingerprint(variants[1], {}, "0") == fingerprint(with_optimizer_setting(small, momentum=0.5), {}, "0")
