"""Real Trainers of Lightning and of Transformers are watched: what a plain loop reads, bit for bit as if nobody looked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint

from clients import hf, pl
from etastar.adapters import StabilityWatch
from etastar.adapters.lightning import WatchStability
from etastar.adapters.transformers import StabilityCallback
from etastar.core.told import told
from etastar.errors import ProblemError

pytestmark = pytest.mark.filterwarnings("default")
BATCH = pl.X[:16], pl.Y[:16]
EVERY = {"every": 3, "loss": F.cross_entropy}


class Noted:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, step, values) -> None:
        self.rows.append((step, dict(values)))


def fit(folder: Path, *callbacks, ckpt: Path | None = None, **settings):
    module = pl.Net()
    pl.trainer(folder, *callbacks, **settings).fit(module, pl.loader(), ckpt_path=ckpt)
    return module


def by_hand() -> StabilityWatch:
    """The same training in a loop of one's own."""
    module = pl.Net()
    optimizer = module.configure_optimizers()
    watch = StabilityWatch(optimizer, module, BATCH, **EVERY)
    for i in range(12):
        x, y = pl.X[i % 10 * 8 :][:8], pl.Y[i % 10 * 8 :][:8]
        optimizer.zero_grad()
        F.cross_entropy(module(x), y).backward()
        optimizer.step()
        watch.step()
    return watch


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    own, other = a.state_dict(), b.state_dict()
    return all(torch.equal(own[name], other[name]) for name in own)


def test_lightning_reads_what_a_loop_reads_and_trains_as_undisturbed(tmp_path):
    watched = WatchStability(BATCH, **EVERY)
    module, plain = fit(tmp_path / "a", watched), fit(tmp_path / "b")
    assert same(module, plain) and module.seen == plain.seen
    assert watched.watch.to_json() == by_hand().to_json()
    assert [row.step for row in watched.watch.rows] == [3, 6, 9, 12] and [b.name for b in watched.watch.rows[0].blocks]
    metrics = (tmp_path / "a" / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    logged = [dict(zip(metrics[0].split(","), line.split(","), strict=True)) for line in metrics[1:]]
    found = {int(row["step"]): row for row in logged if row.get("stability/A/head")}
    for row in watched.watch.rows:
        assert float(found[row.step]["stability/A/head"]) == row["head"].forward
        assert float(found[row.step]["stability/B/head"]) == row["head"].backward


def test_under_autocast_it_is_read_in_float32_and_trains_as_undisturbed(tmp_path):
    watched = WatchStability(BATCH, **EVERY)
    module, plain = (fit(tmp_path / name, *own, precision="bf16-mixed") for name, own in (("a", [watched]), ("b", [])))
    assert same(module, plain) and module.seen == plain.seen
    loss = F.cross_entropy(module(BATCH[0]), BATCH[1]).item()  # after the last step
    assert watched.watch.rows[-1].loss == pytest.approx(loss, rel=1e-6)


def test_lightning_resumed_reads_the_same_steps_and_accumulating_batches_are_none(tmp_path):
    settings, own = {"accumulate_grad_batches": 2, "enable_checkpointing": True}, EVERY | {"every": 4}
    kept = lambda: ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
    whole, logger = WatchStability(BATCH, **own), Noted()
    fit(tmp_path / "a", whole, kept(), **settings)
    resumed = WatchStability(BATCH, **own, logger=logger)
    fit(tmp_path / "b", resumed, kept(), ckpt=tmp_path / "step=5.ckpt", **settings)
    assert [row.step for row in whole.watch.rows] == [4, 8, 12]
    assert told(resumed.watch.rows) == told(whole.watch.rows)[1:]
    assert [step for step, _ in logger.rows] == [8, 12]


def watched(folder: Path, *, watch: bool, **settings):
    trainer = hf.trainer(folder, gradient_accumulation_steps=2, save_strategy="steps", save_steps=4)
    batch = trainer.data_collator(hf.data()[:6])
    callback = StabilityCallback(trainer, batch, every=3, **settings)
    if watch:
        trainer.add_callback(callback)
    return trainer, callback


def test_transformers_is_watched_at_its_own_loss_and_logs_all_it_logged(tmp_path):
    (trainer, callback), (plain, _) = watched(tmp_path / "a", watch=True), watched(tmp_path / "b", watch=False)
    trainer.train(), plain.train()
    assert same(trainer.model, plain.model) and hf.losses(trainer) == hf.losses(plain) and len(hf.losses(plain)) == 12
    rows = callback.watch.rows
    assert [row.step for row in rows] == [3, 6, 9, 12] and [row.rate for row in rows] == pytest.approx(hf.rates(plain)[2::3])
    found = {row["step"]: row for row in trainer.state.log_history if "stability/F" in row}
    for row in rows:
        assert row.kl > 0 and found[row.step]["stability/F"] == row.kl
        for block in row.blocks:
            assert found[row.step][f"stability/A/{block.name}"] == block.forward > 0
    with torch.no_grad():
        batch = trainer.data_collator(hf.data()[:6])
        assert rows[-1].loss == pytest.approx(float(trainer.model(**batch).loss), rel=1e-6)

    resumed, again = watched(tmp_path / "a", watch=True, logger=(logger := Noted()))
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-4"))
    assert told(again.watch.rows) == told(rows)[1:] and [step for step, _ in logger.rows] == [6, 9, 12]


def test_what_cannot_be_watched_is_refused(tmp_path):
    with pytest.raises(ProblemError, match=r"got 3; expected a transformers\.Trainer"):
        StabilityCallback(3, None)
    with pytest.raises(ProblemError, match=r"'nope'.*expected"):
        fit(tmp_path, WatchStability(BATCH, **EVERY, blocks="nope"))
    with pytest.raises(ProblemError, match=r"exactly one of loss\(outputs, targets\) and loss_fn\(model, batch\)"):
        fit(tmp_path, WatchStability(BATCH))
    with pytest.raises(ProblemError, match="k is 5, and the watch has a row every 3 steps"):
        watched(tmp_path / "b", watch=True, k=5)[0].train()
