"""The keys under which lanes are stored: everything that decides their outcome, their policy's own code included."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from etastar.core.lane import Lane
from etastar.core.randomness import derive_seed
from etastar.policies.compose import parts_of
from etastar.policies.policy import Policy
from etastar.store.description import digest, without_addresses
from etastar.users_code import file_of, is_ours


def lane_keys(problem_id: str, lanes: Sequence[Lane], engine_name: str) -> list[str]:
    """The key of every lane."""
    codes: dict[int, str | None] = {}
    for lane in lanes:
        if id(lane.policy) not in codes:
            codes[id(lane.policy)] = code_of(lane.policy)
    return [_key(problem_id, lane, engine_name, codes[id(lane.policy)]) for lane in lanes]


def code_of(policy: Policy) -> str | None:
    """A digest of what is not etastar's in a policy: source, settings, weights. None where all is, and its `repr` says it.

    It is read whole, also where it is installed: a package may change without another version.

    >>> from etastar.policies.policy import Constant
    >>> code_of(Constant()) is None
    True
    """
    others = list(_others(policy))
    return digest(others, read=tuple(map(_package, others))) if others else None


def _others(policy: Policy) -> Iterator[Policy]:
    """The policies that are not etastar's, in what `policy` is made of."""
    if not is_ours(file_of(type(policy)) or ""):
        yield policy
    else:
        for part in parts_of(policy):
            yield from _others(part)


def _package(policy: Policy) -> str:
    """Where the code of a policy's package begins: its folder, or its file where it is one module."""
    top = sys.modules.get(type(policy).__module__.partition(".")[0])
    file = getattr(top, "__file__", None) or file_of(type(policy)) or "<no file>"
    return os.path.dirname(file) + os.sep if os.path.basename(file) == "__init__.py" else file


def _key(problem_id: str, lane: Lane, engine_name: str, code: str | None) -> str:
    parts: tuple[Any, ...] = (
        lane.lr, lane.seed, lane.steps, lane.until.value, lane.criterion, lane.policy, engine_name,
    )  # fmt: skip
    if lane.settings:  # so that lanes without any keep the keys they had before there were settings
        parts += (lane.settings,)
    text = repr(parts) if code is None else f"{without_addresses(repr(parts))} {code}"
    return f"{problem_id[:12]}-{derive_seed(problem_id, text):016x}"
