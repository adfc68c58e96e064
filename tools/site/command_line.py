"""The command line: every command with its options, as the command itself tells them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.site.records import markdown_table


def tree() -> Iterator[tuple[str, Any]]:
    """(words after `etastar`, command), those of groups included."""
    from etastar.cli.main import commands

    yield from _below("", commands())


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from _below(full, command)
        else:
            yield full, command


def _options(path: str, command: Any) -> list[list[str]]:
    context = command.context_class(command, info_name=path)
    told = [parameter.get_help_record(context) for parameter in command.params if parameter.name != "help"]
    return [[f"`{_cell(names)}`", _cell(text)] for names, text in filter(None, told)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(folder: Path) -> None:
    """One page of all commands."""
    parts = ["# Command line", "Written from the commands themselves; `etastar VERB --help` says the same."]
    for path, command in tree():
        parts += [f"## etastar {path}", *(_cell(part) for part in (command.help or "").split("\n\n"))]
        if rows := _options(path, command):
            parts.append(markdown_table([["argument", "what it is"], *rows]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "command-line.md").write_text("\n\n".join(parts) + "\n")
