"""Every format is read to the same curve: loss 2 + (n / 1000)^-1/2 after n updates, 40 of warm-up to a rate of 1e-3."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from etastar import ProblemError
from etastar.adapters import Controller, PolicyLR
from etastar.adapters.step_log import StepLog
from etastar.engine import LoopEngine
from etastar.errors import MissingExtra
from etastar.verbs.forecast.measured_curve import measured
from etastar.verbs.forecast.readers.reading import read_log
from store_cases import classifier, lane, open_store

LOGS = Path(__file__).parents[2] / "logs"


def loss(n):
    return 2 + (np.asarray(n) / 1000) ** -0.5


@pytest.mark.parametrize(
    ("file", "format", "kind", "offset", "shift", "note"),
    [
        ("lightning_metrics.csv", "CSV", "validation", 0.05, 1, "training loss from 'train_loss_step'"),
        (
            "trainer_state.json",
            "Transformers' trainer_state.json",
            "validation",
            0.05,
            0,
            "the mean training loss since the row",
        ),
        ("printed.txt", "text", "validation", 0.05, 0, "evaluation loss from 'val loss'"),
        ("wandb_export.csv", "W&B's export", "training", 0.0, 0, "W&B exports a sample of long histories"),
        ("mlflow_export.csv", "MLflow's export", "training", 0.0, 0, "rate from 'lr'"),
        ("log.jsonl", "JSON lines", "training", 0.0, 0, "rate from 'optim/lr'"),
    ],
)
def test_each_format_gives_the_curve_that_was_logged(file, format, kind, offset, shift, note):
    assert read_log(LOGS / file).format == format
    found = measured(LOGS / file, name=file)
    curve = found.curve
    assert curve.kind == kind and note in "; ".join(found.notes)
    late = curve.steps >= 100
    assert curve.losses[late] == pytest.approx(loss(curve.steps[late] + shift) + offset, rel=1e-3)
    assert curve.steps[-1] in range(1180, 1201) and late.sum() >= 20
    assert curve.peak == pytest.approx(1e-3) and 20 <= curve.warmup <= 41 and curve.constant


def test_means_since_the_last_row_are_placed_in_its_middle():
    """At a constant rate the mean over updates 181 .. 200 stands at 190."""
    assert measured(LOGS / "trainer_state.json", name="t", loss="loss").curve.steps[-1] == 1190


def test_what_is_packed_is_unpacked(tmp_path):
    with (LOGS / "log.jsonl").open("rb") as file, gzip.open(tmp_path / "log.jsonl.gz", "wb") as packed:
        shutil.copyfileobj(file, packed)
    assert read_log(tmp_path / "log.jsonl.gz").frame.equals(read_log(LOGS / "log.jsonl").frame)


def test_tables_in_memory_are_logs():
    n = np.arange(20, 1201, 20)
    columns = {"step": n, "lr": np.full(60, 1e-3), "loss": loss(n)}
    for source in (columns, pd.DataFrame(columns)):
        assert measured(source, name="t").curve.losses == pytest.approx(loss(n))


def test_a_run_of_a_store_is_a_log(tmp_path):
    problem = classifier()
    store = open_store(tmp_path / "runs.db", problem)
    lanes = [lane(0.1, seed=seed, steps=40) for seed in (0, 1)]
    outcomes = store.get_or_train(LoopEngine(), problem, lanes)
    store.close()
    with pytest.raises(ProblemError, match=r"holds 2 runs \(.*name one, e\.g\. .*runs\.db#f"):
        read_log(tmp_path / "runs.db")
    with pytest.raises(ProblemError, match="holds 0 runs whose key begins with 'nope'; name one"):
        read_log(f"{tmp_path}/runs.db#nope")
    from etastar.store.schema import run_table
    from store_cases import rows

    keys = {seed: key for key, seed in rows(f"sqlite:///{tmp_path}/runs.db", f"select key, seed from {run_table.name}")}
    found = read_log(f"{tmp_path}/runs.db#{keys[1]}")
    assert found.frame["loss"].tolist() == [row.loss for row in outcomes[1].trace]
    assert set(found.frame["lr"]) == {0.1}


def trained(steps, log, kind=Controller, until=None, state=None):
    """The rates of a loop under a policy, and what it says of its loss, written by the policy's own log."""
    weight = torch.nn.Parameter(torch.tensor([4.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    policy, rates = kind(optimizer, "wsd:decay=0.5", steps=steps, logger=StepLog(log)), []
    if state is not None:
        policy.load_state_dict(state)
    controller = getattr(policy, "controller", policy)
    while controller.taken < (until or steps):
        loss = weight.square().sum() + 1 / (controller.taken + 1)
        optimizer.zero_grad()
        loss.backward()
        told = {"loss": loss, "valid_loss": 2.0 if controller.taken % 10 == 0 else None}
        if kind is Controller:
            policy.step(**told)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if kind is PolicyLR:
            policy.step(**told)
    return rates, policy.state_dict()


@pytest.mark.parametrize("kind", [Controller, PolicyLR])
def test_a_controllers_own_log_is_a_log(tmp_path, kind):
    rates, _ = trained(60, tmp_path / "run.jsonl", kind)
    found = measured(tmp_path / "run.jsonl", name="t", loss="loss")
    assert found.curve.rates == pytest.approx(rates) and found.curve.steps[-1] == 60
    if kind is Controller:
        assert found.curve.losses[0] == 17.0 and found.curve.losses[59] == pytest.approx(1 / 60, abs=1e-3)
        table = read_log(tmp_path / "run.jsonl").frame
        assert table["valid_loss"].notna().sum() == 6 and set(table["valid_loss"].dropna()) == {2.0}


def test_a_controller_that_is_resumed_goes_on_in_its_log(tmp_path):
    log = tmp_path / "run.jsonl"
    _, early = trained(60, log, until=30)
    trained(60, log, until=40)
    trained(60, log, state=early)
    found = measured(log, name="t", loss="loss")
    assert found.curve.steps.tolist() == list(range(1, 61))
    assert "resumed at step 31: what was trained beyond it before is left out" in found.notes
    with pytest.raises(ProblemError, match=r"'.*run.jsonl' cannot be written \(No such file or directory\)"):
        trained(60, tmp_path / "nowhere" / "run.jsonl")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
def test_event_files_lose_what_a_restart_purged(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for first, last, value in ((0, 500, 3.0), (300, 600, 1.5)):
        with SummaryWriter(str(tmp_path), purge_step=first or None) as writer:
            for step in range(first, last, 5):
                writer.add_scalar("train/loss", value, step)
                writer.add_scalar("train/lr", 1e-3, step)
    frame = read_log(tmp_path).frame
    assert frame["train/loss"].tolist() == [3.0] * 60 + [1.5] * 60 and frame["step"].tolist() == list(range(0, 600, 5))


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
@pytest.mark.parametrize(
    ("folders", "sentence"), [(("train", "validation"), None), (("a", "b"), "losses 'a/loss', 'b/loss', of sev")]
)
def test_event_files_of_several_folders_are_told_apart(tmp_path, folders, sentence):
    """Keras writes one tag into `train` and `validation`; two runs beside each other are no log."""
    from torch.utils.tensorboard import SummaryWriter

    for folder, above in zip(folders, (0.0, 0.5), strict=True):
        with SummaryWriter(str(tmp_path / folder)) as writer:
            for step in range(20, 1201, 20):
                writer.add_scalar("loss", loss(step) + above, step)
                writer.add_scalar("lr", 1e-3, step)
    if sentence:
        with pytest.raises(ProblemError, match=sentence):
            measured(tmp_path, name="t")
        return
    curve = measured(tmp_path, name="t").curve
    assert curve.kind == "validation" and curve.losses[-1] == pytest.approx(loss(1200) + 0.5, rel=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="needs no tensorboard")
def test_event_files_need_tensorboard(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"\x18")
    for path in (tmp_path, tmp_path / "events.out.tfevents.1.host"):
        with pytest.raises(MissingExtra, match="needs TensorBoard; pip install tensorboard, or export it as CSV"):
            read_log(path)


def test_parquet_is_read_or_says_what_it_needs(tmp_path):
    table = pd.DataFrame({"step": [1, 2], "loss": [2.0, 1.0]})
    file = tmp_path / "log.parquet"
    if importlib.util.find_spec("pyarrow"):
        table.to_parquet(file)
        assert read_log(file).frame.equals(table)
    else:
        file.write_bytes(b"PAR1")
        with pytest.raises(MissingExtra, match="needs pyarrow; pip install pyarrow, or export the log as CSV"):
            read_log(file)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("empty.csv", "", "is empty; give one with a step and a loss in each row"),
        ("prose.txt", "nothing here\nis a log\n", "is of no format known here"),
        ("bad.jsonl", '{"step": 1, "loss": 2}\n{"step": 2,\n', "is no JSON lines: .* expected an object a line"),
        ("numbers.json", "[1, 2]", "holds no objects; expected one a line"),
        ("trainer_state.json", '{"log_history": []}', "holds no loss; train with logging_steps set"),
        ("trainer_state_2.json", '{"global_step": 3}', "has no log_history; expected a trainer_state.json"),
        ("few.txt", "step 1: loss 2\nstep 2: loss 1\n", "is of no format known here"),
    ],
)
def test_files_that_are_no_logs_are_refused_in_a_sentence(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(ProblemError, match=sentence):
        read_log(tmp_path / name)


def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ProblemError, match="cannot be read: No such file or directory"):
        read_log(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(ProblemError, match="is no text in UTF-8 or UTF-16; expected CSV, JSON lines"):
        read_log(tmp_path / "binary.csv")
    (tmp_path / "half.csv.gz").write_bytes(gzip.compress(b"step,loss\n" * 1000)[:20])
    with pytest.raises(ProblemError, match="cannot be read: "):
        read_log(tmp_path / "half.csv.gz")
    with pytest.raises(ProblemError, match="the log is a int; expected a path, a DataFrame or columns"):
        read_log(3)
