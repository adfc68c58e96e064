"""Two processes of Lightning's: rank 0 finds the rate, both train with it and stay bit-identical."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import etastar
from clients import pl
from clients.process import script
from etastar.adapters.lightning import DrivePolicy, FindRate

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


def main(folder: Path) -> None:
    finder = FindRate(effort="glance", options=etastar.Options(store=":memory:", workers=1))
    trainer = pl.trainer(folder, DrivePolicy(GREEDY), finder, strategy="ddp", devices=2)
    module = pl.Net()
    trainer.fit(module, pl.loader())
    told = {
        "found": finder.answer is not None, "lr": finder.lr, "rates": module.rates, "seen": module.seen,
        "weights": module.head.weight.tolist(),
    }  # fmt: skip
    (folder / f"{trainer.global_rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
else:
    pytestmark = pytest.mark.filterwarnings("default")
