"""llms.txt: the pages as a list, with the first sentence and the source of each, for those who read text only."""

from __future__ import annotations

import re
from pathlib import Path

from tools.site.pages import DOCS

ROLE = re.compile(r"\{[\w:]+\}`(?:etastar\.)?([^`<]+?)(?: <[^`]*>)?`")
"""A reference to a name, of which the name is left."""
PARTS = {
    "Start": ("index", "start", "which-verb"),
    "Guides": ("guides/*",),
    "Concepts": ("concepts/*", "glossary"),
    "Extend": ("extend/*",),
    "Reference": ("generated/reference/*",),
    "Evidence": ("generated/evidence/index", "faq", "elsewhere", "compatibility"),
}


def write(site: Path) -> None:
    """The list, at the site's root."""
    lines = ["# etastar", "", "> Learning rates you can measure, predict, schedule and trust, for PyTorch.", ""]
    for part, patterns in PARTS.items():
        lines += [f"## {part}", ""]
        for pattern in patterns:
            lines += [_line(path) for path in sorted(DOCS.glob(f"{pattern}.md"))]
        lines.append("")
    (site / "llms.txt").write_text("\n".join(lines))


def _line(path: Path) -> str:
    title, sentence = told(path.read_text())
    return f"- [{title}](_sources/{path.relative_to(DOCS)}.txt): {sentence}"


def told(text: str) -> tuple[str, str]:
    r"""The title of a page and the first sentence under it.

    >>> told("# Find\n\nWhich rate? Measure it.\n")
    ('Find', 'Which rate?')
    >>> told("# A\n\nSee [B](b.md) and {py:obj}`etastar.find`.\n")[1]
    'See B and find.'
    """
    title = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    plain = ROLE.sub(r"\1", re.sub(r"^(`{3,}|:{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL))
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", plain)
    prose = [part for part in map(str.strip, plain.split("\n\n")) if part and not part.startswith(("#", "(", "|", "-", ">"))]
    first = " ".join(prose[0].split()) if prose else ""
    return (title[1] if title else ""), re.split(r"(?<=[.?!])\s", first)[0]
