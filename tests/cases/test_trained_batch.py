"""Probes and predictions read hundreds of samples; they speak of the batch that is trained on."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.core.randomness import isolated_randomness
from etastar.probes.start import starting_point

DRAW = torch.Generator().manual_seed(11)
INPUTS = torch.randn(256, 8, generator=DRAW)
LABELS = INPUTS[:, :3].argmax(1)


def problem(loss=None, batch_size=16, lr=0.02, **changes) -> etastar.Problem:
    return etastar.Problem(
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=lr),
        loss=loss,
        train=(INPUTS, LABELS),
        batch_size=batch_size,
        steps=50,
        **changes,
    )


def summed(outputs, labels):
    return F.cross_entropy(outputs, labels, reduction="sum")


def of_model(model, batch):
    return summed(model(batch[0]), batch[1])


@pytest.mark.parametrize("batch_size", [16, 64])
@pytest.mark.parametrize("form", ["loss", "loss_fn"])
def test_a_sum_is_the_batch_size_times_the_mean_and_so_are_the_readings(batch_size, form):
    own = problem(summed, batch_size) if form == "loss" else problem(None, batch_size, loss_fn=of_model)
    twin = problem(lambda o, t: batch_size * F.cross_entropy(o, t), batch_size)
    read, expected = etastar.probe(own), etastar.probe(twin)
    assert read.yours is not None and expected.yours is not None
    assert read.yours.verdict == expected.yours.verdict
    for name in ("lambda1", "curvature along update", "eta_c", "noise scale"):
        assert read[name].value == pytest.approx(expected[name].value, rel=1e-3)
    assert f"SUM over batches of {batch_size}" in read.loss


def test_the_predicted_range_moves_with_the_batch_of_a_summed_loss():
    small, large = (etastar.predict(problem(summed, batch_size)) for batch_size in (16, 64))
    mean = etastar.predict(problem(F.cross_entropy, 16))
    for name in ("low", "high"):
        of = [getattr(answer.eta_star, name) for answer in (small, large, mean)]
        assert of[0] / of[1] == pytest.approx(4, rel=1e-3)
        assert of[2] / of[0] == pytest.approx(16, rel=1e-3)


def contrast(outputs, targets):
    """Every sample against all others of its batch: log of the batch size where all are alike."""
    z = F.normalize(outputs, dim=1)
    return F.cross_entropy(z @ z.T, torch.arange(len(z)))


def test_a_loss_that_sees_the_whole_batch_is_read_in_batches():
    """By hand: the mean over 8 batches of 32, not the loss of 256 at once."""
    with isolated_randomness():
        point = starting_point(problem(contrast, 32), 0, samples=256)
        inputs, targets = point.batch
        with torch.no_grad():
            outputs = point.model(inputs)
            parts = [float(contrast(outputs[i : i + 32], targets[i : i + 32])) for i in range(0, 256, 32)]
            together = float(contrast(outputs, targets))
    assert together == pytest.approx(math.log(256), rel=0.2)
    assert point.value() == pytest.approx(sum(parts) / 8, rel=1e-5)
    assert point.value() < 0.8 * together


def test_samples_of_such_a_loss_have_no_noise_scale():
    read = etastar.probe(problem(contrast, 32))
    assert "neither a mean nor a sum over samples: mean over batches of 32" in read.loss
    assert "a sample has no gradient of its own" in read["noise scale"].estimate.reason


def test_a_batch_larger_than_the_samples_asked_for_is_read_whole():
    with isolated_randomness():
        point = starting_point(problem(contrast, 128), 0, samples=64)
    assert point.samples == 128
    assert point.value() == pytest.approx(math.log(128), rel=0.2)


def test_a_rate_that_trains_is_not_called_too_high():
    """Batches of 16 at 0.02: the sum over all 256 samples would be 16 times as steep."""
    with isolated_randomness():
        torch.manual_seed(0)
        net = problem(summed).model()
        inputs, labels = INPUTS[:16], LABELS[:16]
        before = summed(net(inputs), labels)
        before.backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.02 * p.grad
        after = summed(net(inputs), labels)
    assert after.item() < before.item()
    yours = etastar.probe(problem(summed)).yours
    assert yours is not None
    assert yours.verdict in ("below-the-edge", "below-eta_c")
