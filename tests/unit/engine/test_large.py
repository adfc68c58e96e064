"""Where every pass over a batch is dear, preflight and trial take at most seven of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.engine.choice import choose_quickly
from etastar.engine.preflight import preflight
from etastar.engine.step_time import median_step

X = torch.randn(640, 6, generator=torch.Generator().manual_seed(5))
Y = (X[:, 0] > 0).long()


@pytest.fixture
def passes(monkeypatch):
    """Rows of every forward pass of the model, in order; all problems are large."""
    rows: list[int] = []
    forward = nn.Linear.forward

    def counting(module, x):
        rows.append(len(x))
        return forward(module, x)

    monkeypatch.setattr(nn.Linear, "forward", counting)
    monkeypatch.setattr("etastar.engine.first_batches.LARGE", 0)
    return rows


def problem(**changes) -> etastar.Problem:
    given = {
        "model": lambda: nn.Linear(6, 2),
        "optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        "train": torch.utils.data.StackDataset(X, Y),
        "valid": (X, Y),
        "batch_size": 16,
        "steps": 640,
    }
    return etastar.Problem(**{"loss": F.cross_entropy, **given, **changes})


@pytest.mark.parametrize(
    "loss", [{}, {"loss": None, "loss_fn": lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])}]
)
def test_at_most_five_passes_of_the_preflight_and_four_steps_of_the_trial(passes, loss):
    own = problem(**loss)
    said: list[tuple[float, int]] = []
    facts = preflight(own, told=lambda seconds: said.append((seconds, len(passes))))
    assert facts.large and facts.reproducible and passes == [16] * 5
    assert [n for _, n in said] == [3], "what a step takes is said after the first of them"
    choice = choose_quickly(own, facts.criterion, "cpu")
    assert choice.engine == "sequential" and passes == [16] * 9


def test_a_large_problem_that_is_not_reproducible_is_found_out(passes):
    state = iter(range(1000))
    own = problem(loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b[0]), b[1]) + next(state))
    assert not preflight(own).reproducible


def test_a_small_problem_is_looked_at_as_before():
    facts = preflight(problem())
    assert not facts.large and len(facts.trace) == 3, "two losses and that on the validation data"


def test_labels_without_an_output_are_still_refused_where_every_pass_is_dear(passes):
    own = problem(train=torch.utils.data.StackDataset(X, Y + 1))
    with pytest.raises(etastar.ProblemError, match="a label is 2 but the model has 2 outputs"):
        preflight(own)


def test_the_time_of_a_step_is_the_median_without_the_first():
    times = iter([0, 100, 0, 1, 0, 9, 0, 3, 0, 2])  # began, ended: 100, 1, 9, 3, 2
    lane = etastar.Lane(0.1, 0, 5, until=etastar.core.Until.END)
    assert median_step(etastar.engine.LoopEngine(), problem(valid=None), lane, lambda: float(next(times))) == 2.5
