"""What makes two problems the same problem: a digest of code, settings, shapes and data. In doubt, different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from etastar.core.batch import is_tensor_tree
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness, seed_everything
from etastar.errors import call
from etastar.policies.compose import parts_of
from etastar.policies.policy import Policy
from etastar.store.description import digest, without_addresses

CODE = ("model", "optimizer", "loss", "loss_fn", "metric_fn", "loop")
SAMPLES = 64
"""Samples of a dataset that are read, evenly spaced; its attributes count whole."""


def fingerprint(problem: Problem, facts: Mapping[str, Any], version: str) -> str:
    """A 32-digit digest of everything that decides what a lane of `problem` does, the learning rate apart.

    Args:
        facts: names and shapes of the model's state, the optimizer's class, defaults and multipliers.
        version: of etastar.
    """
    code = problem.name or [getattr(problem, part) for part in CODE]
    own_policy = _kinds_of(problem.schedule) if isinstance(problem.schedule, Policy) else None  # settings: the lane's `repr`
    with isolated_randomness():  # a dataset may draw at random, and may not move the caller's state
        seed_everything(0)
        watched = () if problem.watch is None else (problem.watch,)  # what has none keeps its fingerprint
        data = [(digest(some), _samples(some)) for some in (problem.train, problem.valid, *watched)]
    settings = (problem.clip_grad_norm, problem.accumulate, problem.batch_size, str(torch.get_default_dtype()))
    known = sorted((k, without_addresses(repr(v))) for k, v in facts.items())
    begun = () if problem.start_from is None else (problem.before, problem.start_from)  # fresh ones keep their fingerprint
    return digest([version, code, own_policy, settings, known, data, *begun])


def _kinds_of(policy: Policy) -> list[object]:
    """The classes, which hold the code, of a policy and of those it is made of."""
    return [type(policy), *map(_kinds_of, parts_of(policy))]


def _samples(data: Any) -> list[str]:
    """Digests of samples of a dataset, which its attributes alone may not tell (files)."""
    data = data.dataset if isinstance(data, DataLoader) else data
    if data is None or is_tensor_tree(data) or isinstance(data, (TensorDataset, IterableDataset)):
        return []
    try:
        n = len(data)
    except (TypeError, NotImplementedError):
        return []
    indices = sorted({round(i * (n - 1) / max(SAMPLES - 1, 1)) for i in range(SAMPLES)}) if n else []
    return [digest(call("reading a sample", data.__getitem__, i)) for i in indices]
