"""A problem is parts or a loop; who asks for the other is told so in one sentence."""

from __future__ import annotations

import cloudpickle
import pytest
import torch

from etastar import Problem, ProblemError


def test_parts_are_what_was_given(small):
    assert not small.is_loop and small.parts is small.parts
    assert (small.parts.model, small.parts.optimizer, small.parts.batches) == (small.model, small.optimizer, small.batches)
    assert small.parts.loss is small.loss
    with pytest.raises(ProblemError, match="got a Problem of parts; expected a training loop of your own"):
        _ = small.users_loop


def test_a_loop_has_no_parts():
    train = lambda lr, seed, report: None
    loop = Problem.from_loop(train, steps=4, lr=0.1)
    assert loop.is_loop and (loop.users_loop.train, loop.users_loop.lr, loop.users_loop.optimizer) == (train, 0.1, "")
    with pytest.raises(ProblemError, match="got a training loop of your own; expected a Problem of model, optimizer"):
        _ = loop.parts


def test_a_loss_of_the_model_is_no_loss_of_outputs(small):
    other = small.but(loss=None, loss_fn=lambda model, batch: model(batch[0]).mean())
    with pytest.raises(ProblemError, match=r"has loss_fn\(model, batch\); expected loss\(outputs, targets\)"):
        _ = other.parts.loss


def test_changed_parts_are_new_and_travel(small):
    assert small.parts is not small.but(steps=9).parts
    adam = small.but(optimizer=lambda m: torch.optim.Adam(m.parameters()))
    assert adam.parts.optimizer is adam.optimizer is not small.optimizer
    there = cloudpickle.loads(cloudpickle.dumps(adam))
    assert there.parts.optimizer is there.optimizer
