"""The package's own syntax trees, read once a process for all tests that walk them."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import etastar

SOURCE = Path(etastar.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
Node = TypeVar("Node", bound=ast.AST)


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def trees() -> dict[str, ast.Module]:
    """file -> its syntax tree; a quarter of a million nodes, which the garbage collector need not walk ever after."""
    gc.disable()
    try:
        return {name_of(path): ast.parse(path.read_text()) for path in FILES}
    finally:
        gc.freeze()
        gc.enable()


@cache
def _by_kind() -> dict[type[ast.AST], list[tuple[str, ast.AST]]]:
    """Every node, with its file, under its class."""
    found: dict[type[ast.AST], list[tuple[str, ast.AST]]] = {}
    for name, tree in trees().items():
        for node in ast.walk(tree):
            found.setdefault(type(node), []).append((name, node))
    return found


def nodes(kind: type[Node], text: str | None = None) -> Iterator[tuple[str, Node]]:
    """(file, node) of exactly this class, over the package; or over `text`."""
    found = _by_kind().get(kind, []) if text is None else [("text", node) for node in ast.walk(ast.parse(text))]
    yield from ((name, node) for name, node in found if isinstance(node, kind))
