"""Whose code counts by its version, and whose by what it does."""

from __future__ import annotations

import os
import sys

from etastar.users_code import OURS, is_ours, is_users

_PROBLEMS = os.path.join(OURS, "problems", "")


def installed(file: str | None) -> bool:
    """Whether the version of code of this file says all of it: everybody's but the user's.

    So does that of etastar, but its problems are read as a user's.
    """
    if file is not None and is_ours(file):
        return not os.path.realpath(file).startswith(_PROBLEMS)
    return not is_users(file)


def version_of(module: str | None) -> str:
    """Of the installed package a module belongs to."""
    package = sys.modules.get((module or "").split(".")[0])
    return str(getattr(package, "__version__", ""))
