"""`read_field`: against a plain loop, what its memory is, and what has no field."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from etastar import Problem, ProblemError
from etastar.reports.field_page import field_page, field_tables
from etastar.verbs.field import FieldMoment, RateField, read_field


def whole(**changes) -> Problem:
    """Whole batches, so that a plain loop knows what is trained on."""
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    settings = {
        "model": lambda: torch.nn.Linear(4, 3),
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.5, momentum=0.9),
        "loss": F.cross_entropy,
        "train": (x, torch.arange(12) % 3),
        "batch_size": 12,
        "steps": 20,
    }
    return Problem(**(settings | changes))


def test_examples_are_followed_as_in_a_plain_loop():
    made: list[torch.nn.Module] = []

    def linear() -> torch.nn.Module:
        made.append(torch.nn.Linear(4, 3))
        made.append(copy.deepcopy(made[-1]))
        return made[-2]

    answer = read_field(whole(model=linear), examples=12, steps=4, factor=0.1)
    assert [[m.step for m in own.moments] for own in answer.rates] == [[0, 1, 3, 4]] * 2
    assert [own.lr for own in answer.rates] == pytest.approx([0.5, 0.05])
    x, y = whole().train
    model = next(m for m in made[1::2] if _losses(_trained(m, 4, []), x, y) == pytest.approx(
        sorted(answer.rates[0].moments[0].losses), rel=1e-5))  # fmt: skip
    for own, rate in zip(answer.rates, (0.5, 0.05), strict=True):
        for moment in own.moments[1:]:
            later = _losses(_trained(model, 4, [rate] * moment.step), x, y)
            assert sorted(moment.losses) == pytest.approx(later, rel=1e-5)
            start = own.moments[0].losses
            assert moment.moved == pytest.approx(sum(abs(a - b) for a, b in zip(moment.losses, start, strict=True)) / 12)
    assert answer.cost["gradient_steps"] == 12 and answer.cost["look_steps"] == 12 * 7


def _trained(model: torch.nn.Module, before: int, rates: list[float]) -> torch.nn.Module:
    own, (x, y) = copy.deepcopy(model), whole().train
    optimizer = torch.optim.SGD(own.parameters(), lr=0.5, momentum=0.9)
    for rate in [0.5] * before + rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        F.cross_entropy(own(x), y).backward()
        optimizer.step()
    return own


def _losses(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    return sorted(F.cross_entropy(model(x), y, reduction="none").tolist())


def rate_field(*moves: tuple[int, float]) -> RateField:
    return RateField(0.1, tuple(FieldMoment(step, moved, 1.0, 0.0, (1.0, 2.0)) for step, moved in moves))


def test_the_memory_is_where_moves_reach_their_level_and_none_where_they_still_grow():
    level = rate_field((0, 0.0), (10, 0.5), (100, 1.0), (400, 1.0))
    assert level.memory == pytest.approx(10 + 90 * (0.63212 - 0.5) / 0.5, rel=1e-3)
    assert rate_field((0, 0.0), (10, 0.1), (100, 0.6), (400, 1.0)).memory is None
    assert rate_field((0, 0.0), (1, 0.5)).memory is None


def test_page_and_table_hold_the_numbers():
    answer = read_field(whole(), examples=6, steps=12)
    page, (table,) = field_page(answer), field_tables(answer)
    assert [row[0] for row in table.rows] == ["0", "1", "3", "10", "12"] and set(page.charts) == {"moves", "memory"}
    rows = [row for data in page.charts["moves"].to_dict()["datasets"].values() for row in data]
    last = answer.rates[1].moments[-1].losses
    assert sorted(row["now"] for row in rows if row["lr"] == "0.05" and row["after"] == "after 12 steps") == sorted(last)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"examples": 1}, "examples is 1; expected an integer >= 2, examples whose gradients are read one by one"),
        ({"factor": 2.0}, r"factor is 2.0; expected a number in \(0, 1\]"),
        ({"steps": 0}, "steps is 0; expected an integer >= 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, sentence):
    with pytest.raises(ProblemError, match=sentence):
        read_field(whole(), **arguments)


def test_what_has_no_field_is_said():
    with pytest.raises(ProblemError, match="a training loop of your own has no examples to follow"):
        read_field(Problem.from_loop(lambda lr, seed, report: None, steps=3))
    with pytest.raises(ProblemError, match=r"the training at 1e\+20 ended after \d+ steps \(diverged\); expected a rate"):
        read_field(whole(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e20), loss=lambda z, y: (z**2).mean()))
