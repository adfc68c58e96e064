"""What an argument may be: the value, or one sentence that shows what was got."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from etastar import arguments
from etastar.arguments import Number, Whole, shown
from etastar.errors import ProblemError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\x1b[2J", r"'a\nb\x1b[2J'"),
        ("\u202eabc", r"'\u202eabc'"),
        ("x" * 100, "'" + "x" * 59 + "... (102 characters)"),
        pytest.param(10**5000, "an integer of thousands of digits", id="a huge integer"),
        ([1, 2.5, "a"], "[1, 2.5, 'a']"),
        ([torch.zeros(2)], "a list"),
        (torch.zeros(2), "a Tensor"),
        ({"a": 1}, "a dict"),
        (int, "the class int"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_on_one_short_line(value, text):
    assert shown(value) == text


@pytest.mark.parametrize("value", ["3", 3.0, True, None, [3]])
def test_a_whole_number_is_nothing_else(value):
    with pytest.raises(ProblemError, match=r"^trials is .*; expected an integer >= 1, e\.g\. 5$"):
        Whole(1, 10, "e.g. 5")("trials", value)


def test_a_whole_number_has_two_bounds():
    assert [Whole(1, 10)("n", n) for n in (1, 10)] == [1, 10]
    with pytest.raises(ProblemError, match=r"^n is 0; expected an integer >= 1$"):
        Whole(1, 10)("n", 0)
    with pytest.raises(ProblemError, match=r"^n is 11; expected an integer <= 10$"):
        Whole(1, 10)("n", 11)


def test_an_integer_of_numpy_is_told_how_to_become_one():
    with pytest.raises(ProblemError, match=r"^steps is np\.int64\(7\); expected an integer >= 1.*: pass int\(7\)$"):
        arguments.STEPS("steps", np.int64(7))


@pytest.mark.parametrize("text", ["", "abc", "1e3", "2.5", "nan", "9" * 5000, "0x10"])
def test_what_spells_no_whole_number(text):
    with pytest.raises(ProblemError, match=r"^--n is '.*; expected an integer >= 1$"):
        Whole(1, 10).read("--n", text)


@pytest.mark.parametrize("value", ["0.5", True, None, float("nan"), float("inf"), -float("inf"), 0, 1.5, torch.tensor(0.5)])
def test_a_number_is_nothing_else(value):
    with pytest.raises(ProblemError, match=r"^share is .*; expected a number in \(0, 1\], e\.g\. 0\.5$"):
        arguments.ACCURACY("share", value)


def test_an_end_that_is_open_does_not_belong():
    assert arguments.MOMENTUM("m", 0) == 0
    with pytest.raises(ProblemError, match=r"^m is 1; expected a number in"):
        arguments.MOMENTUM("m", 1)
    with pytest.raises(ProblemError, match=r"^x is inf; expected a finite number$"):
        arguments.FINITE("x", float("inf"))


def test_numbers_are_read_as_python_writes_them():
    assert Number(0, 1, "x").read("--x", "1e-3") == 0.001
    assert Whole(1, 10).read("--n", 7) == 7, "a default is no text"


def test_words_paths_and_yes_or_no():
    assert arguments.word("effort", "quick", ("glance", "quick")) == "quick"
    with pytest.raises(ProblemError, match=r"^effort is 3; expected one of glance, quick$"):
        arguments.word("effort", 3, ("glance", "quick"))
    with pytest.raises(ProblemError, match=r"^effort is \['quick'\]; expected one of glance, quick$"):
        arguments.word("effort", ["quick"], ("glance", "quick"))
    with pytest.raises(ProblemError, match=r"^store is None; expected a path, e\.g\. runs\.db$"):
        arguments.path("store", None, "runs.db")
    with pytest.raises(ProblemError, match=r"^store is 'a\\x00b', which holds a null character"):
        arguments.path("store", "a\0b", "runs.db")
    with pytest.raises(ProblemError, match=r"^measure is 1; expected True or False$"):
        arguments.yes_or_no("measure", 1)
    with pytest.raises(ProblemError, match=r"^values has 0.9 twice; expected each once$"):
        arguments.each_once("values", (0.9, 0, 0.9), "numbers")
    with pytest.raises(ProblemError, match=r"^values is 'abc'; expected numbers$"):
        arguments.each_once("values", "abc", "numbers")
