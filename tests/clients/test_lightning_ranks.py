"""Two processes of Lightning's: rank 0 finds the rate, both train with it, stay bit-identical, and are watched alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch.nn.functional as F

import etastar
from clients import pl
from clients.process import script
from etastar.adapters.lightning import DrivePolicy, FindRate, WatchStability
from etastar.core.told import told

GREEDY = "greedy:signal=loss,every=1,patience=0,factor=0.7"


def test_two_ranks_train_at_the_rate_that_one_has_found(tmp_path):
    ran = script(__file__, tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["found"] and not second["found"]
    assert first["lr"] == second["lr"] != 0.02
    assert first["rates"] == second["rates"] and len(set(first["rates"])) > 2
    assert first["seen"] != second["seen"]  # each its own half of the data
    assert first["weights"] == second["weights"]
    assert first["rows"] == second["rows"] and [row["step"] for row in first["rows"]] == [2, 4]
    assert first["logged"] == [2, 4] and second["logged"] == []


class Noted:
    """A logger that keeps the steps it is told of."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log(self, step, values) -> None:
        self.steps.append(step)


def main(folder: Path) -> None:
    finder = FindRate(effort="glance", options=etastar.Options(store=":memory:", workers=1))
    watch = WatchStability((pl.X[:16], pl.Y[:16]), loss=F.cross_entropy, every=2, logger=(noted := Noted()))
    trainer = pl.trainer(folder, DrivePolicy(GREEDY), finder, watch, strategy="ddp", devices=2, max_steps=4)
    module = pl.Net()
    trainer.fit(module, pl.loader())
    known = {
        "found": finder.answer is not None, "lr": finder.lr, "rates": module.rates, "seen": module.seen,
        "weights": module.head.weight.tolist(), "rows": told(watch.watch.rows), "logged": noted.steps,
    }  # fmt: skip
    (folder / f"{trainer.global_rank}.json").write_text(json.dumps(known))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
else:
    pytestmark = pytest.mark.filterwarnings("default")
