"""`Monitor`: what reads a training while it goes on, every so many steps, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from etastar.arguments import shown
from etastar.errors import ProblemError

if TYPE_CHECKING:
    from etastar.core.batch import Batch
    from etastar.core.setup import Setup

REFUSED = "refused"
"""Name of the one reading of a monitor that does not apply; its block is the sentence that says why."""
Readings = Sequence[tuple[str, str, float]]
"""(block, quantity, value): of one layer, or of the whole model where the block is empty."""


@runtime_checkable
class Monitor(Protocol):
    """Reads a training at steps 0, `every`, 2 `every` ... and at the end of a lane that is sound, as two pure functions.

    One that compares a step with another one shortly before has an attribute `lag`, and looks so many steps after each, too.

    `init(setup, batch)` is called before the first step and returns the state of the first look; `batch` is the lane's first
    and is kept, so that the looks of a lane differ by its weights alone. `look(step, setup, state)` is called between the
    gradient and the update of a step, its rate already set (at the end: the last one's), and returns the readings and the
    state of the next look.

    Lanes with monitors are trained from their start, each by itself: no trunk is shared with them and no kept snapshot used.

    A look changes nothing: parameters, buffers, gradients, modes, hooks, optimizer and random state are bit-identical
    afterwards. A state is a value: two lanes that part share it. A monitor is a frozen dataclass, hashable, and its `repr`
    names all its settings: under it its readings are stored.

    Raises:
        DoesNotApply: by either function; the lane goes on, the monitor is asked no more, and its one reading says why.
    """

    name: ClassVar[str]
    """What its readings are called on a page."""

    @property
    def every(self) -> int:
        """Steps between two looks."""
        ...

    def init(self, setup: Setup, batch: Batch) -> Any:
        """The state of the first look, from the model before training."""
        ...

    def look(self, step: int, setup: Setup, state: Any) -> tuple[Readings, Any]:
        """The readings after `step` updates, and the state of the next look."""
        ...


def check_monitors(monitors: Sequence[Monitor]) -> None:
    """Refuse what is no monitor, and the same one twice: its readings would be one.

    Raises:
        ProblemError: something else is in `monitors`, or a cadence is no integer >= 1.
    """
    for monitor in monitors:
        if isinstance(monitor, type) or not isinstance(monitor, Monitor):
            raise ProblemError(
                f"a lane's monitors hold {shown(monitor)}; expected objects with name, every, init and look, e.g. "
                "MoveMonitor(every=50)"
            )
        check_every(monitor)
        try:
            hash(monitor)
        except TypeError:
            raise ProblemError(
                f"the {monitor.name} monitor cannot be hashed; expected a frozen dataclass of numbers, words and tuples"
            ) from None
    if len({repr(monitor) for monitor in monitors}) < len(monitors):
        raise ProblemError("a lane has the same monitor twice; expected each once: drop one, or change its settings")


def looks_at(monitor: Monitor, step: int) -> bool:
    """Whether it looks after `step` updates."""
    return step % monitor.every in (0, getattr(monitor, "lag", 0))


def check_every(monitor: Monitor) -> None:
    """Raise `ProblemError` if the cadence is no integer >= 1."""
    every = monitor.every
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ProblemError(f"the {monitor.name} monitor looks every {shown(every)} steps; expected an integer >= 1")
