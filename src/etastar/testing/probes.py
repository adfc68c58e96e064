"""What every probe must do; see `etastar.probes.reading.Probe`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass

import torch

from etastar.core.randomness import isolated_randomness
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading
from etastar.testing.expect import SENTENCE, expect
from etastar.testing.traces import expect_untouched, traces_of


def check_probe(probe: Probe, start: Callable[[], Point]) -> None:
    """Hold that `probe` keeps the contract of `Probe` at a point.

    It is a frozen dataclass with a name, a unit, a meaning and a caveat; it leaves model, gradients, optimizer, modes and
    random state bit-identical; it reads the same twice and on a fresh point; it gives a number within its bounds, or says
    why there is none.

    Args:
        start: makes the point; called twice.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> import etastar
    >>> from etastar.probes.start import starting_point
    >>> from etastar.problems.quadratic import quadratic
    >>> check_probe(etastar.Sharpness(), lambda: starting_point(quadratic(), 0))
    """
    _is_a_value(probe)
    point, fresh = (_made(start) for _ in range(2))
    for parameter in point.parameters:
        parameter.grad = torch.full_like(parameter, 0.5)
    before = traces_of(point.model, point.optimizer, point.loss)
    reading = probe(point)
    expect_untouched(before, traces_of(point.model, point.optimizer, point.loss), repr(probe))
    expect(isinstance(reading, Reading), f"{probe!r} returned a {type(reading).__name__}; expected a Reading")
    expect(reading == probe(point), f"{probe!r} read another value the second time; draw from the point's seed")
    expect(reading == probe(fresh), f"{probe!r} read another value at a fresh point of the same seed")
    _says_something(probe, reading, point.samples)


def _made(start: Callable[[], Point]) -> Point:
    with isolated_randomness():
        return start()


def _is_a_value(probe: Probe) -> None:
    fits = isinstance(probe, Probe) and is_dataclass(probe)
    expect(fits, f"{probe!r} is no probe; expected a frozen dataclass that derives from Probe")
    try:
        same = hash(type(probe)(**vars(probe))) == hash(probe)
    except TypeError as error:
        raise AssertionError(f"{probe!r} cannot be hashed ({error}); expected @dataclass(frozen=True)") from error
    expect(same, f"another {probe!r} has another hash; expected @dataclass(frozen=True)")
    for name in ("name", "unit", "meaning", "caveat"):
        expect(bool(getattr(probe, name, "")), f"{type(probe).__name__} has no {name}; expected some words")


def _says_something(probe: Probe, reading: Reading, samples: int) -> None:
    estimate = reading.estimate
    if estimate.value is None or estimate.low is None or estimate.high is None:
        told = len(estimate.reason) > SENTENCE
        expect(told, f"{probe!r} has no value and the reason {estimate.reason!r}; expected a sentence")
        return
    expect(
        estimate.low <= estimate.value <= estimate.high, f"{probe!r} lies outside its bounds; expected low <= value <= high"
    )
    expect(estimate.n == samples, f"{probe!r} says n = {estimate.n}; expected the point's {samples} samples")
