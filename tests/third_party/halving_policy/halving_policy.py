"""Policies that etastar finds by name, as another distribution would offer them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Halving:
    """The lane's rate until a share `at` of the steps, half of it from there on."""

    at: float = 0.5
    steps: int | None = None
    reads = ()

    def __post_init__(self):
        if not 0 < self.at < 1:
            raise ValueError(f"at is {self.at}")

    def over(self, steps):
        return replace(self, steps=steps)

    def init(self, lr):
        return lr

    def step(self, seen, state):
        return state * (0.5 if seen.step >= self.at * self.steps else 1.0), state


def by_thirds(*, share):
    """A factory; its setting has no default."""
    return Halving(share / 3)
