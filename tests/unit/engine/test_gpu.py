"""On a GPU: the same lanes, the same numbers as its loop. Run where there is one."""

from __future__ import annotations

import math

import pytest
import torch

from etastar import Criterion, Lane, LaneEngine
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.problems.digits import digits_cnn, digits_mlp

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize(("kernel", "make"), [("mlp", digits_mlp), ("vmap", digits_mlp), ("convnet", digits_cnn)])
def test_lanes_equal_the_loop_in_float64(kernel, make):
    problem = make(width=16)
    lanes = [Lane(lr, seed, 30, Criterion(loss=-math.inf), Until.END) for seed in (1, 2) for lr in (1e-3, 1e-2)]
    ours = LaneEngine(kernel, device="cuda", dtype=torch.float64).try_train(problem, lanes)
    loop = LoopEngine("cuda", torch.float64)
    for mine, lane in zip(ours, lanes, strict=True):
        truth = loop.train_lane(problem, lane)
        assert [r.loss for r in mine.trace] == pytest.approx([r.loss for r in truth.trace], rel=1e-10)
        assert mine.valid_loss == pytest.approx(truth.valid_loss, rel=1e-10)
