"""The examples run as they stand, and hold no more lines of etastar than they say."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {  # example -> (lines of etastar at most, the last line it prints)
    "own_loop_controller": (3, r"rate 0\.01 -> 6\.67e-05, accuracy 0\.9\d+"),
    "lightning_policy": (3, r"peak 0\.\d+: accuracy 0\.9\d+, validation loss 0\.\d+"),
    "transformers_finetune": (4, r"peak 0\.\d+: eval loss [01]\.\d+"),  # two jobs: drive (2), find and apply (3)
}


def lines_of_etastar(source: str) -> set[int]:
    """Lines that import of etastar or use what was imported; the data set apart."""
    tree, names, lines = ast.parse(source), {"controller"}, set[int]()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
            if module.startswith("etastar") and module != "etastar.problems.digits":
                lines.add(node.lineno)
                names |= {alias.name for alias in node.names}
    return lines | {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs_and_is_short(tmp_path, name):
    most, last = SHOWN[name]
    assert len(lines_of_etastar((EXAMPLES / f"{name}.py").read_text())) <= most
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(last, ran.stdout.strip().splitlines()[-1]), ran.stdout


def test_find_needs_one_line_for_a_trainer_that_exists(tmp_path):
    find = [
        sys.executable,
        "-m",
        "etastar",
        "find",
        str(EXAMPLES / "transformers_finetune.py:trainer"),
        "--effort",
        "glance",
    ]
    ran = subprocess.run(find, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "your 5e-05 is low" in ran.stdout
