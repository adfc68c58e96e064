"""Several experiments side by side: what they ask for is trained together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from etastar.core.design import Design, Plan
from etastar.core.lane import Lane, Runs

Answer = TypeVar("Answer")


class Together(Generic[Answer]):
    """Asks what all of the designs ask, tells each its own, and answers with their answers. A `Design`.

    Args:
        designs: none of which knows of the others.
    """

    def __init__(self, designs: Sequence[Design[Answer]]) -> None:
        self._designs = tuple(designs)
        self._asked: list[int] = []

    def planned(self) -> Plan:
        """All of their plans."""
        return sum((design.planned() for design in self._designs), Plan(0, 0))

    def ask(self) -> Sequence[Lane]:
        """The next lanes of every design that still asks for some; empty when none does."""
        asked = [design.ask() for design in self._designs]
        self._asked = [len(lanes) for lanes in asked]
        return [lane for lanes in asked for lane in lanes]

    def tell(self, outcomes: Runs) -> None:
        """To each design what it asked for; nothing to one that is over."""
        start = 0
        for design, n in zip(self._designs, self._asked, strict=True):
            if n:
                design.tell(outcomes[start : start + n])
            start += n

    def stop(self, flag: str) -> None:
        """End all of them."""
        for design in self._designs:
            design.stop(flag)

    def answer(self) -> tuple[Answer, ...]:
        """Their answers, in the order given."""
        return tuple(design.answer() for design in self._designs)
