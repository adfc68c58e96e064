"""What an argument may be, said once: the command line and the Python API refuse the same values in the same words."""

from __future__ import annotations

import inspect
import math
import numbers
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from etastar.errors import ProblemError

Kind = TypeVar("Kind")
BEYOND_FLOATS = 2**1024
LONGEST = 60
"""Characters of a value that a sentence shows."""
PLAIN = (str, bytes, bool, int, float, complex, type(None), os.PathLike)


def shown(value: Any) -> str:
    """A value as a sentence shows it: short, on one line, nothing unprintable; of what is no word or number the type.

    >>> shown("a\\x1b[2J"), shown([1, 2]), shown({}.keys())
    ("'a\\\\x1b[2J'", '[1, 2]', 'a dict_keys')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    flat = isinstance(value, (list, tuple)) and all(isinstance(v, PLAIN) for v in value)
    if not isinstance(value, PLAIN) and not isinstance(value, numbers.Number) and not flat:
        return f"a {type(value).__name__}"
    try:
        text = ascii(value) if isinstance(value, bytes) else repr(value)
    except ValueError:  # an integer of thousands of digits
        return "an integer of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`.

    Args:
        hint: ends the sentence of a refusal.
        words: of what is expected, instead of the range.

    >>> Whole(1, 10)("trials", 7)
    7
    """

    low: int
    high: int
    hint: str = ""
    words: str = ""

    def __call__(self, name: str, value: Any) -> int:
        """`value`, or a `ProblemError`."""
        if isinstance(value, bool) or not isinstance(value, int):
            advice = f": pass int({value})" if isinstance(value, numbers.Integral) and not isinstance(value, bool) else ""
            raise ProblemError(f"{name} is {shown(value)}; {self._expected(low=True)}{advice}")
        if not self.low <= value <= self.high:
            raise ProblemError(f"{name} is {shown(value)}; {self._expected(low=value < self.low)}")
        return value

    def read(self, name: str, text: Any) -> int:
        """The number that `text` spells, or a `ProblemError`."""
        try:
            return self(name, int(text) if isinstance(text, str) else text)
        except ValueError:
            raise ProblemError(f"{name} is {shown(text)}; {self._expected(low=True)}") from None

    def _expected(self, *, low: bool) -> str:
        bound = f"an integer >= {self.low:,}" if low else f"an integer <= {self.high:,}"
        return f"expected {self.words or bound}" + (f", {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Number:
    """Finite numbers from `low` to `high`.

    Args:
        words: of what is expected, e.g. "a number > 0".
        hint: ends the sentence of a refusal.
        open_low, open_high: whether that end itself is refused.
    """

    low: float
    high: float
    words: str
    hint: str = ""
    open_low: bool = False
    open_high: bool = False

    def __call__(self, name: str, value: Any) -> float:
        """`value`, or a `ProblemError`."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self._holds(value):
            raise ProblemError(f"{name} is {shown(value)}; {self._expected()}")
        return value

    def read(self, name: str, text: Any) -> float:
        """The number that `text` spells, or a `ProblemError`."""
        try:
            return self(name, float(text) if isinstance(text, str) else text)
        except ValueError:
            raise ProblemError(f"{name} is {shown(text)}; {self._expected()}") from None

    def _holds(self, value: float) -> bool:
        inside = self.low <= value <= self.high and abs(value) < BEYOND_FLOATS
        return inside and not (self.open_low and value == self.low) and not (self.open_high and value == self.high)

    def _expected(self) -> str:
        return f"expected {self.words}" + (f", {self.hint}" if self.hint else "")


def word(name: str, value: Any, choices: Collection[str]) -> str:
    """`value` if it is one of `choices`, or a `ProblemError`."""
    if not isinstance(value, str) or value not in choices:
        raise ProblemError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
    return value


def yes_or_no(name: str, value: Any) -> bool:
    """`value` if it is True or False, or a `ProblemError`."""
    if not isinstance(value, bool):
        raise ProblemError(f"{name} is {shown(value)}; expected True or False")
    return value


def path(name: str, value: Any, example: str) -> str | os.PathLike[str]:
    """`value` if it names a file, a folder or a URL, or a `ProblemError`."""
    if not isinstance(value, (str, os.PathLike)):
        raise ProblemError(f"{name} is {shown(value)}; expected a path, e.g. {example}")
    if not os.fspath(value).strip():
        raise ProblemError(f"{name} is empty; expected a file path, e.g. {example}")
    if "\0" in os.fspath(value):
        raise ProblemError(f"{name} is {shown(value)}, which holds a null character; expected a path, e.g. {example}")
    return value


def name(argument: str, value: Any, example: str) -> str:
    """`value` if it is a name, or a `ProblemError`."""
    if not isinstance(value, str) or not value.strip():
        got = "empty" if isinstance(value, str) else shown(value)
        raise ProblemError(f"{argument} is {got}; expected a name, e.g. {example}")
    return value


def instance(name: str, value: Any, kind: type[Kind], expected: str) -> Kind:
    """`value` if it is of this kind, or a `ProblemError`."""
    if not isinstance(value, kind):
        raise ProblemError(f"{name} is {shown(value)}; expected {expected}")
    return value


def callable_or_none(name: str, value: Any) -> Any:
    """`value` if it can be called or is None, or a `ProblemError`."""
    if value is not None and not callable(value):
        raise ProblemError(f"{name} is {shown(value)}; expected a function")
    return value


def plain_function(name: str, value: Any) -> Any:
    """`value` if calling it does what it says at once, or a `ProblemError`: coroutines and generators only begin."""
    for begins, kind, word in (
        (inspect.iscoroutinefunction, "an async function", "async"),
        (inspect.isgeneratorfunction, "a generator", "yield"),
    ):
        if begins(value):
            raise ProblemError(f"{name} is {kind}; expected a plain function: drop {word}")
    return value


def takes(name: str, function: Any, given: tuple[str, ...]) -> Any:
    """`function` if it can be called with so many arguments, or a `ProblemError`."""
    plain_function(name, function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return function
    try:
        signature.bind(*given)
    except TypeError:
        taken = ", ".join(map(str, signature.parameters.values())) or "nothing"
        raise ProblemError(f"{name} takes {taken}; expected a function {name}({', '.join(given)})") from None
    return function


def several(name: str, values: Any, expected: str) -> list[Any]:
    """`values` as a list if they are several, or a `ProblemError`."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ProblemError(f"{name} is {shown(values)}; expected {expected}")
    return list(values)


def each_once(name: str, values: Any, expected: str) -> list[Any]:
    """`values` as a list if it is one whose members differ, or a `ProblemError`."""
    found = several(name, values, expected)
    for index, value in enumerate(found):
        if value in found[:index]:
            raise ProblemError(f"{name} has {shown(value)} twice; expected each once")
    return found


def cores() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


MOST_STEPS = 10_000_000
"""Longer than what anybody trains again and again; the curve of a lane of so many steps still fits in memory."""
SMALLEST_RATE, LARGEST_RATE = 1e-20, 1e20
"""Twenty decades to either side leave room for every factor that a search, a schedule or a group applies."""
STEPS = Whole(1, MOST_STEPS, "the optimizer steps you plan to train")
SEED = Whole(-(2**63), 2**63 - 1, words="an integer of at most 63 bits, e.g. 0")
WORKERS = Whole(
    1,
    4 * cores(),
    words=f"an integer of at least 1 and at most {4 * cores()}, four processes a core: leave it out, or take fewer",
)
WORKERS_ON_RAY = Whole(1, 100_000, words="an integer of at least 1 and at most 100,000")
YEAR = 366 * 86400.0
MAX_SECONDS = Number(0, 10 * YEAR, "more than 0 seconds and at most ten years", "leave it out for no limit", open_low=True)
WITHIN = Number(0, 3, "a number > 0 and at most 3, in decades", "e.g. 0.25", open_low=True)
HALF_WIDTH = Number(0, 1, "a number between 0 and 1", "e.g. 0.12", open_low=True, open_high=True)
RATE = Number(SMALLEST_RATE, LARGEST_RATE, "a learning rate > 0, from 1e-20 to 1e+20")
ACCURACY = Number(0, 1, "a number in (0, 1]", "e.g. 0.5", open_low=True)
FINITE = Number(-math.inf, math.inf, "a finite number", open_low=True, open_high=True)
POSITIVE = Number(0, math.inf, "a finite number > 0", open_low=True, open_high=True)
BUDGET = Number(0, 10 * YEAR, "more than 0 seconds and at most ten years", open_low=True)
RUNS = Whole(1, 100_000, "e.g. 16")
RUNS_OR_NONE = Whole(0, 100_000, "e.g. 16")
HORIZON = Whole(1, MOST_STEPS, words=f"optimizer steps >= 1 and at most {MOST_STEPS:,}, e.g. --horizons 100,200,400")
MOMENTUM = Number(0, 1, "a number in [0, 1)", "e.g. 0.9", open_high=True)
TOLERANCE = Number(0, 1, "a number between 0 and 1", "e.g. 0.01", open_low=True, open_high=True)
BATCH_SIZE = Whole(1, 10**9, words="an integer of at least 1, the samples of a batch")
ACCUMULATE = Whole(1, 1_000_000, "the batches of an optimizer step")
CHUNK = Whole(1, 100_000, "the lanes trained together")
SIZE = Number(0, 1e12, "a number > 0: a law needs sizes", "so set everything else with --set", open_low=True)
UNITS = Whole(1, 1_000_000, words="a whole number >= 1 and at most 1,000,000")
NOISE = Number(0, 1e100, "a finite number >= 0")
LAYERS = Whole(0, 10_000, words="a whole number >= 0 and at most 10,000")
SAMPLES = Whole(1, 10**9, "the training samples to read")
SEEDS = Whole(1, 1000, "e.g. 3")
TRAININGS = Whole(12, 10_000, "trainings of every policy: seven rates, and four seeds at the best of them")
GENERATIONS = Whole(1, 100_000, "e.g. 40")
TRIALS = Whole(1, 100_000, "e.g. 64")
WARMUP = Whole(0, MOST_STEPS, "the updates of a warm-up")
FROM_STEP = Whole(0, MOST_STEPS, "the step from which a log counts")
PASSES = Number(0, 1e9, "a number > 0", "the times the data were seen", open_low=True)
PER_STEP = Number(0, 1e12, "a number > 0", "the tokens of an update", open_low=True)
CUT = Number(0, 1, "a share of the log in (0, 1)", "e.g. 0.5", open_low=True, open_high=True)
BATCH = Whole(1, 100_000, "the trials trained together")
SHARE = Number(0, 1, "a share in [0, 1]")
PART = Number(0, 1, "a number in (0, 1)", open_low=True, open_high=True)
FACTOR = Number(0, 1, "a number in (0, 1]", open_low=True)
MULTIPLE = Number(1, 1e12, "a number >= 1")
NOT_NEGATIVE = Number(0, math.inf, "a finite number >= 0", open_high=True)
CYCLES = Whole(1, 1000, words="an integer >= 1 and at most 1,000")
LOOKS = Whole(0, 10**9, "looks at a signal")
EVERY = Whole(1, 10**9, "optimizer steps")
