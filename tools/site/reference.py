"""The reference: one page a folder, of all the names that it offers, and a table of the public names."""

from __future__ import annotations

import ast
import enum
import inspect
import types
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import etastar
from tools.site.docstring import first_sentence, markdown

SOURCE = Path(etastar.__file__).parent
EXTRAS = ("lightning", "transformers")
"""What adapters stand on and the site does without: it is mocked where it is missing."""


@dataclass(frozen=True)
class Public:
    """A name that a folder offers.

    Args:
        room: the folder, dotted.
        name: in it.
        home: the module that defines it.
    """

    room: str
    name: str
    home: str

    @property
    def path(self) -> str:
        """What users write."""
        return f"{self.room}.{self.name}"

    @property
    def page(self) -> str:
        """The page that tells it: that of the folder it is defined in, or below which."""
        room = self.room if self.room != "etastar" else ".".join(self.home.split(".")[:2])
        return room.removeprefix("etastar.").replace(".", "-")

    @cached_property
    def value(self) -> Any:
        """The thing itself."""
        return getattr(import_module(self.home), self.name)

    @property
    def doc(self) -> str:
        """What it says of itself.

        Raises:
            ValueError: nothing.
        """
        doc = self.value.__doc__ if _documented(self.value) else _beneath(self.home, self.name)
        if not doc:
            raise ValueError(f"{self.path} has no docstring; expected one line at least: every public name has a page")
        return doc


def public_names() -> list[Public]:
    """Every name of every `__all__`, folders aside; one that several offer is told under the shortest path."""
    rooms = [stub.parent for stub in SOURCE.rglob("__init__.pyi")] + [SOURCE / "testing"]
    found: dict[tuple[str, str], Public] = {}
    for room in sorted(rooms, key=lambda room: (len(room.parts), room)):
        dotted = ".".join(("etastar", *room.relative_to(SOURCE).parts))
        for name, home in _offered(room, dotted):
            found.setdefault((home, name), Public(dotted, name, home))
    return sorted(found.values(), key=lambda public: public.path.lower())


def _offered(room: Path, dotted: str) -> Iterator[tuple[str, str]]:
    """(name, module that defines it) of a folder's `__all__`: read, not imported, since extras may be missing."""
    stub = room / "__init__.pyi"
    for node in ast.parse((stub if stub.exists() else room / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and ("" if node.level else node.module or "").startswith("etastar"):
            yield from ((alias.name, str(node.module)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level and node.module:
            yield from ((alias.name, f"{dotted}.{node.module}") for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, dotted


def _documented(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def _beneath(module: str, name: str) -> str | None:
    """The string under an assignment, which is how a constant of this house is documented."""
    body = ast.parse(Path(str(import_module(module).__file__)).read_text()).body
    for node, after in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(after, ast.Expr):
            return str(ast.literal_eval(after.value))
    return None


class _Text:
    """Shown as it is within a signature."""

    def __init__(self, text: Any) -> None:
        self._text = str(text)

    def __repr__(self) -> str:
        return self._text


def signature_of(value: Any) -> str:
    """How it is called, on one line; "" for what nobody calls.

    >>> signature_of(first_sentence)[:12]
    '(text: str, '
    """
    if inspect.isclass(value) and (getattr(value, "_is_protocol", False) or issubclass(value, (enum.Enum, BaseException))):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    kept = [_plain(parameter) for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    returns = signature.return_annotation
    given = _Text(returns) if isinstance(returns, str) and not inspect.isclass(value) else inspect.Signature.empty
    return " ".join(str(signature.replace(parameters=kept, return_annotation=given)).split())


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """With annotations as written, and `...` for a default that is no plain value."""
    annotation = parameter.annotation
    if annotation is not inspect.Parameter.empty:
        annotation = _Text(annotation) if isinstance(annotation, str) else _Text(inspect.formatannotation(annotation))
    default = parameter.default
    if default is not inspect.Parameter.empty and ("<" in repr(default) or len(repr(default)) > 40):
        default = _Text("...")
    return parameter.replace(annotation=annotation, default=default)


def page(room: str, names: list[Public], link: Any) -> str:
    """The page of one folder."""
    module = import_module(f"etastar.{room.replace('-', '.')}")
    title = f"# etastar.{room.replace('-', '.')}\n\n"
    return title + markdown(module.__doc__ or "", link) + "\n\n" + "\n\n".join(entry(name, link) for name in names) + "\n"


def entry(public: Public, link: Any) -> str:
    """One name with its members, under a heading that the table of contents shows."""
    value = public.value
    kind = "exception" if _raised(value) else "class" if inspect.isclass(value) else "function"
    if not _documented(value):
        kind = "data"
    signature = signature_of(value) if kind != "data" else ""
    body = [_directive(kind, f"{public.path}{signature}", markdown(public.doc, link), _canonical(public), 4)]
    if inspect.isclass(value):
        body = [_directive(kind, f"{public.path}{signature}", _class_body(public, link), _canonical(public), 5)]
    return f"## {public.name}\n\n" + "\n".join(body)


def _raised(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _canonical(public: Public) -> str:
    return f"{public.home}.{public.name}"


def _class_body(public: Public, link: Any) -> str:
    parts = [markdown(public.doc, link)]
    if issubclass(public.value, enum.Enum):
        parts += [_directive("attribute", member.name, f"`{member.value!r}`", "", 4) for member in public.value]
    for name, member in _members(public.value):
        kind = "property" if isinstance(member, (property, cached_property)) else "method"
        function = getattr(member, "__func__", member)
        form = name if kind == "property" else f"{name}{signature_of(function)}"
        doc = getattr(member, "__doc__", "") or ""
        parts.append(
            _directive(kind, form, markdown(doc, link), "", 4, static=isinstance(member, (classmethod, staticmethod)))
        )
    return "\n\n".join(parts)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """What it offers beside its arguments: methods and properties of etastar's classes that say what they do."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("etastar"):
            continue
        for name, member in vars(base).items():
            function = getattr(member, "__func__", member)
            kinds = (types.FunctionType, property, cached_property)
            if not name.startswith("_") and name not in seen and isinstance(function, kinds) and function.__doc__:
                seen.add(name)
                yield name, member


def _directive(kind: str, form: str, body: str, canonical: str, colons: int, *, static: bool = False) -> str:
    fence = ":" * colons
    options = [f":canonical: {canonical}"] * bool(canonical) + [":classmethod:"] * static
    return "\n".join([f"{fence}{{py:{kind}}} {form}", *options, "", body, fence])


def linker(names: list[Public]) -> Any:
    """What stands for a name in backticks: a link, where it is public, and no word that may mean something else."""
    short = {public.name: public.path for public in names if public.room == "etastar" or public.name[0].isupper()}
    known = short | {public.path: public.path for public in names}

    def link(name: str) -> str:
        path = known.get(name)
        return f"{{py:obj}}`{name} <{path}>`" if path else f"`{name}`"

    return link


def mocked() -> Any:
    """Stand-ins for what adapters import, where it is not installed."""
    try:
        from sphinx.ext.autodoc.mock import mock
    except ImportError:
        return nullcontext()
    return mock([name for name in EXTRAS if not _installed(name)])


def _installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def write(folder: Path) -> None:
    """Every page of the reference, and the table of its names."""
    with mocked():
        names = public_names()
        link = linker(names)
        rooms: dict[str, list[Public]] = {}
        for public in names:
            rooms.setdefault(public.page, []).append(public)
        folder.mkdir(parents=True, exist_ok=True)
        for room, offered in sorted(rooms.items()):
            (folder / f"{room}.md").write_text(page(room, offered, link))
        top = [public for public in names if public.room == "etastar" and not public.name.startswith("__")]
        rows = "\n".join(f"| {{py:obj}}`{public.path}` | {first_sentence(public.doc, link)} |" for public in top)
        (folder / "index.md").write_text(INDEX.format(rows=rows, pages="\n".join(sorted(rooms))))


INDEX = """# Reference

Written from the docstrings of the package. These are the names of `etastar` itself; what is not among them is offered by its
folder, one page each below.

| name | what it is |
|---|---|
{rows}

```{{toctree}}
:hidden:

command-line
named
codes
{pages}
```
"""
