"""Evidence: the records of the benchmarks as pages, and the rows of them that other pages quote."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks" / "records"


@dataclass(frozen=True)
class Measured:
    """One record: a folder DATE_NAME with what was found, its settings and where it was measured."""

    folder: Path

    @property
    def date(self) -> str:
        """When."""
        return self.folder.name.partition("_")[0]

    @property
    def name(self) -> str:
        """Of the benchmark."""
        return self.folder.name.partition("_")[2]

    @cached_property
    def text(self) -> str:
        """What was found."""
        return (self.folder / "README.md").read_text()

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.text.splitlines()[0].lstrip("# ")

    @cached_property
    def environment(self) -> dict[str, str]:
        """Versions and machine."""
        return json.loads((self.folder / "environment.json").read_text())

    @property
    def command(self) -> str:
        """What repeats it: the first thing in the record that looks like a command."""
        found = re.search(r"`((?:make|etastar|python) [^`]+)`", self.text)
        return found[1] if found else f"make bench BENCH={self.name}"

    def quoted(self, rows: str, columns: str = "") -> str:
        """The rows of its first table in which `rows` is found, as a table of those `columns` (all).

        Args:
            rows: a regular expression that a row's line is searched for.
            columns: names, separated by ";".

        Raises:
            LookupError: nothing matches: the record says something else now.
        """
        for table in self.tables:
            found = [row for row in table[1:] if re.search(rows, " | ".join(row))]
            wanted = [name.strip() for name in columns.split(";")] if columns else table[0]
            if found and all(name in table[0] for name in wanted):
                places = [table[0].index(name) for name in wanted]
                return markdown_table([[row[place] for place in places] for row in [table[0], *found]])
        raise LookupError(f"no row of the record {self.name} holds {rows!r} under {columns or 'any column'!r}")

    def said(self, line: str) -> str:
        """Its lines of prose in which `line` is found.

        Raises:
            LookupError: there is none.
        """
        found = [text for text in self.text.splitlines() if not text.startswith("|") and re.search(line, text)]
        if not found:
            raise LookupError(f"no line of the record {self.name} holds {line!r}")
        return "\n>\n".join(f"> {text}" for text in found)

    @cached_property
    def tables(self) -> list[list[list[str]]]:
        """Every table as rows of cells, its header first."""
        blocks = re.findall(r"(?:^\|.*\n?)+", self.text, flags=re.MULTILINE)
        return [[_cells(line) for i, line in enumerate(block.strip().splitlines()) if i != 1] for block in blocks]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def markdown_table(rows: list[list[str]]) -> str:
    """A table, its first row the header.

    >>> print(markdown_table([["a", "b"], ["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def all_records() -> list[Measured]:
    """The newest first; its text is written last, so one that is still measured has none and is no record yet."""
    return sorted((Measured(path.parent) for path in FOLDER.glob("*/README.md")), key=lambda r: r.folder.name, reverse=True)


def newest() -> dict[str, Measured]:
    """name -> its newest record."""
    found: dict[str, Measured] = {}
    for record in all_records():
        found.setdefault(record.name, record)
    return found


def write(folder: Path) -> None:
    """A page a record, with its pictures, and the table of all."""
    folder.mkdir(parents=True, exist_ok=True)
    records, latest = all_records(), newest()
    for record in records:
        (folder / f"{record.folder.name}.md").write_text(_page(record))
        for picture in (*record.folder.glob("*.png"), *record.folder.glob("*.svg")):
            shutil.copy(picture, folder / picture.name)
    current = [record for record in records if latest[record.name] == record]
    older = [record for record in records if latest[record.name] != record]
    pages = "\n".join(f"{record.name}, {record.date} <{record.folder.name}>" for record in records)
    (folder / "index.md").write_text(
        INDEX.format(table=_table(current), older=_table(older) if older else "None.", pages=pages)
    )


UNBROKEN = "\N{NON-BREAKING HYPHEN}"


def _table(records: list[Measured]) -> str:
    rows = [
        [
            f"[{r.title}]({r.folder.name}.md)",
            f"`{r.command}`",
            r.date.replace("-", UNBROKEN),
            str(r.environment.get("etastar", "")),
        ]
        for r in records
    ]
    return markdown_table([["what was measured", "again with", "on", "by etastar"], *rows])


def _page(record: Measured) -> str:
    made = [[f"`{name}`", str(value)] for name, value in record.environment.items()]
    settings = (record.folder / "config.toml").read_text().strip() or "# none"
    rows = sum(1 for line in (record.folder / "results.jsonl").open() if line.strip())
    where = f"benchmarks/records/{record.folder.name}"
    return (
        f"{record.text.rstrip()}\n\n## How it was measured\n\nOn {record.date}; {rows:,} rows of results lie in `{where}` "
        f"of the repository.\n\n{markdown_table([['', ''], *made])}\n\n```text\n{settings}\n```\n"
    )


INDEX = """# Evidence

Every number of this site and of the README comes from one of these records. A record is written by the command beside it,
with its settings, the versions and the machine; the losing cases stay in its tables. This page is written from the records
themselves.

{table}

## Records that newer ones replace

{older}

```{{toctree}}
:hidden:

{pages}
```
"""
