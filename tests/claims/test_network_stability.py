"""What agrees and what differs: the page's table has the verdicts and numbers of the four records, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from tools.site.records import newest

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "stability.md").read_text()
NETWORKS = ("resnet18", "resnet18-faithful", "letters", "digits-mlp")


def verdicts_of(network: str) -> dict[str, str]:
    """claim -> what a cell says of it."""
    text = (newest()[f"network_stability-{network}"].folder / "README.md").read_text()
    rows = re.findall(r"^\| ([\w ,]+) \| (agrees|differs|cannot tell) \| ([^|]*) \|", text, flags=re.MULTILINE)
    assert len(rows) == 13
    return {claim: cell(verdict, measured) for claim, verdict, measured in rows}


def cell(verdict: str, measured: str) -> str:
    """A verdict with its number; "-" where the claim was not asked."""
    if "no arm of this effort" in measured or "or is not measured" in measured:
        return "-"
    number = re.match(r"-?\d[\d.e-]*(?= )", measured)
    return f"{verdict}, {number[0]}" if number else verdict


def test_the_table_of_what_agrees_is_that_of_the_records():
    known = [verdicts_of(network) for network in NETWORKS]
    table = [f"| {claim} | {' | '.join(own[claim] for own in known)} |" for claim in known[0]]
    shown = [line for line in PAGE.splitlines() if line.split("|")[1:2] and line.split("|")[1].strip() in known[0]]
    assert shown == table, "\n".join(table)
