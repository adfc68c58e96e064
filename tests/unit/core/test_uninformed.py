"""The loss of the best constant output, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.uninformed import uninformed_loss

SHARES = torch.tensor([0.5, 0.25, 0.125, 0.125])
LABELS = [torch.tensor([0, 0, 0, 0, 1, 1, 2, 3]), torch.tensor([3, 0, 1, 0, 2, 0, 1, 0])]
"""Two batches of 8 with the same shares."""
SCORES = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def entropy(q) -> float:
    return float(-(q * q.log()).sum())


def weighted(weights) -> float:
    """Mean over samples weighted by their class: the entropy of shares proportional to weight x frequency."""
    q = torch.tensor(weights) * SHARES
    return entropy(q / q.sum())


def focal(outputs, targets):
    log_p = outputs.log_softmax(1).gather(1, targets[:, None]).squeeze(1)
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nn.CrossEntropyLoss(), entropy(SHARES)),
        (nn.CrossEntropyLoss(reduction="sum"), 8 * entropy(SHARES)),
        (lambda o, t: F.cross_entropy(o, t, reduction="sum") / 3, 8 / 3 * entropy(SHARES)),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0, 4.0])), math.log(4)),
        (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 9.0, 1.0])), weighted([0.1, 1.0, 9.0, 1.0])),
        (nn.CrossEntropyLoss(label_smoothing=0.2), entropy(0.8 * SHARES + 0.05)),
        (nn.CrossEntropyLoss(ignore_index=0), entropy(torch.tensor([0.5, 0.25, 0.25]))),
        (lambda o, t: F.cross_entropy(o, t, ignore_index=3), entropy(torch.tensor([4.0, 2.0, 1.0]) / 7)),
        (
            lambda o, t: F.cross_entropy(o, t, weight=torch.tensor([1.0, 0.0, 0.0, 1.0]), reduction="sum"),
            5 * entropy(torch.tensor([0.8, 0.2])),
        ),
    ],
)  # fmt: skip
def test_for_class_labels_it_is_the_entropy_of_what_the_loss_counts(loss, expected):
    assert uninformed_loss(loss, SCORES, LABELS) == pytest.approx(expected, rel=1e-4)


def test_two_outputs_a_focal_loss_is_best_where_a_fine_grid_says():
    labels = torch.tensor([0, 0, 0, 1])
    grid = torch.stack([torch.linspace(-3, 3, 6001), torch.zeros(6001)], 1)
    lowest = min(float(focal(z.expand(4, 2), labels)) for z in grid[::10])
    assert uninformed_loss(focal, torch.randn(4, 2), [labels]) == pytest.approx(lowest, rel=1e-4)


def test_where_outputs_are_log_probabilities_so_is_the_constant():
    """A free constant would send this loss to minus infinity."""
    assert uninformed_loss(nn.NLLLoss(), SCORES.log_softmax(1), LABELS) == pytest.approx(entropy(SHARES), rel=1e-4)
    soft = [torch.tensor([[0.9, 0.1], [0.5, 0.5]]), torch.tensor([[0.6, 0.4], [0.2, 0.8]])]
    mean = torch.tensor([0.55, 0.45])
    expected = entropy(mean) - sum(entropy(t) for batch in soft for t in batch) / 4
    outputs = torch.randn(2, 2).log_softmax(1)
    assert uninformed_loss(nn.KLDivLoss(reduction="batchmean"), outputs, soft) == pytest.approx(expected, rel=1e-3)


def test_where_outputs_are_probabilities_so_is_the_constant():
    targets = [torch.tensor([[1.0], [0.0], [0.0], [0.0]])]
    expected = entropy(torch.tensor([0.25, 0.75]))
    assert uninformed_loss(nn.BCELoss(), torch.rand(4, 1), targets) == pytest.approx(expected, rel=1e-4)
    brier = lambda o, t: (o - F.one_hot(t, 4)).square().sum(1).mean()
    expected = float((SHARES * ((1 - SHARES) ** 2 + (SHARES**2).sum() - SHARES**2)).sum())
    assert uninformed_loss(brier, SCORES.softmax(1), LABELS) == pytest.approx(expected, rel=1e-4)


def test_positive_weights_count_in_binary_cross_entropy():
    """3 x p yes against 1 - p no, p = 1/4: as likely, so ln 2 of each, 3/4 + 3/4 of them."""
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    targets = [torch.tensor([[1.0], [0.0], [0.0], [0.0]])]
    assert uninformed_loss(loss, torch.randn(4, 1), targets) == pytest.approx(1.5 * math.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (F.mse_loss, 3.5),  # variance of 0, 1, 2, 5 around 2
        (nn.MSELoss(reduction="sum"), 14.0),
        (F.l1_loss, 1.5),
        (F.smooth_l1_loss, 1.0625),  # at 1.5: (1.0 + 0.125 + 0.125 + 3.0) / 4
        (lambda o, t: torch.maximum(0.75 * (t - o), 0.25 * (o - t)).mean(), 0.75),  # at 2: (0.5 + 0.25 + 0 + 2.25) / 4
        (lambda o, t: F.mse_loss(o, t).sqrt(), 3.5**0.5),
    ],
)
def test_for_numbers_it_is_that_of_mean_median_or_quantile(loss, expected):
    targets = torch.tensor([[0.0], [1.0], [2.0], [5.0]])
    grid = min(float(loss(torch.full((4, 1), c), targets)) for c in torch.linspace(-1, 6, 7001))
    got = uninformed_loss(loss, torch.randn(4, 1), [targets])
    assert got == pytest.approx(grid, rel=2e-3)
    assert got == pytest.approx(expected, rel=2e-3)


def test_a_margin_loss_is_no_higher_than_at_equal_scores():
    """Equal scores lose 3/4 of the margin; a lead of the commonest class that pays lowers it."""
    lead = min(
        float(nn.MultiMarginLoss()(torch.tensor([c, 0.0, 0.0, 0.0]).expand(8, 4), LABELS[0]))
        for c in torch.linspace(0, 2, 201)
    )
    got = uninformed_loss(nn.MultiMarginLoss(), SCORES, LABELS)
    assert got is not None
    assert got <= min(lead, 0.75) + 1e-6


def test_an_in_batch_loss_is_that_of_outputs_all_alike():
    def contrast(outputs, targets):
        z = F.normalize(outputs, dim=1)
        return F.cross_entropy(z @ z.T / 0.1, torch.arange(len(z)))

    assert uninformed_loss(contrast, torch.randn(16, 8), [torch.zeros(16)] * 3) == pytest.approx(math.log(16), rel=1e-4)


def test_a_loss_without_a_lowest_value_has_none():
    critic = lambda outputs, targets: 1 - (outputs * targets).mean()
    assert uninformed_loss(critic, torch.randn(8), [torch.ones(8)]) is None


def test_distances_stay_positive():
    """Targets +1: the distance itself; -1: 1 - distance. Half of each: 1/2 for any distance in 0 .. 1."""
    targets = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert uninformed_loss(nn.HingeEmbeddingLoss(), torch.rand(4), [targets]) == pytest.approx(0.5, rel=1e-4)


def test_more_outputs_than_targets_have_a_constant_too():
    """Mean and log deviation of one number: the best Gaussian has the targets' own."""
    nll = lambda o, t: (0.5 * ((t - o[:, :1]) / o[:, 1:].exp()).square() + o[:, 1:]).mean()
    targets = torch.tensor([[0.0], [4.0], [0.0], [4.0]])
    assert uninformed_loss(nll, torch.randn(4, 2), [targets]) == pytest.approx(0.5 + math.log(2), rel=1e-4)


@pytest.mark.parametrize("last", [False, True])
def test_a_sequence_shares_one_guess_over_its_positions(last):
    tokens = torch.tensor([[0, 0, 1], [0, 0, 1]])
    scores = torch.randn(2, 3, 4) if last else torch.randn(2, 4, 3)
    loss = lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()) if last else F.cross_entropy(o, t)
    assert uninformed_loss(loss, scores, [tokens]) == pytest.approx(entropy(torch.tensor([2.0, 1.0]) / 3), rel=1e-4)


def test_a_loss_may_shift_the_labels_or_flatten_them():
    tokens = torch.tensor([[3, 0, 0, 1], [2, 0, 0, 1]])
    expected = entropy(torch.tensor([2.0, 1.0]) / 3)
    shifted = lambda o, t: F.cross_entropy(o[:, :-1].flatten(0, 1), t[:, 1:].flatten())
    assert uninformed_loss(shifted, torch.randn(2, 4, 5), [tokens]) == pytest.approx(expected, rel=1e-3)
    flat = lambda o, t: F.cross_entropy(o, t[:, 1:].flatten())
    assert uninformed_loss(flat, torch.randn(6, 5), [tokens]) == pytest.approx(expected, rel=1e-3)


def test_many_classes_are_as_frequent_as_in_all_batches_not_in_the_few_that_fit():
    """60,000 classes, 64 seen, half of the labels ignored: the few labels asked about are not all of them."""
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randint(1, 65, (32,), generator=generator) for _ in range(50)]
    padded = [torch.where(torch.arange(32) % 2 == 0, 0, t) for t in batches]
    loss = nn.CrossEntropyLoss(ignore_index=0)
    got = uninformed_loss(loss, torch.zeros(32, 60_000), padded)
    assert got == pytest.approx(math.log(64), rel=0.05)


def test_what_a_loss_module_keeps_is_not_changed():
    class Counting(nn.Module):
        calls = 0

        def forward(self, outputs, targets):
            self.calls += 1
            return F.mse_loss(outputs, targets)

    loss = Counting()
    assert uninformed_loss(loss, torch.randn(2, 1), [torch.tensor([[0.0], [2.0]])]) == pytest.approx(1.0)
    assert loss.calls == 0
