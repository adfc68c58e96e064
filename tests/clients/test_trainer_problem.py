"""The problem read off a Trainer trains as the Trainer does: real runs of both, on one CPU thread."""

from __future__ import annotations

import copy

import cloudpickle
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer

import etastar
from clients import hf
from etastar import Estimate, Lane
from etastar.adapters.torch import PolicyLR
from etastar.adapters.transformers import apply, drive, problem_from
from etastar.core import Until
from etastar.engine.loop import LoopEngine
from etastar.errors import ProblemError
from etastar.store.fingerprint import fingerprint
from etastar.verbs.answer import GivesRate

pytestmark = pytest.mark.filterwarnings("default")


def lane_of(problem: etastar.Problem, lr: float = 3e-3) -> etastar.Outcome:
    return LoopEngine().train_lane(problem, Lane(lr=lr, seed=0, steps=problem.steps, policy=problem.policy, until=Until.END))


class OwnLoss(Trainer):
    """A loss of its own, which knows nothing of the number of labels in a step."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(input_ids=inputs["input_ids"])
        loss = nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten())
        return (loss, outputs) if return_outputs else loss


class Half(GivesRate):
    """An answer: 5e-4."""

    lr = Estimate(value=5e-4, low=5e-4, high=5e-4)
    optimizer = "SGD"


class HalfHead(Trainer):
    """Groups of its own: the embedding at half the rate."""

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            of_model = dict((model or self.model).named_parameters())
            embedding = of_model.pop("transformer.wte.weight")
            groups = [{"params": list(of_model.values())}, {"params": [embedding], "lr": self.args.learning_rate / 2}]
            self.optimizer = torch.optim.AdamW(groups, lr=self.args.learning_rate)
        return self.optimizer


def user_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=3e-3, momentum=0.9)


CASES = {
    "plain": (Trainer, {}),
    "accumulated, clipped, a rest in every epoch": (Trainer, {"gradient_accumulation_steps": 4, "max_grad_norm": 0.5}),
    "accumulated without a clip": (Trainer, {"gradient_accumulation_steps": 3, "max_grad_norm": 0.0}),
    "a mean over micro-batches": (OwnLoss, {"gradient_accumulation_steps": 4, "loss_is_scaled_for_ga": False}),
    "groups, cosine": (HalfHead, {"lr_scheduler_type": "cosine"}),
    "label smoothing": (Trainer, {"gradient_accumulation_steps": 2, "label_smoothing_factor": 0.1}),
    "bf16": (Trainer, {"bf16": True}),
    "epochs": (Trainer, {"max_steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 4}),
}


@pytest.mark.parametrize("kind, settings", CASES.values(), ids=CASES)
def test_a_lane_is_the_trainers_own_run(tmp_path, kind, settings):
    settings = dict(settings)
    scaled = settings.pop("loss_is_scaled_for_ga", None)
    trainer = hf.trainer(tmp_path, kind, **settings)
    trainer.loss_is_scaled_for_ga = scaled
    before = copy.deepcopy(trainer.model.state_dict())
    outcome = lane_of(problem_from(trainer))
    assert trainer.optimizer is None and trainer.lr_scheduler is None
    assert all(torch.equal(before[name], own) for name, own in trainer.model.state_dict().items())
    trainer.train()
    assert [row.loss for row in outcome.trace] == pytest.approx(hf.losses(trainer), rel=1e-6)
    assert [row.lr for row in outcome.trace] == pytest.approx(hf.rates(trainer)[: len(outcome.trace)], rel=1e-12)
    assert len(outcome.trace) == trainer.state.max_steps
    assert outcome.valid_loss == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-6)


def test_the_loss_of_a_step_is_that_of_all_its_labels(tmp_path):
    """By hand: sum of -log p over the labels of four micro-batches that count / their number."""
    trainer = hf.trainer(tmp_path, gradient_accumulation_steps=4, per_device_train_batch_size=2)
    net, rows = hf.net(), hf.data()[:8]
    ids, labels = (torch.stack([row[key] for row in rows]) for key in ("input_ids", "labels"))
    summed = nn.functional.cross_entropy(
        net(input_ids=ids).logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
    )
    by_hand = float(summed.detach()) / int((labels[:, 1:] != -100).sum())
    assert lane_of(problem_from(trainer)).first_loss == pytest.approx(by_hand, rel=1e-6)


def test_an_optimizer_and_a_schedule_that_were_given_are_made_again(tmp_path):
    net = hf.net()
    optimizer = user_optimizer(net)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    trainer = hf.trainer(tmp_path, model=net, optimizers=(optimizer, scheduler))
    outcome = lane_of(problem_from(trainer))
    trainer.train()
    assert [row.loss for row in outcome.trace] == pytest.approx(hf.losses(trainer), rel=1e-6)
    assert [row.lr for row in outcome.trace] == pytest.approx([3e-3 / (1 + t) for t in range(12)], rel=1e-12)


def test_a_driven_trainer_is_a_problem_of_that_policy(tmp_path):
    trainer = hf.trainer(tmp_path, gradient_accumulation_steps=4)
    drive(trainer, "greedy:signal=loss,every=1,patience=0,factor=0.7")
    outcome = lane_of(problem_from(trainer))
    trainer.train()
    assert [row.loss for row in outcome.trace] == pytest.approx(hf.losses(trainer), rel=1e-6)
    assert len({row.lr for row in outcome.trace}) > 3
    assert [row.lr for row in outcome.trace] == pytest.approx(hf.rates(trainer)[:12], rel=1e-12)


@pytest.mark.parametrize("init", [False, True], ids=["model", "model_init"])
def test_lora_trains_on_copies_of_its_base(tmp_path, init):
    lora = lambda: get_peft_model(hf.net(), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    torch.manual_seed(0)
    trainer = hf.trainer(tmp_path, **({"model_init": lora} if init else {"model": lora()}))
    outcome = lane_of(problem_from(trainer))
    trainer.train()
    assert [row.loss for row in outcome.trace] == pytest.approx(hf.losses(trainer), rel=1e-6)
    assert len(set(hf.losses(trainer))) == 12


def test_its_fingerprint_is_that_of_what_is_trained_and_it_can_be_sent(tmp_path):
    of = lambda trainer: fingerprint(problem_from(trainer), {}, "0")
    trainer = hf.trainer(tmp_path)
    first = of(trainer)
    assert first == of(trainer) == of(hf.trainer(tmp_path))
    assert first != of(hf.trainer(tmp_path, weight_decay=0.2))
    assert first != of(hf.trainer(tmp_path, OwnLoss))
    drive(trainer, "wsd")
    trainer.train()
    again = problem_from(trainer)  # weights have moved, and it has an optimizer and a scheduler now
    sent = cloudpickle.loads(cloudpickle.dumps(again))
    assert lane_of(sent).end_loss == lane_of(again).end_loss


def test_the_rate_found_is_applied(tmp_path):
    trainer = hf.trainer(tmp_path, max_steps=64, lr_scheduler_type="constant", warmup_steps=0)
    answer = etastar.find(problem_from(trainer), effort="quick", options=etastar.Options(store=":memory:"))
    lr = apply(answer, trainer)
    assert lr == answer.lr.value != 3e-3
    trainer.train()
    assert set(hf.rates(trainer)) == {lr}
    worse = hf.trainer(tmp_path, max_steps=64, lr_scheduler_type="constant", warmup_steps=0)
    worse.train()
    assert trainer.evaluate()["eval_loss"] < worse.evaluate()["eval_loss"]


def test_a_rate_reaches_an_optimizer_and_a_schedule_that_were_given(tmp_path):
    net = hf.net()
    optimizer = torch.optim.SGD([{"params": [p], "lr": 1e-3 * (1 + i)} for i, p in enumerate(net.parameters())], lr=1e-3)
    scheduler = PolicyLR(optimizer, "linear", steps=12, fed=True)
    trainer = hf.trainer(tmp_path, model=net, optimizers=(optimizer, scheduler))
    drive(trainer)

    ratios = [group["lr"] / optimizer.param_groups[0]["lr"] for group in optimizer.param_groups]
    apply(Half(), trainer)
    assert [group["lr"] / optimizer.param_groups[0]["lr"] for group in optimizer.param_groups] == pytest.approx(ratios)
    trainer.train()
    assert hf.rates(trainer)[:12] == pytest.approx([5e-4 * (1 - t / 12) for t in range(12)], rel=1e-12)


def test_what_cannot_be_followed_is_refused_and_nothing_is_changed(tmp_path):
    with pytest.raises(ProblemError, match="got 3; expected a transformers"):
        problem_from(3)
    with pytest.raises(ProblemError, match="NEFTune"):
        problem_from(hf.trainer(tmp_path, neftune_noise_alpha=5.0))
    net = hf.net()
    optimizer = user_optimizer(net)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    trainer = hf.trainer(tmp_path, model=net, optimizers=(optimizer, scheduler))
    with pytest.raises(ProblemError, match="given a StepLR, which cannot be made again"):
        problem_from(trainer)
    with pytest.raises(ProblemError, match="given a StepLR as its scheduler; expected"):
        drive(trainer, "wsd")
    assert trainer.lr_scheduler is scheduler and "training_step" not in vars(trainer)
    with pytest.raises(ProblemError, match="parameters that are not its model's"):
        problem_from(hf.trainer(tmp_path, model=hf.net(), optimizers=(optimizer, None)))
