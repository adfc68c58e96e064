"""The change in one step against autograd and a real optimizer, and the law's exponents on a small scale."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from etastar.core.randomness import generator
from etastar.studies.bench import Bench
from etastar.studies.data import load_data
from etastar.studies.jelassi2023depth import STUDY, activation_change, plan
from etastar.studies.study import Setting
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace


def by_autograd(depth: int, width: int, eta: float) -> float:
    """The same network, drawn in the same order, moved by torch's SGD."""
    random = generator("jelassi2023depth", depth, width, 0, 0)
    draw = lambda *shape, var: torch.randn(*shape, generator=random, dtype=torch.float64) * var**0.5
    x = draw(1, width, var=1.0)
    x = x * (width**0.5 / x.norm(dim=1, keepdim=True))
    weights = [nn.Parameter(draw(1, width, width, var=2.0 / width)[0]) for _ in range(depth)]
    readout = nn.Parameter(draw(1, width, var=1.0 / width**2)[0])
    y = torch.randint(0, 2, (1,), generator=random).double() * 2 - 1

    def last() -> torch.Tensor:
        z = x[0]
        for i, w in enumerate(weights):
            z = w @ (z if i == 0 else z.relu())
        return z

    optimizer = torch.optim.SGD([*weights, readout], lr=eta)
    before = last()
    (0.5 * (readout @ before.relu() - y[0]) ** 2).backward()
    before = before.detach()
    optimizer.step()
    return float(((last().detach() - before) ** 2).mean())


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_change_is_that_of_a_real_step(depth):
    found = activation_change(depth, 16, 1, eta=0.05)
    assert found.shape == (1,)
    assert float(found[0]) == pytest.approx(by_autograd(depth, 16, 0.05), rel=1e-12)


def test_a_tiny_study_measures_and_concludes(tmp_path):
    setting = Setting(load_data(None), "quick")
    small = [m for m in plan(setting) if m.key["series"] != "narrow" and m.key["depth"] <= 6 and m.key["width"] <= 256]
    with Workplace(Options(store=":memory:")) as place:
        bench = Bench(place)
        rows = [{**m.key, **m.run(bench)} for m in small]
    found = {c.claim.name: c for c in STUDY.conclude(rows, setting).conclusions}
    assert 2.4 < found["L^3"].estimate.require() < 3.4
    assert found["eta^2"].estimate.require() == pytest.approx(2.0, abs=0.1)
    assert found["only where depth / width is small"].verdict.value == "cannot tell", "its too deep member is missing"
