"""`etastar compare` as it is typed."""

from __future__ import annotations

from cli_harness import Cli, told


def test_the_command_compares(cli: Cli) -> None:
    ran = cli("compare", "quadratic", "--policies", "constant,wsd:decay=0.5,curve=sqrt", "--budget", "12", "--json", "-")
    assert ran.code == 0
    found = told(ran.out)
    assert {row["name"] for row in found["compared"]} == {"linear", "constant", "wsd:decay=0.5,curve=sqrt"}
    assert found["summary"].startswith(f"{found['best']['name']} at lr ")
    refused = cli("compare", "quadratic", "--budget", "3")
    assert refused.code == 2
    assert "expected an integer >= 12" in refused.sentence
