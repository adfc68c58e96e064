"""The problem read off a LightningModule trains as Lightning does: real runs of both."""

from __future__ import annotations

import cloudpickle
import lightning
import pytest
import torch
from torch.optim import lr_scheduler

from clients import pl
from etastar import Lane
from etastar.adapters.lightning import problem_from
from etastar.adapters.torch import PolicyLR
from etastar.core import Until
from etastar.engine.loop import LoopEngine
from etastar.errors import ProblemError
from etastar.store.fingerprint import fingerprint

pytestmark = pytest.mark.filterwarnings("default")


def lane_of(problem, lr: float = 0.02):
    return LoopEngine().train_lane(problem, Lane(lr=lr, seed=0, steps=problem.steps, policy=problem.policy, until=Until.END))


def one_cycle(module, optimizer):
    steps = module.trainer.estimated_stepping_batches
    schedule = lr_scheduler.OneCycleLR(optimizer, [module.lr / 4, module.lr], total_steps=steps, cycle_momentum=False)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


CASES = {
    "plain": (None, {}, 80),
    "clipped": (None, {"gradient_clip_val": 0.1}, 80),
    "accumulated, clipped": (None, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.3}, 80),
    "accumulated, a rest in every epoch": (None, {"accumulate_grad_batches": 4}, 72),
    "a scheduler by steps": (one_cycle, {}, 80),
    "a scheduler by epochs": (lambda m, o: ([o], [lr_scheduler.StepLR(o, 1, 0.5)]), {}, 32),
    "a policy of ours": (
        lambda m, o: {
            "optimizer": o,
            "lr_scheduler": {"scheduler": PolicyLR(o, "wsd:warmup=0.2,decay=0.5", steps=12), "interval": "step"},
        },
        {},
        80,
    ),
    "epochs": (None, {"max_steps": -1, "max_epochs": 2, "accumulate_grad_batches": 4}, 72),
}


@pytest.mark.parametrize("configured, settings, rows", CASES.values(), ids=CASES)
def test_a_lane_is_lightnings_own_run(tmp_path, configured, settings, rows):
    accumulate = settings.get("accumulate_grad_batches", 1)
    module, trainer = pl.Net(configured=configured), pl.trainer(tmp_path, **settings)
    outcome = lane_of(problem_from(module, pl.loader(rows), trainer=trainer))
    assert module.seen == [] and module._trainer is None
    trainer.fit(module, pl.loader(rows))
    steps, batches = [], rows // 8
    for first in range(0, len(module.seen), batches):  # the batches of an epoch, step by step
        epoch = module.seen[first : first + batches]
        steps += [sum(epoch[i : i + accumulate]) / accumulate for i in range(0, len(epoch), accumulate)]
    assert len(outcome.trace) == trainer.global_step
    assert [row.loss for row in outcome.trace] == pytest.approx(steps[: len(outcome.trace)], rel=1e-6)


def test_data_come_from_a_data_module_a_module_or_loaders(tmp_path):
    class Data(lightning.LightningDataModule):
        def setup(self, stage):
            self.ready = stage

        def train_dataloader(self):
            assert self.ready == "fit"
            return pl.loader()

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch[0] * 2, batch[1]

    class Own(pl.Net):
        def train_dataloader(self):
            return pl.loader()

        def val_dataloader(self):
            return pl.loader(40)

    plain = lane_of(problem_from(pl.Net(), pl.loader(), 5))
    doubled = lane_of(problem_from(pl.Net(), Data(), 5))
    own = lane_of(problem_from(Own(), steps=5))
    both = lane_of(problem_from(pl.Net(), (pl.loader(), pl.loader(40)), 5))
    assert plain.end_loss == own.end_loss == both.end_loss != doubled.end_loss
    assert plain.valid_loss is None and own.valid_loss == both.valid_loss is not None
    module = pl.Net()
    by_hand = torch.nn.functional.cross_entropy(module(pl.X[:8] * 2), pl.Y[:8])
    assert doubled.first_loss == pytest.approx(float(by_hand), rel=1e-6)


def test_its_fingerprint_stays_and_it_can_be_sent(tmp_path):
    of = lambda module: fingerprint(problem_from(module, pl.loader(), 12), {}, "0")
    module, trainer = pl.Net(), pl.trainer(tmp_path)
    first = of(module)
    assert first == of(module) == of(pl.Net()) != of(pl.Net(lr=0.1))
    trainer.fit(module, pl.loader())
    problem = problem_from(module, pl.loader(), trainer=trainer)  # attached to a Trainer now
    assert lane_of(cloudpickle.loads(cloudpickle.dumps(problem))).end_loss == lane_of(problem).end_loss


def test_what_lanes_cannot_do_is_refused(tmp_path):
    class NoOptimizer(lightning.LightningModule):
        def training_step(self, batch, batch_idx):
            return batch

    class ByHand(pl.Net):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

    class OwnStep(pl.Net):
        def optimizer_step(self, *args, **kwargs):
            super().optimizer_step(*args, **kwargs)

    class NoLoss(pl.Net):
        def training_step(self, batch, batch_idx):
            return None

    for module, sentence in (
        (3, "got 3; expected a LightningModule"),
        (NoOptimizer(), "NoOptimizer has no configure_optimizers; expected"),
        (ByHand(), "ByHand steps its optimizers by hand"),
        (OwnStep(), "OwnStep has optimizer_step, which lanes do not call"),
    ):
        with pytest.raises(ProblemError, match=sentence):
            problem_from(module, pl.loader(), 5)
    with pytest.raises(ProblemError, match="steps is missing"):
        problem_from(pl.Net(), pl.loader())
    with pytest.raises(ProblemError, match="expected one DataLoader"):
        problem_from(pl.Net(), 3, 5)
    with pytest.raises(ProblemError, match="Net has no train_dataloader"):
        problem_from(pl.Net(), steps=5)
    with pytest.raises(ProblemError, match="clips gradients by value"):
        problem_from(
            pl.Net(), pl.loader(), trainer=pl.trainer(tmp_path, gradient_clip_val=1.0, gradient_clip_algorithm="value")
        )
    with pytest.raises(ProblemError, match="training_step returned no loss"):
        lane_of(problem_from(NoLoss(), pl.loader(), 5))
