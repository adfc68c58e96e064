"""How the JSON of every command begins. By itself, so that a list of words waits for no torch (1.0 of its 1.1 s of CPU)."""

from __future__ import annotations

from typing import Any

from etastar.version import __version__

SCHEMA = 2
"""Of the JSON; raised whenever a key goes, or comes to mean something else. 1: until 0.2.0, by a hand for every command."""


def head_of(command: str) -> dict[str, Any]:
    """The first keys.

    Args:
        command: as it was called.

    >>> list(head_of("find"))
    ['schema', 'etastar', 'command']
    """
    return {"schema": SCHEMA, "etastar": __version__, "command": command}
