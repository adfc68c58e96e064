"""A lane's key: what our policies say is all of them; of anybody else's the source and the weights count, too."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from etastar import Lane, Problem, RunStore
from etastar.core.randomness import derive_seed
from etastar.policies import Constant
from etastar.policies.compose import PerGroup, Then, Times
from etastar.policies.policy import Policy
from etastar.policies.schedule import Schedule
from etastar.store.lane_key import code_of, lane_keys
from processes import PATIENCE
from store_cases import FACTS, TRACE, Counting, lane
from third_party.install import HALVING

SOURCE = (HALVING / "halving_policy.py").read_text()
FORMS = {
    "alone": lambda mine: mine,
    "in a composition": lambda mine: Then(Constant(), 5, Times(mine, 0.5)),
    "for a group": lambda mine: PerGroup({"0": mine}, Schedule().over(9)),
}


def written(folder: Path, source: str) -> ModuleType:
    """A module of this source in `folder`, imported anew."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "halving_policy.py").write_text(source)
    return imported(folder)


def imported(folder: Path) -> ModuleType:
    """The module in `folder`, whichever was imported by its name before."""
    spec = importlib.util.spec_from_file_location("halving_policy", folder / "halving_policy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["halving_policy"] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # two versions within one second look alike
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


PLACES = ("own", "site-packages")


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """A folder of the user's, and one that counts as installed."""
    yield tmp_path / request.param
    sys.modules.pop("halving_policy", None)


def key(policy: Policy) -> str:
    return lane_keys("a-problem", [lane(0.1, policy=policy)], "loop")[0]


def test_policies_of_etastar_keep_the_keys_they_had():
    for policy in (Constant(), Schedule(decay=0.5).over(9), Then(Constant(), 3, Times(Constant(), 0.5))):
        one = lane(0.1, policy=policy)
        parts = (one.lr, one.seed, one.steps, one.until.value, one.criterion, policy, "loop")
        assert code_of(policy) is None
        assert key(policy) == f"a-problem-{derive_seed('a-problem', repr(parts)):016x}"


@pytest.mark.parametrize("form", FORMS)
def test_a_byte_of_its_step_counts_and_a_comment_does_not(form, place):
    first = key(FORMS[form](written(place, SOURCE).Halving(0.5, 8)))
    assert key(FORMS[form](written(place, SOURCE).Halving(0.5, 8))) == first
    assert key(FORMS[form](written(place, SOURCE + "# said later\n").Halving(0.5, 8))) == first
    assert key(FORMS[form](written(place, SOURCE.replace("* (0.5 if", "* (0.4 if")).Halving(0.5, 8))) != first
    assert key(FORMS[form](written(place, SOURCE.replace(">=", ">")).Halving(0.5, 8))) != first
    assert key(FORMS[form](written(place, SOURCE).Halving(0.25, 8))) != first


def test_a_changed_policy_is_trained_again_and_the_same_is_not(noisy: Problem, place, tmp_path):
    engine, store = Counting(), RunStore(str(tmp_path / "runs.db"))
    store.register(noisy, "f", TRACE, FACTS)
    for source, trained in ((SOURCE, 1), (SOURCE, 1), (SOURCE.replace("* (0.5 if", "* (0.4 if"), 2), (SOURCE, 2)):
        policy = written(place, source).Halving(0.5, 20)
        (outcome,) = store.get_or_train(engine, noisy, [lane(0.1, policy=policy)])
        assert len(engine.trained) == trained
        assert outcome.trace[-1].lr == pytest.approx(0.04 if "0.4 if" in source else 0.05)


def keys(folder: Path) -> list[str]:
    """Of the policy in `folder`, in every form."""
    return [key(make(imported(folder).Halving(0.5, 8))) for make in FORMS.values()]


def test_another_process_has_the_same_keys(tmp_path):
    folders = [tmp_path / name for name in PLACES]
    for folder in folders:
        written(folder, SOURCE)
    here = {str(folder): keys(folder) for folder in folders}
    sys.modules.pop("halving_policy")
    code = "from pathlib import Path; from unit.store.test_lane_key import keys; "
    code += f"print({{folder: keys(Path(folder)) for folder in {list(here)}}})"
    paths = os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")))
    env = os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "1"}  # in this process hashes are salted as they happen to be
    ran = subprocess.run((sys.executable, "-c", code), env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.stdout.strip() == str(here), ran.stderr


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A rate that a network reads off the loss; its `repr` is Python's own, with an address."""

    net: nn.Module
    reads = ("loss",)

    def init(self, lr):
        return lr

    def step(self, observation, state):
        return state * self.net(observation["loss"].reshape(1)).exp(), state


def test_weights_count_and_the_place_in_memory_does_not():
    nets = [nn.Linear(1, 1) for _ in range(2)]
    for net in nets:
        nn.init.constant_(net.weight, 0.5), nn.init.zeros_(net.bias)
    first, same = (Network(net) for net in nets)
    assert " at 0x" in repr(first) and repr(first) != repr(same)
    assert key(first) == key(same)
    with torch.no_grad():
        nets[1].bias += 1e-3
    assert key(first) != key(same)


def test_lanes_of_one_policy_are_keyed_as_each_alone():
    mine = Network(nn.Linear(1, 1))
    lanes: list[Lane] = [lane(lr, policy=policy) for lr in (0.1, 0.2) for policy in (mine, Constant())]
    assert lane_keys("p", lanes, "loop") == [lane_keys("p", [one], "loop")[0] for one in lanes]
