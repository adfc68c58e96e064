"""A rate given to an optimizer that exists: groups keep their ratios, schedulers go on."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from etastar import Estimate, Status
from etastar.adapters import Controller
from etastar.adapters.torch import PolicyLR
from etastar.core.applied import apply_rate
from etastar.errors import NoAnswer, ProblemError
from etastar.verbs.answer import GivesRate

SCHEDULERS = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "cosine with a floor": lambda o: lr_scheduler.CosineAnnealingLR(o, 10, eta_min=1e-3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, [0.4, 0.2], total_steps=20),
    "one after another": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 4), lr_scheduler.ExponentialLR(o, 0.9)], [4]
    ),
    "PolicyLR": lambda o: PolicyLR(o, "wsd:warmup=0.2,decay=0.5", steps=10),
}


def optimizer_at(lr: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))]}, {"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr / 2}]
    return torch.optim.SGD(groups, lr=lr)


def rates(optimizer, scheduler, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen += [float(group["lr"]) for group in optimizer.param_groups]
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_schedule_goes_on_at_the_new_rate_from_any_step(make):
    whole, half = optimizer_at(0.4), optimizer_at(0.4)
    schedule, other = make(whole), make(half)
    old = rates(whole, schedule, 9)
    assert rates(half, other, 4) == old[:8]
    assert apply_rate(1.2, half, other) == pytest.approx(3)
    assert half.defaults["lr"] == pytest.approx(1.2) or "OneCycle" in type(other).__name__
    assert rates(half, other, 5) == pytest.approx([3 * rate for rate in old[8:]], rel=1e-12)


def test_a_tensor_is_changed_in_place_and_once():
    shared = torch.tensor(0.1)
    optimizer = torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)], lr=shared, foreach=False
    )
    before = [group["lr"] for group in optimizer.param_groups]
    apply_rate(0.3, optimizer)
    assert all(group["lr"] is own for group, own in zip(optimizer.param_groups, before, strict=True))
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.3, 0.3])


def test_what_cannot_be_applied_changes_nothing():
    optimizer = optimizer_at(0.4)
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(ProblemError, match=r"has a scheduler.* expected both: apply\(optimizer, scheduler\)"):
        apply_rate(0.1, optimizer)

    class Nothing(GivesRate):
        optimizer = "SGD"
        lr = Estimate.none(Status.NOT_MEASURED, "no lane was trained")

    with pytest.raises(NoAnswer, match="no lane was trained"):
        Nothing().apply(optimizer, scheduler)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.2]


class Found(GivesRate):
    lr = Estimate(0.5, 0.4, 0.6)

    def __init__(self, optimizer: str) -> None:
        self.optimizer = optimizer


class Adam8(torch.optim.AdamW):
    """Somebody's own, as Lightning wraps them."""


@pytest.mark.parametrize(
    ("measured", "make", "taken"),
    [
        ("SGD", torch.optim.SGD, True),
        ("SGD", torch.optim.AdamW, False),
        ("AdamW", torch.optim.SGD, False),
        ("Adam", torch.optim.AdamW, True),
        ("AdamW", Adam8, True),
        ("SGD", Adam8, False),
        ("SGD + AdamW", torch.optim.SGD, False),
        ("", torch.optim.SGD, True),
        ("my own", torch.optim.SGD, True),
    ],
)
def test_a_rate_is_given_to_the_kind_of_optimizer_that_it_was_measured_with(measured, make, taken):
    optimizer = make([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    if taken:
        assert Found(measured).apply(optimizer) == 0.5
    else:
        with pytest.raises(
            ProblemError, match=r"was measured with .*, and the optimizer's class is .*; measure it with this"
        ):
            Found(measured).apply(optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 if taken else 0.1)


def test_a_controller_is_told_of_the_rate_or_the_rate_is_refused():
    optimizer = optimizer_at(0.4)
    controller = Controller(optimizer, "linear", steps=4)
    with pytest.raises(ProblemError, match=r"a Controller.*, which would set the old rates again; expected both"):
        apply_rate(0.8, optimizer)
    apply_rate(0.8, optimizer, controller)
    seen = []
    for rate in (None, None, 1.6):
        if rate:
            apply_rate(rate, optimizer, controller)
        seen.append(controller.step())
        assert optimizer.param_groups[1]["lr"] == pytest.approx(seen[-1] / 2)
        optimizer.step()
    assert seen == pytest.approx([0.8, 0.8 * 3 / 4, 1.6 * 2 / 4])
    with pytest.raises(ProblemError, match=r"the optimizer is None; expected a torch.optim.Optimizer"):
        apply_rate(0.8, None)  # type: ignore[arg-type]
