"""Whose code it is, the user's or somebody else's, and what it names."""

from __future__ import annotations

import dis
import functools
import os
import sys
import sysconfig
import types
from pathlib import Path

OURS = os.path.realpath(Path(__file__).parent)
_PYTHON = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_FOLDERS = tuple({folder + os.sep for path in _PYTHON for folder in (path, os.path.realpath(path))})
_PACKAGES = ("site-packages", "dist-packages")


@functools.cache
def is_ours(file: str) -> bool:
    """Whether code of this file is etastar's."""
    return _real(file).startswith(OURS + os.sep)


@functools.cache
def is_installed(file: str | None) -> bool:
    """Whether it is Python's or an installed package's; extension modules, which have no file, are.

    >>> is_installed(functools.__file__), is_installed("<frozen importlib._bootstrap>"), is_installed("<stdin>")
    (True, True, False)
    """
    if file is None or file.startswith("<"):
        return file is None or file.startswith("<frozen")
    return any(path.startswith(_FOLDERS) or any(part in path for part in _PACKAGES) for path in (file, _real(file)))


def is_users(file: str | None) -> bool:
    """Whether it is the user's own: nobody else's."""
    return file is not None and not is_installed(file) and not is_ours(file)


def file_of(kind: type) -> str | None:
    """Where a class was written; "<module>" for a module without a file (a notebook's, say), None for one in C."""
    name = kind.__module__ or ""
    return None if name in sys.builtin_module_names else getattr(sys.modules.get(name), "__file__", None) or f"<{name}>"


def names_in(code: types.CodeType, *kinds: str) -> list[str]:
    """Names in instructions of these kinds, those of functions inside it, too; all names where no kind is given.

    >>> names_in((lambda x: len(x) + x.size).__code__), names_in((lambda x: len(x) + x.size).__code__, "LOAD_GLOBAL")
    (['len', 'size'], ['len'])
    """
    names = [i.argval for i in dis.get_instructions(code) if i.opname in kinds] if kinds else list(code.co_names)
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in names_in(c, *kinds)]
    return sorted({*names, *inner})


def _real(file: str) -> str:
    """The file itself, behind links; what is no file ("<stdin>") stays."""
    if file.startswith("<"):
        return file
    try:
        return os.path.realpath(file)
    except OSError:  # the current folder is gone
        return file
