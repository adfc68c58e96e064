"""`python -m tools.site.running PAGE ...`: run the blocks of pages, and write what they print into them.

Python blocks of a page share their names; one that begins with `# NAME.py` is saved under it. A block of commands is run
where its output is shown. All of it happens in an empty folder.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.site.pages import ROOT, Block, blocks

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
WITHIN = 2.0
"""Factor by which a number may differ from the page's: engines are chosen by their speed, and round otherwise."""
WIDTH = "90"
"""Columns of a terminal: what a page has room for."""


def printed(text: str) -> Iterator[tuple[Block, str]]:
    """Each block that is run, with what it prints; in the current folder."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for index, block in enumerate(blocks(text)):
        if block.kind == "python":
            if saved := re.match(r"# (\w+\.py)\n", block.body):
                Path(saved[1]).write_text(block.body)
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(block.body, f"block {index}", "exec"), space)
            yield block, said.getvalue()
        elif block.kind == "sh" and block.output is not None:
            yield block, "".join(ran(line) for line in block.body.splitlines())


def ran(line: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it was refused, or failed.
    """
    words = shlex.split(line)
    command = [sys.executable, "-m", *words] if words[0] == "etastar" else words
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{line}: {done.stderr}")
    return done.stdout


def same(said: str, output: str) -> bool:
    """Whether a page says what was printed: the same words, `...` for any, and numbers within a factor of two.

    >>> same("rate 0.1 of 4 lanes", "rate 0.12  of 4 lanes"), same("rate 0.1", "rate 0.4"), same("rate 1", "loss 1")
    (True, False, False)
    >>> same("a 1\\n...\\nb 2", "a 1\\nc 3\\nb 2")
    True
    """
    like = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(NUMBER.sub("#", said), NUMBER.sub("#", output), like):
        return False
    pairs = zip(_numbers(said.partition("...")[0]), _numbers(output), strict=False)
    return all(_near(one, other) for one, other in pairs)


def _numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def _near(one: float, other: float) -> bool:
    return one == other or (one * other > 0 and abs(math.log(one / other)) <= math.log(WITHIN))


def refreshed(text: str) -> str:
    """The page with what its blocks print now; an output that holds `...` and still is true stays."""
    for block, output in printed(text):
        if block.output is not None and not same(block.output, output):
            old = f"```{block.kind}\n{block.body}```\n\n```text\n{block.output}```"
            text = text.replace(old, f"```{block.kind}\n{block.body}```\n\n```text\n{_trimmed(output)}\n```")
    return text


def _trimmed(output: str) -> str:
    return "\n".join(line.rstrip() for line in output.rstrip().splitlines())


def main() -> None:
    """Every page named is written anew."""
    for name in map(Path.resolve, map(Path, sys.argv[1:])):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            name.write_text(refreshed(name.read_text()))


if __name__ == "__main__":
    main()
