"""The pages that are written by hand, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
RUN = ("python", "sh")
NOT_BY_HAND = ("adr", "generated")
"""Folders of decisions, which are not edited for the site, and of what is written from elsewhere."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        kind: the word behind the fence.
        body: what it holds.
        output: of Python or commands, what follows as ```text: what they print, `...` standing for anything.
    """

    kind: str
    body: str
    output: str | None = None


def written() -> list[Path]:
    """Every page written by hand, decisions and the log aside."""
    pages = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).parts[0] not in NOT_BY_HAND]
    return [path for path in pages if path != DOCS / "log.md"]


def blocks(text: str) -> list[Block]:
    r"""The blocks of a page in order; output goes with the code above it.

    >>> blocks("```python\nprint(1)\n```\n\n```text\n1\n```\n")
    [Block(kind='python', body='print(1)\n', output='1\n')]
    """
    found: list[Block] = []
    end = -1
    for match in FENCE.finditer(text):
        kind, body = match.groups()
        directly = text[end : match.start()].strip() == "" and end >= 0
        if kind == "text" and directly and found and found[-1].kind in RUN and found[-1].output is None:
            found[-1] = Block(found[-1].kind, found[-1].body, body)
        else:
            found.append(Block(kind, body))
        end = match.end()
    return found


def commands(text: str) -> list[str]:
    """The lines of its shell blocks, lines that go on joined."""
    lines = [line for block in blocks(text) if block.kind == "sh" for line in block.body.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("$ ").strip() for line in lines if line.strip() and not line.startswith("#")]
