"""What came out: every link within the site leads to a page and an anchor that are there, every public name is found."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.site.reference import public_names


class _Page(HTMLParser):
    """The links and anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def dead_links(site: Path) -> list[str]:
    """A sentence for every link within the site that leads nowhere, and for every page that llms.txt only promises."""
    listed = site / "llms.txt"
    promised = re.findall(r"\]\(([^)]+)\)", listed.read_text()) if listed.exists() else []
    dead = [f"llms.txt: {link} leads to no page" for link in promised if not (site / link).exists()]
    return dead + [sentence for path in sorted(site.rglob("*.html")) for sentence in _dead(path, site)]


def _dead(path: Path, site: Path) -> Iterator[str]:
    for link in dict.fromkeys(_page(path).links):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        where = f"{path.relative_to(site)}: {link}"
        if not target.exists():
            yield f"{where} leads to no page; expected {target}"
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _page(target).anchors:
            yield f"{where} leads to no anchor of {target.name}"


def inventory(site: Path) -> set[str]:
    """The names that objects.inv tells other projects of."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


def names_without_a_page(site: Path) -> list[str]:
    """A sentence for every public name that the site does not tell."""
    known = inventory(site)
    return [f"{public.path} has no page" for public in public_names() if public.path not in known]
