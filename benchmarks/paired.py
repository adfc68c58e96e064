"""CPU time of this commit against an earlier one, the same work in turns: what a change costs, on a busy machine too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAD = """
import os, warnings
import torch
import etastar
from etastar import Criterion, Lane, LaneEngine, Options
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.problems.digits import digits_cnn, digits_deep_mlp, digits_mlp, digits_transformer
torch.set_num_threads(1)
warnings.simplefilter("ignore")
options = Options(store=":memory:", workers=1)
spread = lambda n: [Lane(10 ** (-3 + 2 * i / (n - 1)), i % 4, 200, Criterion(loss=-1.0), Until.END) for i in range(n)]
def cpu():
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system
"""
WORK = {
    "lanes: 64 of digits-mlp": ("p, e = digits_mlp(), LaneEngine('mlp', 16)", "list(e.train(p, spread(64)))"),
    "lanes: 16 of digits-cnn": ("p, e = digits_cnn(), LaneEngine('convnet', 8)", "list(e.train(p, spread(16)))"),
    "loop: 4 of digits-mlp": ("p, e = digits_mlp(), LoopEngine()", "list(e.train(p, spread(4)))"),
    "quick: digits-mlp": ("p = digits_mlp()", "etastar.find(p, effort='quick', options=options)"),
    "quick: digits-deep-mlp": ("p = digits_deep_mlp()", "etastar.find(p, effort='quick', options=options)"),
    "quick: digits-cnn": ("p = digits_cnn()", "etastar.find(p, effort='quick', options=options)"),
    "bisection: eta* of digits-mlp": ("p = digits_mlp()", "etastar.eta_star(p, options=options)"),
    "search: 20 trials of digits-mlp": ("p = digits_mlp()", "etastar.search(p, trials=20, measure=False, options=options)"),
}
"""name -> (what is prepared, what is timed)."""


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a piece of work and round: CPU seconds of both, each in a process of its own; who goes first takes turns."""
    with _checked_out(config["against"]) as before:
        for name in WORK:
            for number in range(config["rounds"]):
                sides = {"before": before / "src", "now": ROOT / "src"}
                order = list(sides) if number % 2 else list(sides)[::-1]
                taken = {side: _seconds(name, sides[side]) for side in order}
                yield {"work": name, "round": number, **taken, "against": config["against"]}


def _seconds(name: str, source: Path) -> float:
    prepare, work = WORK[name]
    code = f"{HEAD}\n{prepare}\n{work}\nstarted = cpu()\n{work}\nprint(cpu() - started)"
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(ran.stdout.split()[-1])


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """A folder with the tree of an earlier commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=tree, check=True)
        yield Path(folder)
