"""Installs a distribution into a folder, as the unpacking of its wheel does: its modules, its metadata, its entry points."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

HALVING = Path(__file__).parent / "halving_policy"


def install(source: Path, folder: Path) -> Path:
    """The distribution whose pyproject.toml and modules lie in `source`; returns the folder, which belongs on the path."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    folder.mkdir(parents=True, exist_ok=True)
    for module in source.glob("*.py"):
        shutil.copy(module, folder)
    groups = [
        "\n".join((f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())))
        for group, entries in project["entry-points"].items()
    ]
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
    return folder
