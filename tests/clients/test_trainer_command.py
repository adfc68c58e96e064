"""`etastar find train.py:trainer`: the command line takes an existing Trainer."""

from __future__ import annotations

import json

import pytest

from cli_harness import run_here

pytestmark = pytest.mark.filterwarnings("default")
SCRIPT = """
from pathlib import Path
from clients import hf

trainer = hf.trainer(Path("out"), max_steps=64, gradient_accumulation_steps=2)

def made():
    return trainer

if __name__ == "__main__":
    trainer.train()
"""


@pytest.mark.parametrize("name, more, steps", [("trainer", [], 64), ("made", ["--steps", "96"], 96)])
def test_find_takes_a_trainer(tmp_path, monkeypatch, name, more, steps):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    result = run_here("find", f"train.py:{name}", "--effort", "glance", "--json", "-", *more)
    told = json.loads(result.out)
    assert told["steps"] == steps and told["optimizer"] == "AdamW" and told["yours"]["lr"] == 3e-3
    assert told["lr"]["value"] > 3e-3 or told["lr"]["status"] != "ok"
