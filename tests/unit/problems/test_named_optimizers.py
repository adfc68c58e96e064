"""Optimizers and schedules named on the command line: what cannot be meant is refused in a sentence that shows it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from etastar import ProblemError
from etastar.policies.named import policy_over
from etastar.problems.optimizers import optimizer_factory, parse_settings

REFUSED = {
    "adamw:lr=nan": r"optimizer adamw: lr is nan; expected a finite number",
    "adamw:lr=-inf": r"optimizer adamw: lr is -inf; expected a finite number",
    "adamw:lr=abc": r"optimizer adamw: lr is 'abc'; expected a finite number",
    "adamw:lr=True": r"optimizer adamw: lr is True; expected a finite number",
    "adamw:lr=": r"optimizer adamw: lr is ''; expected a finite number",
    "sgd:momentum=nan": r"optimizer sgd: momentum is nan; expected a number in \[0, 1\)",
    "sgd:momentum=1.5": r"optimizer sgd: momentum is 1\.5; expected a number in \[0, 1\)",
    "adamw:betas=0.9": r"optimizer adamw: betas is 0\.9; expected 2 numbers, e\.g\. \(0\.9, 0\.999\)",
    "adamw:betas=(0.9,1e999)": r"a part of optimizer adamw: betas is inf; expected a finite number",
    "adamw:amsgrad=1": r"optimizer adamw: amsgrad is 1; expected True or False",
    "adamw:momentum=0.9": r"optimizer adamw has no setting 'momentum'; it has lr, betas, eps, ",
    "adamw:params=1": r"optimizer adamw has no setting 'params'; it has lr, betas, eps, ",
    "adam:betas=(0.9,1.5)": r"--optimizer adam:betas=\(0\.9,1\.5\): torch says ValueError: Invalid beta parameter",
    "sgd:nesterov=True": r"--optimizer sgd:nesterov=True: torch says ValueError: Nesterov momentum requires",
    "adamw:lr=0.1,lr=0.2": r"--optimizer gives lr twice in 'lr=0\.1,lr=0\.2'; expected each once",
    "adamw:": r"optimizer is 'adamw:'; expected settings after the colon, e\.g\. adamw:lr=0\.01",
    "": r"optimizer is empty; expected a name, e\.g\. adamw:lr=3e-4",
    "\x1b[2Jadam": r"optimizer is '\\x1b\[2Jadam'; expected one of ",
}


@pytest.mark.parametrize(("spec", "sentence"), REFUSED.items())
def test_an_optimizer_that_cannot_be_meant(spec, sentence):
    with pytest.raises(ProblemError, match=sentence):
        optimizer_factory(spec)


def test_every_optimizer_of_torch_can_be_named_alone():
    """The check in advance lets each of them through, LBFGS and Muon too."""
    names = [
        key
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    ]
    assert {"Adam", "LBFGS", "Muon", "SparseAdam"} <= set(names)
    for name in names:
        assert type(optimizer_factory(name)(nn.Linear(3, 2, bias=False))).__name__ == name


def test_settings_of_every_kind_arrive():
    optimizer = optimizer_factory("adamw:lr=3e-4,betas=(0.8,0.99),amsgrad=True,foreach=False")(nn.Linear(2, 1))
    assert {key: optimizer.defaults[key] for key in ("lr", "betas", "amsgrad", "foreach")} == {
        "lr": 3e-4,
        "betas": (0.8, 0.99),
        "amsgrad": True,
        "foreach": False,
    }


def test_numbers_that_are_none_are_read_as_numbers():
    assert parse_settings("a=inf,b=-Infinity,c=nano", "set") == {"a": float("inf"), "b": -float("inf"), "c": "nano"}


SCHEDULES = {
    "wsd:": r"schedule is 'wsd:'; expected settings after the colon",
    "wsd:,": r"schedule is 'wsd:,'; expected settings after the colon",
    "wsd:decay=0.5,decay=0.2": r"schedule is 'wsd:decay=0\.5,decay=0\.2', which gives decay twice",
    "wsd:decay=nan": r"the schedule's decay is 'nan'; expected a share in \[0, 1\]",
    "wsd:decay=True": r"the schedule's decay is True; expected a share in \[0, 1\]",
    "wsd:curve=[1]": r"the schedule's curve is \[1\]; expected one of linear, cosine, sqrt",
    "\u202ewsd": r"schedule is '\\u202ewsd'; expected one of constant",
}


@pytest.mark.parametrize(("text", "sentence"), SCHEDULES.items())
def test_a_schedule_that_cannot_be_meant(text, sentence):
    with pytest.raises(ProblemError, match=sentence):
        policy_over(text, 100)
