"""One bad input, and the verdict on what the command line made of it."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli_harness import Ran, run_here

RIGHT = "right"
LIMIT = 60
"""Seconds after which a row counts as hanging: none takes one on an idle machine."""


@dataclass(frozen=True)
class Row:
    """What is typed, and what the sentence must name.

    Args:
        name: of the row.
        arguments: of the command line.
        names: texts of which the sentence must hold one: the option, or the value that was got.
        prepare: makes files in the empty folder where it runs.
        codes: exit codes that are right; with 0 or 1 among them the value may be used.
    """

    name: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    prepare: Callable[[], None] = lambda: None
    codes: tuple[int, ...] = (2,)


class Hanging(BaseException):
    """Raised in the row by the alarm."""


def judge(row: Row) -> str:
    """Run a row in the current folder: `RIGHT`, or what is wrong."""
    row.prepare()
    before = files()
    try:
        with _alarm(LIMIT):
            ran = run_here(*row.arguments)
    except Hanging:
        return "hang"
    except BaseException as error:
        return f"traceback: {type(error).__name__} got out"
    if "Traceback" in ran.err or ran.code == 70:
        return f"traceback: {ran.err.strip().splitlines()[-2:]}"
    if ran.code not in row.codes:
        return f"wrong exit {ran.code}: {(ran.err or ran.out).strip()[-200:]}"
    return _refusal(row, ran, before) if ran.code == 2 else RIGHT


def _refusal(row: Row, ran: Ran, before: set[str]) -> str:
    """Whether it was refused in one sentence that names what was got, and left nothing behind."""
    try:
        sentence = ran.sentence
    except AssertionError as error:
        return f"not one sentence: {str(error)[:300]}"
    if not sentence.isprintable():
        return f"unprintable: {sentence!r}"
    if len(sentence) > 1000:
        return f"{len(sentence)} characters: {sentence[:100]}"
    if not any(name.lower() in sentence.lower() for name in row.names):
        return f"names none of {row.names}: {sentence}"
    if ran.out:
        return f"on stdout: {ran.out[:100]}"
    if new := files() - before:
        return f"left {sorted(new)}"
    return RIGHT


def files() -> set[str]:
    """What lies in the current folder, but for what Python keeps of a module it imported."""
    return {str(path) for path in Path().rglob("*") if "__pycache__" not in path.parts}


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hanging

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pipe(name: str) -> Callable[[], None]:
    """Makes a pipe that nobody reads."""
    return lambda: os.mkfifo(name)


def locked_folder(name: str) -> Callable[[], None]:
    """Makes a folder that cannot be written to (by others than root)."""

    def make() -> None:
        Path(name).mkdir()
        Path(name).chmod(stat.S_IRUSR | stat.S_IXUSR)

    return make


def text(name: str, content: str | bytes) -> Callable[[], None]:
    """Makes a file."""

    def write() -> None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write
