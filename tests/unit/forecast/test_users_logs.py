"""Logs as users have them: each is read to loss 2 + (n / 1000)^-1/2 after n updates, or refused in a sentence that helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from etastar import ProblemError
from etastar.verbs.forecast.columns import columns_of
from etastar.verbs.forecast.measured_curve import measured

N = np.arange(20, 1201, 20)
LOSS = 2 + (N / 1000) ** -0.5
RATE = np.where(N <= 600, 1e-3, 1e-3 * (1210 - N) / 610)
ROWS = list(zip(N.tolist(), RATE.tolist(), LOSS.tolist(), strict=True))


def table(separator=",", head="step,lr,loss", end="", text: Callable[[Any], str] = str, rows: Any = ROWS):
    lines = [head.replace(",", separator), *(separator.join(map(text, row)) + end for row in rows)]
    return "\n".join(lines) + "\n"


def with_comma(number):
    return str(number).replace(".", ",")


def epochs(head="epoch,step,lr,loss"):
    """Ten epochs of 120 updates, whose steps begin again."""
    return table(
        head=head, rows=[((n - 20) // 120, (n - 20) % 120 + 20, *rest)[-head.count(",") - 1 :] for n, *rest in ROWS]
    )


READ = {
    "byte_order.csv": "\ufeff" + table(),
    "byte_order.jsonl": "\ufeff" + "\n".join(json.dumps({"step": n, "lr": e, "loss": y}) for n, e, y in ROWS),
    "windows.csv": table().replace("\n", "\r\n").encode("utf-16"),
    "decimal_commas.csv": table(";", text=with_comma),
    "decimal_commas.tsv": table("\t", text=with_comma),
    "comma_at_the_end.csv": table(end=","),
    "comment.csv": "# run 3 of 5\n\n" + table(),
    "header_in_comment.csv": "# " + table(),
    "resumed_with_a_header.csv": table(rows=ROWS[:30]) + table(rows=ROWS[25:]),
    "global_step.csv": table(head="step,global_step,lr,loss", rows=[((n - 20) % 120, n, e, y) for n, e, y in ROWS]),
    "thousands.txt": "\n".join(f"step {n:,}: loss {y:.6f}, lr {e:.6e}" for n, e, y in ROWS),
    "parts.csv": table(
        head="step,lr,loss_scale,aux_loss,loss_ema,loss", rows=[(n, e, 65536, 2 * y, 3.0, y) for n, e, y in ROWS]
    ),
    "scaled.txt": "\n".join(
        f"iteration {n}/ 500 | loss scale: 65536.0 | lr: {e:.6e} | lm loss: {y:.6E} |" for n, e, y in ROWS
    ),
    "frozen.csv": table(head="step,lr/stem,lr/head,lr/head-momentum,loss", rows=[(n, 0, e, 0.9, y) for n, e, y in ROWS]),
}


@pytest.mark.parametrize("name", READ)
def test_a_log_as_users_have_it_is_read(tmp_path, name):
    text = READ[name]
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    curve = measured(tmp_path / name, name=name).curve
    assert curve.steps.tolist() == N.tolist() and curve.losses == pytest.approx(LOSS, rel=1e-5)
    assert curve.rates[N - 1] == pytest.approx(RATE, rel=1e-5)


REFUSED = {
    "epochs.csv": (epochs(), r"steps begin again \(at 20 after 120, 9 in all\): they count within an epoch"),
    "resets.csv": (epochs("step,lr,loss"), r"steps begin again \(at 20 after 120, 9 in all\): they count within an epoch"),
    "twice.csv": (table() + table(), r"steps begin again \(at 20 after 1200, 1 in all\)"),
    "decimal_commas.csv": (table(text=with_comma), "rows have more fields than the header; write decimals with a point"),
    "decimal_commas.txt": (
        "\n".join(f"step {n}: loss {with_comma(y)}" for n, _, y in ROWS),
        "holds '9,07.*', which is no number; write decimals with a point",
    ),
    "thousands.csv": (table(rows=[(f'"{n:,}"', e, y) for n, e, y in ROWS]), "holds '1,000', .* thousands without a comma"),
    "cut_off.jsonl": (
        '{"step": 1, "loss": 2.0}\n{"step": 2, "lo',
        r"no JSON lines: .* \(line 2\); expected an object a line",
    ),
    "lists.jsonl": ('{"step": 1, "lr": [0.1, 0.1], "loss": 2.0}\n', r"'lr' holds '\[0.1, 0.1\]', which is no number; leave"),
    "two_runs.csv": (
        table(head="step,lr,a - loss,b - loss", rows=[(*r, 1) for r in ROWS]),
        "'a - loss', 'b - loss', of several runs",
    ),
    "rateless.csv": (table(rows=[(n, 0, y) for n, _, y in ROWS]), "the rates of 'the log' are no list of finite numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_log_that_cannot_be_told_is_refused_in_a_sentence(tmp_path, name):
    text, sentence = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ProblemError, match=sentence):
        measured(tmp_path / name, name=name)


def test_a_run_begun_anew_counts_from_there():
    """One start more, and a run that was resumed here and there: the path trained last, not an epoch's."""
    rows = [*ROWS[:20], *ROWS]
    curve = measured(pd.DataFrame(rows, columns=["step", "lr", "loss"]), name="t").curve
    assert curve.losses == pytest.approx(LOSS)


def test_lists_of_tensors_are_numbers_and_columns_have_names_of_their_own():
    columns = {"step": N, "lr": RATE, "loss": [torch.tensor(y) for y in LOSS]}
    assert measured(columns, name="t").curve.losses == pytest.approx(LOSS)
    with pytest.raises(ProblemError, match="several columns 'loss'; give each a name of its own"):
        measured(pd.DataFrame(ROWS, columns=["step", "loss", "loss"]), name="t")


@pytest.mark.parametrize(
    ("names", "training", "evaluation"),
    [
        (["step", "ce_loss"], "ce_loss", None),
        (["step", "ce_loss", "kl_loss", "val_loss"], None, "val_loss"),
        (["step", "train/loss_ema", "train/loss", "eval/wiki_loss", "eval/loss"], "train/loss", "eval/loss"),
        (["step", "loss_epoch", "loss_step"], "loss_step", None),
    ],
)
def test_the_loss_is_the_one_that_is_no_part_of_another(names, training, evaluation):
    found = columns_of(pd.DataFrame(columns=names))
    assert (found.training, found.evaluation) == (training, evaluation)
