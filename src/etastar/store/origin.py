"""Whose code it is: the user's, or that of Python and installed packages."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path

_OURS = Path(__file__).parents[1]
_INSTALLED = tuple({os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@functools.cache
def installed(file: str | None) -> bool:
    """Whether code of this file belongs to Python or an installed package; extension modules without a file do.

    So does etastar, whose version counts; its problems are read as a user's.
    """
    if file is None or file.startswith("<frozen"):
        return True
    place = os.path.realpath(file)
    if Path(place).is_relative_to(_OURS):
        return not Path(place).is_relative_to(_OURS / "problems")
    return place.startswith(tuple(f"{folder}{os.sep}" for folder in _INSTALLED)) or "-packages" in place


def installed_class(kind: type) -> bool:
    """Whether a class does; one whose module has no file (a notebook's, say) is the user's."""
    name = kind.__module__ or ""
    return name in sys.builtin_module_names or installed(getattr(sys.modules.get(name), "__file__", None) or f"<{name}>")


def version_of(module: str | None) -> str:
    """Of the installed package a module belongs to."""
    package = sys.modules.get((module or "").split(".")[0])
    return str(getattr(package, "__version__", ""))
