"""Lanczos against dense eigenvalues: the largest ALGEBRAIC one, within the bound that is stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar.theory.lanczos import FEWEST_PRODUCTS, TopEigenvalue, largest_eigenvalue


def top(spectrum, *, seed: int = 0, dtype: torch.dtype = torch.float64, **options) -> TopEigenvalue:
    """Of a diagonal matrix: from a random start its basis does not matter."""
    h = torch.as_tensor(np.asarray(spectrum), dtype=dtype)
    return largest_eigenvalue(lambda v: h * v, len(h), seed=seed, dtype=dtype, **options)


def test_the_largest_eigenvalue_is_algebraic_not_that_of_largest_magnitude():
    found = top([-100.0, -50.0, 3.0, 2.0, 1.0, 0.5, 0.1, 0.0, -1.0, -2.0], tolerance=1e-8)
    assert found.value == pytest.approx(3.0, rel=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
def test_against_a_dense_solver_in_float64(n):
    a = np.random.default_rng(n).standard_normal((n, n))
    a = a + a.T
    found = largest_eigenvalue(torch.tensor(a).mv, n, tolerance=1e-9, dtype=torch.float64)
    assert found.value == pytest.approx(np.linalg.eigvalsh(a)[-1], rel=1e-9)
    assert found.converged and found.products <= n
    residual = torch.tensor(a) @ found.vector - found.value * found.vector
    assert float(residual.norm()) <= 1e-4 * abs(found.value)


@pytest.mark.parametrize(
    ("spectrum", "value"),
    [([0.0] * 7, 0.0), ([5.0], 5.0), ([-5.0], -5.0), ([0.0] * 30 + [3.0], 3.0), ([2.0] * 9, 2.0), ([-1.0, -2.0] * 8, -1.0)],
    ids=["zero", "1x1", "1x1 negative", "rank 1", "identity", "all negative"],
)
def test_an_exhausted_krylov_space_is_exact(spectrum, value):
    found = top(spectrum)
    assert found.converged
    assert found.products <= 3
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.bound <= 1e-12


def test_a_product_that_is_not_finite_is_a_status():
    found = top([1.0, math.nan, 2.0])
    assert not found.finite and not found.converged
    assert found.products == 1


def test_the_limit_of_products_gives_a_value_with_its_bound():
    spectrum = np.linspace(0, 1, 400)
    found = top(spectrum, tolerance=1e-6, max_products=12)
    assert (found.products, found.converged) == (12, False)
    assert 0 < 1 - found.value <= found.bound


def test_a_start_without_the_sought_eigenvector_still_finds_it():
    """A warm start may be an exact eigenvector of another eigenvalue, whose residual is zero."""
    wrong = torch.zeros(40, dtype=torch.float64)
    wrong[0] = 1.0
    found = top([1.0, 2.0, *np.linspace(0, 0.9, 38)], start=wrong, tolerance=1e-6)
    assert found.value == pytest.approx(2.0, rel=1e-6)


def test_a_warm_start_saves_products():
    a = np.random.default_rng(0).standard_normal((300, 300))
    a = torch.tensor(a + a.T)
    cold = largest_eigenvalue(a.mv, 300, tolerance=1e-4, dtype=torch.float64)
    warm = largest_eigenvalue(a.mv, 300, tolerance=1e-4, start=cold.vector, seed=1, dtype=torch.float64)
    assert warm.products < cold.products
    assert warm.value == pytest.approx(cold.value, rel=1e-4)


@pytest.mark.parametrize("start", [torch.zeros(5), torch.full((5,), math.inf)])
def test_a_useless_start_is_not_used(start):
    assert top([1.0, 2.0, 3.0, 4.0, 5.0], start=start).value == pytest.approx(5.0)


def test_the_same_seed_gives_the_same_answer():
    spectrum = np.random.default_rng(0).random(100)
    a, b, c = top(spectrum), top(spectrum), top(spectrum, seed=1)
    assert (a.value, a.products) == (b.value, b.products)
    assert torch.equal(a.vector, b.vector) and not torch.equal(a.vector, c.vector)


def _spectra(rng: np.random.Generator, n: int):
    gaussian = rng.standard_normal((n, n))
    yield np.linalg.eigvalsh((gaussian + gaussian.T) / math.sqrt(2 * n))
    yield np.concatenate([-10 * rng.random(n // 2), rng.random(n - n // 2)])
    yield -0.01 - rng.random(n)
    yield np.concatenate([[2.0, 2.0 * (1 - rng.choice([1e-2, 1e-3, 1e-4, 3e-2]))], rng.random(n - 2)])
    yield np.exp(-12 * rng.random(n))
    yield np.exp(-12 * rng.random(n)) * rng.choice([-1, 1], n)
    yield np.concatenate([np.linspace(1, 1.5, 9), 0.01 * rng.random(n - 9)])
    yield np.concatenate([rng.lognormal(0, 1, 9), 0.01 * rng.random(n - 9)])


def _violations(replicates: int, tolerance: float) -> tuple[int, int]:
    bad = count = 0
    rng = np.random.default_rng(0)
    for replicate in range(replicates):
        for n in (12, 40, 150):
            for spectrum in _spectra(rng, n):
                found = top(spectrum, seed=replicate, tolerance=tolerance)
                bad += abs(found.value - spectrum.max()) > found.bound * (1 + 1e-9)
                count += 1
    return bad, count


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
def test_the_bound_holds_in_99_of_100_cases(tolerance):
    """Clusters, bulk edges, curvature that is mostly negative: spectra a network may have, and worse ones."""
    bad, count = _violations(24, tolerance)
    assert bad <= 0.01 * count


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3, 1e-6])
def test_the_bound_holds_in_99_of_100_of_many_cases(tolerance):
    bad, count = _violations(100, tolerance)
    assert bad <= 0.01 * count


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=FEWEST_PRODUCTS))
def test_any_small_spectrum_is_found_exactly(spectrum):
    found = top(spectrum, tolerance=1e-12)
    assert found.value == pytest.approx(max(spectrum), abs=1e-9 * (1 + max(map(abs, spectrum))))


def test_float32_stops_at_its_own_limit():
    found = top(np.linspace(0, 1, 50) ** 4, dtype=torch.float32, tolerance=1e-12)
    assert found.converged and found.products <= 50
    assert found.value == pytest.approx(1.0, abs=1e-5)
