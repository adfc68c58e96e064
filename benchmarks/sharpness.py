"""Time to the largest Hessian eigenvalue, and its true error: etastar, PyHessian, curvlinops with scipy's eigsh.

Runs in the peers' environment (see peers/sharpness.txt); every tool computes in this one process, in alternating rounds, on
one thread. `python -m benchmarks.sharpness '{"rounds": 3, ...}'` prints one JSON row per tool, network and round.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from etastar.core.randomness import isolated_randomness
from etastar.probes.point import Point
from etastar.probes.sharpness import Sharpness
from etastar.problems.digits import cnn, load, mlp
from etastar.theory.curvature import hessian
from etastar.theory.lanczos import largest_eigenvalue

Batch = tuple[torch.Tensor, torch.Tensor]
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp 3 x 32": lambda: mlp(3, 32),
    "mlp 3 x 128": lambda: mlp(3, 128),
    "cnn": lambda: cnn(8),
}
STEPS = 60


class Planted(nn.Module):
    """f(x; h) = 1/2 sum h_i x_i^2 at x = 0: with target -1/2 the squared error has the Hessian diag(h)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(dimension))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return 0.5 * (h * self.x.square()).sum(1, keepdim=True)


def etastar_at(tolerance: float) -> Callable[[nn.Module, nn.Module, Batch], float]:
    def measure(model: nn.Module, loss: nn.Module, batch: Batch) -> float:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Sharpness(tolerance)(Point(model=model, optimizer=optimizer, batch=batch, loss=loss)).estimate.require()

    return measure


def pyhessian_at(tolerance: float) -> Callable[[nn.Module, nn.Module, Batch], float]:
    def measure(model: nn.Module, loss: nn.Module, batch: Batch) -> float:
        import pyhessian

        found = pyhessian.hessian(model, loss, data=batch, cuda=False).eigenvalues(maxIter=100, tol=tolerance)[0][0]
        model.zero_grad(set_to_none=True)  # it leaves the graph in .grad, which would keep it alive for the others
        return found

    return measure


def curvlinops_at(tolerance: float, ncv: int | None = None) -> Callable[[nn.Module, nn.Module, Batch], float]:
    def measure(model: nn.Module, loss: nn.Module, batch: Batch) -> float:
        from curvlinops import HessianLinearOperator
        from scipy.sparse.linalg import eigsh

        operator = HessianLinearOperator(model, loss, list(model.parameters()), [batch], check_deterministic=False)
        return float(eigsh(operator.to_scipy(), k=1, which="LA", tol=tolerance, ncv=ncv, return_eigenvectors=False)[0])

    return measure


TOOLS = {
    "etastar 1e-3": etastar_at(1e-3),
    "etastar 1e-2": etastar_at(1e-2),
    "PyHessian 1e-3": pyhessian_at(1e-3),
    "PyHessian 1e-4": pyhessian_at(1e-4),
    "curvlinops + eigsh 1e-3": curvlinops_at(1e-3),
    "curvlinops + eigsh 1e-3, ncv=8": curvlinops_at(1e-3, 8),
}


def cases(config: dict[str, Any]) -> Iterator[tuple[str, int, nn.Module, nn.Module, Batch]]:
    """(name, seed, model, loss, batch): each network at initialisation and after 60 full-batch steps; then a planted one."""
    (x, y), _ = load()
    batch = x[: config["samples"]], y[: config["samples"]]
    loss = nn.CrossEntropyLoss()
    for name in config["networks"]:
        for seed in range(config["seeds"]):
            torch.manual_seed(seed)
            model = NETWORKS[name]()
            yield f"{name}, initial", seed, copy.deepcopy(model), loss, batch
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
            for _ in range(STEPS):
                optimizer.zero_grad()
                loss(model(batch[0]), batch[1]).backward()
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield f"{name}, trained", seed, model, loss, batch
    h = torch.cat([-torch.linspace(1, 50, 100), torch.linspace(0.01, 3, 100)])
    for seed in range(config["seeds"]):
        torch.manual_seed(seed)
        yield "planted: -50 .. 3", seed, Planted(200), nn.MSELoss(), (h[None], torch.full((1, 1), -0.5))


def reference(model: nn.Module, loss: nn.Module, batch: Batch) -> tuple[float, float | None]:
    """In float64: own Lanczos to 1e-10 from a random start; scipy's eigsh on curvlinops' operator, where that is cheap."""
    double = copy.deepcopy(model).double()
    inputs, targets = batch[0].double(), batch[1].double() if batch[1].is_floating_point() else batch[1]
    parameters = list(double.parameters())
    matrix = hessian(loss(double(inputs), targets), parameters)
    top = largest_eigenvalue(matrix, matrix.dimension, tolerance=1e-10, max_products=300, dtype=torch.float64)
    other = curvlinops_at(1e-10)(double, loss, (inputs, targets)) if matrix.dimension < 6000 else None
    return top.value, other


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name, seed, model, loss, batch in cases(config):
        model.eval()  # PyHessian would switch it; these networks are the same in both modes
        truth, cross_check = reference(model, loss, batch)
        for round_ in range(config["rounds"] + 1):  # the first warms up
            for tool, measure in TOOLS.items():
                with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    torch.manual_seed(1000 * seed + round_)
                    started = time.process_time()
                    value = measure(model, loss, batch)
                    seconds = time.process_time() - started
                if round_:
                    error = abs(value / truth - 1)
                    row = {"case": name, "seed": seed, "round": round_, "tool": tool, "seconds": seconds, "value": value}
                    yield {**row, "truth": truth, "truth_by_eigsh": cross_check, "error": error}


def main() -> None:
    with isolated_randomness():
        for row in rows(json.loads(sys.argv[1])):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
