"""A docstring of the house, as Markdown: formulas stay formulas, examples examples, arguments become a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from inspect import cleandoc

SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Yields": "Yields", "Raises": "Raises"}
SPECIAL = re.compile(r"([*<\[\]]|(?<![A-Za-z0-9])_)")
"""What Markdown would take for emphasis, a tag or a link, where a docstring means the sign."""

Link = Callable[[str], str]


def markdown(text: str, link: Link = lambda name: f"`{name}`") -> str:
    r"""The docstring `text` as MyST Markdown.

    Args:
        link: what stands for a name in backticks.

    >>> print(markdown("Doubles x.\n\n    y = 2 * x\n\nArgs:\n    x: a *number*,\n        or two."))
    Doubles x.
    <BLANKLINE>
    ```text
    y = 2 * x
    ```
    <BLANKLINE>
    **Arguments**
    <BLANKLINE>
    - `x`: a \*number\*, or two.
    >>> markdown("Adds.\n\n>>> 1 + 1\n2").splitlines()[2:]
    ['```pycon', '>>> 1 + 1', '2', '```']
    """
    return "\n\n".join(_rendered(block, link) for block in _blocks(cleandoc(text)))


def first_sentence(text: str, link: Link = lambda name: f"`{name}`") -> str:
    r"""The first paragraph, on one line; a formula it leads up to is left to the page.

    >>> first_sentence("Doubles x:\n\n    y = 2 x")
    'Doubles x.'
    """
    first = _prose(next(_blocks(cleandoc(text))), link)
    return first if first.endswith((".", "?")) else first.rstrip(",:") + "."


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs; what is indented under a section's name, or as a formula, stays together."""
    block: list[str] = []
    for line in text.splitlines():
        inside = block and (block[0].rstrip(":") in SECTIONS or _indented(block[0]))
        if not line and inside:
            block.append("")
        elif (not line and block) or (inside and not _indented(line)):
            yield _trimmed(block)
            block = [line] if line else []
        elif line:
            if block and line.rstrip(":") in SECTIONS:
                yield _trimmed(block)
                block = []
            block.append(line)
    if block:
        yield _trimmed(block)


def _indented(line: str) -> bool:
    return line.startswith("    ")


def _trimmed(block: list[str]) -> list[str]:
    while block and not block[-1]:
        block.pop()
    return block


def _rendered(block: list[str], link: Link) -> str:
    if block[0].startswith(">>>"):
        return "\n".join(["```pycon", *block, "```"])
    if _indented(block[0]):
        return "\n".join(["```text", *cleandoc("\n" + "\n".join(block)).splitlines(), "```"])
    if (name := block[0].rstrip(":")) in SECTIONS and block[0].endswith(":"):
        return f"**{SECTIONS[name]}**\n\n" + "\n".join(_entries(block[1:], link))
    return _prose(block, link)


def _entries(lines: list[str], link: Link) -> Iterator[str]:
    """`name, other: what it is` as an item, with the lines that go on under it."""
    items: list[list[str]] = []
    for line in lines:
        if line and (not items or not line.startswith("        ")):
            items.append([line.strip()])
        elif line:
            items[-1].append(line.strip())
    for item in items:
        names, colon, rest = " ".join(item).partition(": ")
        if colon and re.fullmatch(r"[\w*]+(, [\w*]+)*", names):
            told = [link(name) if name[:1].isupper() else f"`{name}`" for name in names.split(", ")]
            yield f"- {', '.join(told)}: {_prose([rest], link)}"
        else:
            yield f"- {_prose([' '.join(item)], link)}"


def _prose(lines: list[str], link: Link) -> str:
    """One paragraph: names in backticks are links where they are public, other signs are themselves."""
    parts = " ".join(line.strip() for line in lines).split("`")
    if len(parts) % 2 == 0:
        return SPECIAL.sub(r"\\\1", "`".join(parts))
    return "".join(link(part) if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))
