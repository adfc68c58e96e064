"""What has a name on the command line: policies, monitors, problems, studies, samplers."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from tools.site.docstring import first_sentence
from tools.site.records import markdown_table


def write(folder: Path) -> None:
    """One page, from the tables in which they are registered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "named.md").write_text(page())


def page() -> str:
    """The tables."""
    from etastar.policies.registry import NOT_SETTINGS, SCHEDULES
    from etastar.probes.monitors.named import MONITORS
    from etastar.problems import BUILTINS
    from etastar.studies import STUDIES

    policies = [
        [
            f"`{name}`",
            "reacts to " + ", ".join(_signal(key) for key in policy.reads) if policy.reads else "a function of the step",
            f"`{type(policy).__name__}`: {_first(type(policy))}",
            ", ".join(f"`{key}={getattr(policy, key)}`" for key in _settings(policy) if key not in NOT_SETTINGS),
        ]
        for name, policy in SCHEDULES.items()
    ]
    monitors = [[f"`{name}`", _first(make)] for name, make in MONITORS.items()]
    problems = [[f"`{name}`", line] for name, (_, _, line) in BUILTINS.items()]
    studies = [[f"`{name}`", line] for name, line in STUDIES.items()]
    return PAGE.format(
        policies=markdown_table([["name", "", "what it is", "settings"], *policies]),
        monitors=markdown_table([["name", "what it reads"], *monitors]),
        problems=markdown_table([["name", "what is trained"], *problems]),
        studies=markdown_table([["name", "what it asks"], *studies]),
    )


def _first(what: Any) -> str:
    return first_sentence(what.__doc__ or "").replace("|", "\\|").rstrip(":")


def _signal(key: Any) -> str:
    return f"`{key}`" if isinstance(key, str) else f"`{key.signal}`"


def _settings(policy: Any) -> list[str]:
    return [field.name for field in fields(policy)] if is_dataclass(policy) else []


PAGE = """# What has a name

## Policies

Any `--schedule`, `--policies` or `Controller` takes these, `NAME:key=value,...` with other settings, and several in a row:
`constant@0.75>linear`.

{policies}

## Monitors

`--monitor NAME,NAME`.

{monitors}

## Problems

Any command takes one of these instead of `FILE.py:NAME`.

{problems}

## Studies

`etastar study NAME`.

{studies}
"""
