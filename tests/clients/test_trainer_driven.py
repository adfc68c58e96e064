"""A policy drives a real Trainer; checkpointed, killed and resumed it goes on as if nothing had happened."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from clients import hf
from clients.process import script
from etastar.adapters.torch import PolicyLR
from etastar.adapters.transformers import drive
from etastar.errors import ProblemError

pytestmark = pytest.mark.filterwarnings("default")
POLICIES = {
    "shape": "wsd:warmup=0.25,decay=0.5",
    "loss": "greedy:signal=loss,every=1,patience=0,factor=0.7",
    "gradients": "hypergradient:beta=0.2",
    "valid_loss": "plateau:signal=valid_loss,every=2,patience=0,factor=0.5,threshold=0.2",
}
SETTINGS = {"gradient_accumulation_steps": 4, "max_grad_norm": 0.5, "save_strategy": "steps", "save_steps": 5}


def driven(folder: Path, policy: str, **settings):
    looks = {"eval_strategy": "steps", "eval_steps": 1} if "valid_loss" in policy else {}
    trainer = hf.trainer(folder, **SETTINGS, **looks, **settings)
    drive(trainer, policy)
    return trainer


class Killed(TrainerCallback):
    """Ends the process as `kill -9` does, in the midst of a step."""

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == 7:
            signal.raise_signal(signal.SIGKILL)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_killed_and_resumed_it_trains_as_undisturbed(tmp_path, policy):
    undisturbed = driven(tmp_path / "whole", policy)
    undisturbed.train()
    assert len(set(hf.rates(undisturbed))) > 2

    ended = script(__file__, tmp_path / "killed", policy)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed = driven(tmp_path / "killed", policy)
    resumed.train(resume_from_checkpoint=True)

    assert hf.rates(resumed)[:12] == hf.rates(undisturbed)[:12] and len(hf.rates(resumed)) >= 12
    own, other = resumed.model.state_dict(), undisturbed.model.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_schedule_is_that_of_transformers(tmp_path):
    ours, theirs = driven(tmp_path / "a", "linear"), hf.trainer(tmp_path / "b", **SETTINGS, warmup_steps=0)
    ours.train(), theirs.train()
    assert hf.rates(ours)[:12] == pytest.approx(hf.rates(theirs)[:12], rel=1e-12)
    assert hf.losses(ours) == pytest.approx(hf.losses(theirs), rel=1e-6)


def test_a_second_training_begins_anew(tmp_path):
    trainer = driven(tmp_path, POLICIES["loss"], logging_strategy="no")
    trainer.train()
    assert isinstance(trainer.lr_scheduler, PolicyLR) and trainer.lr_scheduler.controller.taken == 12
    first = trainer.lr_scheduler
    trainer.train()
    assert trainer.lr_scheduler is not first and trainer.lr_scheduler.controller.taken == 12


def test_the_state_of_another_policy_is_refused(tmp_path):
    driven(tmp_path, "wsd").train()
    other = driven(tmp_path, "linear")
    with pytest.raises(ProblemError, match=r"the state is of the policy Schedule\(.*expected one of Schedule\("):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))


def test_what_cannot_drive_is_refused(tmp_path):
    trainer = hf.trainer(tmp_path)
    with pytest.raises(ProblemError, match="has no policy"):
        drive(trainer)
    drive(trainer, "wsd")
    with pytest.raises(ProblemError, match="driven already"):
        drive(trainer, "linear")
    unknown = hf.trainer(tmp_path)
    with pytest.raises(ProblemError, match="schedule is 'wds'; expected one of"):
        drive(unknown, "wds")
    assert "training_step" not in vars(unknown) and "create_scheduler" not in vars(unknown)


if __name__ == "__main__":
    doomed = driven(Path(sys.argv[1]), sys.argv[2])
    doomed.add_callback(Killed())
    doomed.train()
