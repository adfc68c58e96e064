"""A search over batch sizes compares what can be compared: per sample, on batches of one size, or not at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import etastar
from diagonal import diagonal
from etastar import ProblemError
from etastar.verbs.search.batch_sizes import kind_of

MEMORY = etastar.Options(store=":memory:", workers=1)
SPACE = {"lr": {"choices": [0.003, 0.03]}, "batch_size": {"choices": [6, 24]}}


def blobs(n: int = 240) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    y = torch.randint(3, (n,), generator=g)
    return torch.randn(3, 8, generator=g)[y] + 1.5 * torch.randn(n, 8, generator=g), y


def problem(**changes) -> etastar.Problem:
    given = {
        "model": lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
        "optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=0.01),
        "loss": F.cross_entropy,
        "train": blobs(),
        "batch_size": 12,
        "steps": 30,
    }
    return etastar.Problem(**{**given, **changes})


def contrastive(model: nn.Module, batch) -> torch.Tensor:
    """Each sample is to be told from the others of its batch: log(batch size) for a network that knows nothing."""
    x, _ = batch
    a, b = model(x), model(x + 0.1)
    return F.cross_entropy(a @ b.T, torch.arange(len(x), device=x.device))


def totalled(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets, reduction="sum")


def ranked(answer: etastar.verbs.SearchAnswer) -> list[dict]:
    return [t.params for t in sorted(answer.trials, key=lambda t: t.loss)]


@pytest.mark.parametrize(
    ("space", "valid"),
    diagonal([SPACE, {"lr": {"choices": [0.003, 0.03, 10.0]}, "batch_size": {"choices": [6, 24]}}], [None, blobs(300)]),
)
def test_a_summed_loss_ranks_batch_sizes_as_its_mean_does(valid, space):
    """Adam's steps are the same for both; as sums the losses of 24 samples are four times those of 6."""
    mean, total = (
        etastar.search(problem(loss=loss, valid=valid), sampler="grid", trials=6, space=space, options=MEMORY)
        for loss in (F.cross_entropy, totalled)
    )
    assert ranked(total) == ranked(mean)
    assert [t.loss for t in total.trials] == pytest.approx([t.loss for t in mean.trials], rel=1e-3)
    assert [t.diverged for t in total.trials] == [t.diverged for t in mean.trials]
    assert total.best.params == mean.best.params
    assert total.best.loss == pytest.approx(mean.best.loss, rel=1e-3)
    assert total.lr.value == mean.lr.value
    assert "per sample, because the loss is a sum" in total.objective and "per sample" not in mean.objective


def test_a_summed_validation_loss_is_not_cut_off_by_that_of_a_small_training_batch():
    """300 samples cost a hundred times a batch of 3; trials are told apart where the rate alone is searched, too."""
    rates = {"lr": {"choices": [0.0001, 0.001, 0.01]}}
    mean, total = (
        etastar.search(problem(loss=loss, valid=blobs(300), batch_size=3), space=rates, sampler="grid", options=MEMORY)
        for loss in (F.cross_entropy, totalled)
    )
    assert total.lr.ok and len({t.loss for t in total.trials}) == 3
    assert [t.loss for t in total.trials] == pytest.approx([3 * t.loss for t in mean.trials], rel=1e-3), (
        "of a training batch"
    )


def test_the_samples_each_batch_size_sees_are_said():
    answer = etastar.search(problem(), sampler="grid", trials=4, space=SPACE, options=MEMORY)
    assert "equal-steps" in answer.flags
    assert "batches of 6 .. 24 see 180 .. 720 samples in these steps" in answer.objective
    alone = etastar.search(problem(), sampler="grid", trials=4, space={"lr": SPACE["lr"]}, options=MEMORY)
    assert "equal-steps" not in alone.flags and "samples" not in alone.objective


def test_an_argument_that_changes_the_batches_is_seen_through():
    def make(rows: int = 12) -> etastar.Problem:
        data = torch.utils.data.TensorDataset(*blobs())
        loader = torch.utils.data.DataLoader(data, batch_size=rows, shuffle=True, drop_last=True)
        return problem(train=loader, batch_size=None, loss=totalled)

    space = {"lr": {"choices": [0.03]}, "rows": {"choices": [6, 12, 24]}}
    answer = etastar.search(make(), sampler="grid", trials=3, space=space, make=make, options=MEMORY)
    assert "equal-steps" in answer.flags and "per sample" in answer.objective
    assert max(t.loss for t in answer.trials) < 1.2, "cross-entropy of a sample, log(3) or less"


def test_a_loss_of_the_batch_as_a_whole_is_not_compared_over_batch_sizes():
    given = problem(loss=None, loss_fn=contrastive)
    with pytest.raises(ProblemError, match=r"batch sizes 6 \.\. 24, but the loss is neither a mean nor a sum over samples"):
        etastar.search(given, sampler="grid", trials=4, space=SPACE, options=MEMORY)
    rate_alone = etastar.search(given, sampler="grid", trials=4, space={"lr": {"low": 1e-3, "high": 0.1}}, options=MEMORY)
    assert rate_alone.lr.ok and "loss-of-the-batch" not in rate_alone.flags


def test_with_validation_data_it_is_compared_on_batches_of_one_size_and_flagged():
    given = problem(loss=None, loss_fn=contrastive, valid=blobs(64))
    answer = etastar.search(given, sampler="grid", trials=4, space=SPACE, options=MEMORY)
    assert answer.lr.ok and "loss-of-the-batch" in answer.flags
    untaught = torch.log(torch.tensor(64.0))
    assert all(t.loss < untaught for t in answer.trials), "each told one of 64 from the others"


@pytest.mark.parametrize("batch_size", [2, 4, 10, 64, 240])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mean", {}),
        ("sum", {"loss": totalled}),
        ("sum", {"loss": lambda o, t: totalled(o, t) / 32}),
        ("other", {"loss": None, "loss_fn": contrastive}),
        ("mean", {"model": lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))}),
        ("sum", {"loss": None, "loss_fn": lambda m, b: ((m(b[0]) - 1) ** 2).sum()}),
    ],
    ids=["mean", "sum", "a share of a sum", "contrastive", "mean behind BatchNorm and Dropout", "squares"],
)
def test_what_a_loss_does_with_its_samples_is_asked_of_the_loss(kind, changes, batch_size):
    assert kind_of(problem(**changes, batch_size=batch_size), "cpu") == kind


def test_a_batch_that_cannot_be_cut_is_flagged():
    class Named(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 96

        def __getitem__(self, i: int):
            x, y = blobs()
            return {"x": x[i], "y": y[i], "name": f"row {i}"}

    given = problem(train=Named(), loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b["x"]), b["y"]), steps=4)
    answer = etastar.search(given, sampler="grid", trials=4, space=SPACE, options=MEMORY)
    assert "reduction-unknown" in answer.flags


def test_missing_targets_that_the_loss_masks_do_not_keep_it_from_being_asked():
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(0))
    y = x[:, :1].clone()
    y[::5] = torch.nan
    masked = lambda o, t: torch.where(t.isnan(), 0.0, (o - t.nan_to_num()) ** 2).sum()
    given = problem(model=lambda: nn.Linear(8, 1), loss=masked, train=(x, torch.zeros_like(y)), batch_size=16)
    object.__setattr__(given, "batches", etastar.core.data.IndexedBatches(lambda i: (x[i], y[i]), 96, 16))
    assert kind_of(given, "cpu") == "sum"
