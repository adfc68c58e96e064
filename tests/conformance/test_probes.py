"""What every probe must do, on every kind of problem: an answer or a reason, twice the same, and no trace."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import FrozenInstanceError, is_dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from catalog import OPTIMIZERS, PROBES
from etastar import Probe, Problem
from etastar.core.randomness import isolated_randomness
from etastar.probes.newton_step import CauchyStep, NewtonStep
from etastar.probes.point import Point
from etastar.probes.start import starting_point
from etastar.testing import check_probe
from etastar.verbs.probe import all_probes, probe

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.1, batch_first=True, norm_first=True)
    return nn.Sequential(nn.Unflatten(1, (1, 6)), layer, nn.Flatten(), nn.Linear(6, 3))


def by_key(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(model(batch["x"]), batch["y"])


def problem(model: Callable[[], nn.Module], **changes) -> Problem:
    settings = {"optimizer": OPTIMIZERS["momentum"], "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": 20}
    return Problem(model=model, **(settings | changes))


LOADER = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(7))
PROBLEMS = {
    "MLP": problem(mlp),
    "MLP, Adam": problem(mlp, optimizer=OPTIMIZERS["Adam"]),
    "CNN with BatchNorm": problem(cnn, optimizer=OPTIMIZERS["AdamW, groups"]),
    "transformer": problem(transformer, optimizer=OPTIMIZERS["Adam"]),
    "dict batches": problem(mlp, loss=None, loss_fn=by_key, train={"x": X, "y": Y}),
    "a loader of one's own": problem(mlp, train=LOADER, batch_size=None),
    "batch size 1": problem(mlp, batch_size=1),
    "one sample": problem(mlp, train=(X[:1], Y[:1]), batch_size=1),
}


def trace(p: Point) -> list[torch.Tensor]:
    """Everything of the caller's that a probe could change, as copies; and the random state."""
    optimizer = p.optimizer
    owned = [*p.model.parameters(), *p.model.buffers(), *(q.grad for q in p.model.parameters() if q.grad is not None)]
    settings = repr([{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups])
    state = repr(sorted(repr(s) for s in optimizer.state.values())) + repr(sorted(vars(optimizer)))
    modes = repr([m.training for m in p.model.modules()])
    texts = [settings, state, modes, repr(random.getstate()), repr(np.random.get_state())]
    return [*(t.detach().clone() for t in owned), torch.get_rng_state(), *(torch.tensor(list(t.encode())) for t in texts)]


def start(name: str) -> Point:
    with isolated_randomness():
        return starting_point(PROBLEMS[name], 0)


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_frozen_settings_with_a_name_a_meaning_and_a_caveat(name):
    each = PROBES[name]
    assert isinstance(each, Probe) and is_dataclass(each)
    assert hash(each) == hash(type(each)(**vars(each)))
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        each.tolerance = 1.0
    assert all(len(text) > 3 for text in (each.name, each.meaning, each.caveat, type(each).__doc__))
    assert each.unit


def test_every_probe_is_in_the_catalog_and_in_the_verb():
    of_predict = {CauchyStep, NewtonStep}
    assert {type(p) for p in PROBES.values()} == {type(p) for p in all_probes()} | of_predict
    assert [p.name for p in PROBES.values()] == list(PROBES)


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("name", PROBES)
def test_every_probe_keeps_the_contract(name, kind):
    check_probe(PROBES[name], lambda: start(kind))
    assert PROBES[name](start(kind)).loss in ("cross_entropy", "by_key")


@pytest.mark.parametrize("kind", ["MLP", "CNN with BatchNorm", "transformer", "dict batches", "a loader of one's own"])
def test_ordinary_problems_have_a_sharpness_and_a_critical_rate(kind):
    p = start(kind)
    for name in ("lambda1", "lambda1, preconditioned", "curvature along update", "eta_c", "update ratio"):
        assert PROBES[name](p).ok, PROBES[name](p).estimate.reason


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizers_real_first_step_is_taken_back(optimizer):
    settings = {"model": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))}
    with isolated_randomness():
        p = starting_point(problem(**settings, optimizer=OPTIMIZERS[optimizer]), 0)
    before = trace(p)
    for name in ("eta_c", "curvature along update", "update ratio"):
        reading = PROBES[name](p)
        assert reading.ok or reading.estimate.reason
        assert all(torch.equal(a, b) for a, b in zip(before, trace(p), strict=True))
    assert PROBES["update ratio"](p).ok


def test_the_verb_leaves_the_callers_random_state_and_loader_alone():
    states = [torch.get_rng_state(), LOADER.generator.get_state(), random.getstate(), repr(np.random.get_state())]
    first = probe(PROBLEMS["a loader of one's own"])
    after = [torch.get_rng_state(), LOADER.generator.get_state(), random.getstate(), repr(np.random.get_state())]
    assert torch.equal(states[0], after[0]) and torch.equal(states[1], after[1]) and states[2:] == after[2:]
    torch.rand(3)
    again = probe(PROBLEMS["a loader of one's own"])
    assert first.readings == again.readings
    assert copy.copy(first).yours == again.yours


def test_a_loop_of_ones_own_has_readings_without_values():
    answer = probe(Problem.from_loop(lambda lr, seed, report: None, steps=5, lr=0.1))
    assert not answer.ok
    assert len(answer.readings) == len(all_probes())
    assert all("a training loop of your own" in r.estimate.reason for r in answer.readings)
