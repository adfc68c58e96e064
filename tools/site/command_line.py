"""The command line: every command with its options, as the command itself tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.site.records import markdown_table

COMMON = 6
"""An option that so many commands have, in the same words, is told once."""
Told = tuple[str, str]


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


def write(folder: Path) -> None:
    """One page of all commands."""
    found = {path: (command, _told(path, command)) for path, command in tree()}
    shared = Counter(option for _, options in found.values() for option in options)
    common = [option for option, times in shared.items() if times >= COMMON]
    parts = [HEAD]
    for path, (command, options) in found.items():
        parts += [f"## etastar {path}", *(_cell(part) for part in (command.help or "").split("\n\n"))]
        if own := [option for option in options if option not in common]:
            parts.append(markdown_table([["argument", "what it is"], *map(list, own)]))
        if others := [f"`{names.strip('`').split(' ')[0]}`" for names, _ in options if (names, _) in common]:
            parts.append(f"As [most commands](#what-most-commands-take): {', '.join(others)}.")
        if command.epilog:
            parts.append("Example: `{}`".format(_cell(command.epilog).removeprefix("Example: ")))
    parts += ["## What most commands take", markdown_table([["argument", "what it is"], *map(list, common)])]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "command-line.md").write_text("\n\n".join(parts) + "\n")


def _told(path: str, command: Any) -> list[Told]:
    """(names with their value, what it is), arguments first."""
    context = command.context_class(command, info_name=path)
    first = sorted(command.params, key=lambda parameter: parameter.param_type_name != "argument")
    told = [parameter.get_help_record(context) for parameter in first if parameter.name != "help"]
    return [(f"`{_cell(names)}`".replace("``", "`"), _cell(text)) for names, text in filter(None, told)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


HEAD = """# Command line

Written from the commands themselves; `etastar VERB --help` says the same. Exit code 0: answered; 1: no answer, and why; 2:
bad input, in a sentence. `--json` writes the answer in a form whose [keys are versioned](../../compatibility.md)."""
