"""A policy drives a real Lightning run; checkpointed, killed and resumed it goes on as if nothing had happened."""

from __future__ import annotations

import csv
import signal
import sys
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import lr_scheduler

import etastar
from clients import pl
from clients.process import script
from etastar.adapters.lightning import DrivePolicy, FindRate, problem_from
from etastar.adapters.torch import PolicyLR
from etastar.core import Lane, Until
from etastar.engine.loop import LoopEngine
from etastar.errors import ProblemError

pytestmark = pytest.mark.filterwarnings("default")
POLICIES = {
    "shape": "wsd:warmup=0.25,decay=0.5",
    "loss": "greedy:signal=loss,every=1,patience=0,factor=0.7",
    "gradients": "hypergradient:beta=0.2",
    "valid_loss": "plateau:signal=valid_loss,every=2,patience=0,factor=0.5,threshold=0.2",
}
SETTINGS = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.3, "enable_checkpointing": True, "val_check_interval": 2}


def driven(folder: Path, *callbacks) -> lightning.Trainer:
    kept = ModelCheckpoint(folder, every_n_train_steps=5, save_top_k=-1, filename="{step}")
    return pl.trainer(folder, *callbacks, kept, **SETTINGS)


def fit(folder: Path, *callbacks, ckpt: Path | None = None, module: pl.Net | None = None):
    module, trainer = module or pl.Net(), driven(folder, *callbacks)
    trainer.fit(module, pl.loader(), pl.loader(40), ckpt_path=ckpt)
    return module, trainer


def logged(folder: Path, name: str) -> dict[int, float]:
    rows = csv.DictReader((folder / "lightning_logs" / "version_0" / "metrics.csv").open())
    return {int(row["step"]): float(row[name]) for row in rows if row.get(name)}


class Killed(lightning.Callback):
    """Ends the process as `kill -9` does, in the midst of a step."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 7:
            signal.raise_signal(signal.SIGKILL)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_killed_and_resumed_it_trains_as_undisturbed(tmp_path, policy):
    whole, _ = fit(tmp_path / "whole", DrivePolicy(policy))
    ended = script(__file__, tmp_path / "killed", policy)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed, _ = fit(tmp_path / "resumed", DrivePolicy(policy), ckpt=tmp_path / "killed" / "step=5.ckpt")

    rates = logged(tmp_path / "whole", "lr/head")
    assert len(rates) == 12 and len(set(rates.values())) > 2
    assert logged(tmp_path / "resumed", "lr/head") == {step: rate for step, rate in rates.items() if step >= 5}
    own, other = resumed.state_dict(), whole.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize("policy", list(POLICIES.values())[:3], ids=list(POLICIES)[:3])
def test_a_lane_of_the_policy_has_the_same_rates_and_losses(tmp_path, policy):
    module, trainer = fit(tmp_path, DrivePolicy(policy))
    problem = problem_from(pl.Net(), pl.loader(), trainer=trainer).but(schedule=policy)
    lane = Lane(lr=0.02, seed=0, steps=12, policy=problem.policy, until=Until.END)
    trace = LoopEngine().train_lane(problem, lane).trace
    assert [row.lr for row in trace] == pytest.approx(list(logged(tmp_path, "lr/head").values()), rel=1e-6)
    assert [row.lr / 4 for row in trace] == pytest.approx(list(logged(tmp_path, "lr/body").values()), rel=1e-6)
    losses = [(a + b) / 2 for a, b in zip(module.seen[::2], module.seen[1::2], strict=True)]
    assert [row.loss for row in trace] == pytest.approx(losses, rel=1e-5)


def fed(module, optimizer):
    scheduler = PolicyLR(optimizer, POLICIES["loss"], steps=12, fed=True)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def test_a_policy_may_be_the_modules_own_scheduler(tmp_path):
    callback, _ = fit(tmp_path / "a", DrivePolicy(POLICIES["loss"]))
    own, _ = fit(tmp_path / "b", DrivePolicy(), module=pl.Net(configured=fed))
    assert logged(tmp_path / "a", "lr/head") == logged(tmp_path / "b", "lr/head")
    assert all(torch.equal(a, b) for a, b in zip(callback.parameters(), own.parameters(), strict=True))
    with pytest.raises(ProblemError, match="nobody tells this scheduler; expected its adapter"):
        fit(tmp_path / "c", module=pl.Net(configured=fed))


def find_rate() -> FindRate:
    return FindRate(effort="glance", options=etastar.Options(store=":memory:"))


@pytest.mark.parametrize("beside", [None, "torch", "policy"])
def test_the_rate_found_is_applied_and_kept_when_resumed(tmp_path, beside):
    """Also with a schedule: then its first rate is that share of the found one."""
    torchs = lambda m, o: {
        "optimizer": o,
        "lr_scheduler": {"scheduler": lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)), "interval": "step"},
    }
    found, more = find_rate(), [DrivePolicy("linear")] if beside == "policy" else []
    make = lambda: pl.Net(configured=torchs if beside == "torch" else None)
    module, trainer = fit(tmp_path / "whole", *more, found, module=make())
    lr = found.lr
    assert lr == found.answer.lr.value != 0.02 and module.lr == lr and module.hparams["lr"] == lr
    shares = {"torch": lambda t: 1 / (1 + t), "policy": lambda t: 1 - t / 12, None: lambda t: 1.0}[beside]
    assert module.rates == pytest.approx([lr * shares(t) for t in range(12)], rel=1e-12)
    body, head = trainer.optimizers[0].param_groups
    assert body["lr"] == pytest.approx(head["lr"] / 4)

    again, more = find_rate(), [DrivePolicy("linear")] if beside == "policy" else []
    resumed, _ = fit(tmp_path / "resumed", *more, again, module=make(), ckpt=tmp_path / "whole" / "step=5.ckpt")
    assert again.answer is None and again.lr == lr == resumed.lr
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), resumed.parameters(), strict=True))


def test_what_cannot_be_driven_is_refused(tmp_path):
    step = lambda m, o: ([o], [lr_scheduler.StepLR(o, 2)])
    two = lambda m, o: [o, torch.optim.SGD(m.head.parameters(), lr=0.1)]
    cases = [
        (DrivePolicy("wsd"), step, "returned a StepLR beside the optimizer; expected"),
        (DrivePolicy(), None, r"DrivePolicy\(\) has no policy; expected"),
        (DrivePolicy(), step, r"DrivePolicy\(\) has no policy; expected"),
        (DrivePolicy("wds"), None, "schedule is 'wds'; expected one of"),
    ]
    for callback, configured, sentence in cases:
        with pytest.raises(ProblemError, match=sentence):
            fit(tmp_path, callback, module=pl.Net(configured=configured))
    by_hand = pl.Net(configured=two)
    by_hand.automatic_optimization = False
    with pytest.raises(ProblemError, match="2 optimizers, automatic_optimization=False; expected one"):
        pl.trainer(tmp_path, DrivePolicy("wsd")).fit(by_hand, pl.loader())


def test_the_state_of_another_policy_is_refused(tmp_path):
    fit(tmp_path, DrivePolicy("wsd"))
    with pytest.raises(ProblemError, match=r"the state is of the policy Schedule\(.*expected one of Schedule\("):
        fit(tmp_path / "other", DrivePolicy("linear"), ckpt=tmp_path / "step=5.ckpt")


if __name__ == "__main__":
    fit(Path(sys.argv[1]), DrivePolicy(sys.argv[2]), Killed())
