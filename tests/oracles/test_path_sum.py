"""The path-sum rule against paths counted by hand, and the initialisation it assumes (check 8)."""

from __future__ import annotations

import math

import pytest
import torch

from etastar import ProblemError
from etastar.theory import path_sum_lr_factor
from etastar.theory.path_sum import in_degree_gains, path_lengths

CHAIN = [(0, 1), (1, 2), (2, 3)]
DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3)]
DENSE = [(a, b) for a in range(4) for b in range(a + 1, 4)]
RESIDUAL = [("x", "a"), ("x", "a", 0), ("a", "y"), ("a", "y", 0)]
LADDER = [(0, 1), (1, 2), (2, 5), (0, 3), (3, 4), (4, 5), (1, 4)]
GRAPHS = {
    "chain": (CHAIN, {3: 1}),
    "two branches": (DIAMOND, {2: 2}),
    "every edge": (DENSE, {1: 1, 2: 2, 3: 1}),
    "identity skips": (RESIDUAL, {0: 1, 1: 2, 2: 1}),
    "ladder with a rung": (LADDER, {3: 3}),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_paths_are_those_counted_by_hand(name):
    edges, lengths = GRAPHS[name]
    assert path_lengths(edges) == lengths
    cubes = sum(count * length**3 for length, count in lengths.items())
    assert path_sum_lr_factor(edges) == pytest.approx(cubes**-0.5, rel=1e-15)
    assert path_sum_lr_factor(reversed(edges)) == path_sum_lr_factor(edges), "the order of the edges is no matter"


@pytest.mark.parametrize("depth", [1, 4, 30])
def test_a_chain_and_parallel_chains(depth):
    chain = [((0, i), (0, i + 1)) for i in range(depth)]
    assert path_sum_lr_factor(chain) == pytest.approx(depth**-1.5)
    if depth > 1:
        branches = [
            edge
            for p in range(5)
            for edge in [("in", (p, 1)), *(((p, i), (p, i + 1)) for i in range(1, depth - 1)), ((p, depth - 1), "out")]
        ]
        assert path_sum_lr_factor(branches) == pytest.approx(5**-0.5 * depth**-1.5)


def test_convolutions_divide_by_the_side_of_the_kernel():
    assert path_sum_lr_factor(CHAIN, kernel_side=3) == pytest.approx(path_sum_lr_factor(CHAIN) / 3)


def test_a_graph_of_astronomically_many_paths_takes_no_time():
    edges = [(a, b) for a in range(200) for b in range(a + 1, 200)]
    lengths = path_lengths(edges)
    assert sum(lengths.values()) == 2**198
    assert lengths == {k: math.comb(198, k - 1) for k in range(1, 200)}


def forward(edges: list[tuple], width: int, seed: int) -> dict:
    """E z^2 of every vertex; identity skips are left out, since the law's initialisation is for weighted edges."""
    generator = torch.Generator().manual_seed(seed)
    gains = in_degree_gains(edges)
    vertices = sorted({v for a, b, *_ in edges for v in (a, b)})
    z = {vertices[0]: torch.randn(64, width, generator=generator)}
    for v in vertices[1:]:
        z[v] = torch.zeros(64, width)
        for a, b in edges:
            if b == v:
                w = torch.randn(width, width, generator=generator) * (gains[v] / width) ** 0.5
                z[v] = z[v] + torch.relu(z[a]) @ w.T
    return {v: float(values.square().mean()) for v, values in z.items()}


@pytest.mark.parametrize("edges", [CHAIN, DIAMOND, DENSE, LADDER], ids=["chain", "two", "dense", "ladder"])
def test_dividing_by_the_targets_in_degree_keeps_the_variance(edges):
    runs = [forward(edges, 512, seed) for seed in range(8)]
    for vertex in runs[0]:
        assert sum(run[vertex] for run in runs) / len(runs) == pytest.approx(1, rel=0.1), vertex


MISTAKES = {
    "empty": ([], {}, "the graph has no edges"),
    "no edge": ([1, 2], {}, "an edge is 1; expected \\(from, to\\)"),
    "four": ([(0, 1, 1, 1)], {}, "an edge is \\(0, 1, 1, 1\\)"),
    "negative": ([(0, 1, -1)], {}, "ReLUs on the edge"),
    "cycle": ([(0, 1), (1, 2), (2, 1), (2, 3)], {}, "a cycle"),
    "two sources": ([(0, 2), (1, 2)], {}, "2 vertices that could be its source"),
    "source": (CHAIN, {"source": 9}, "source is 9; expected one of the vertices"),
    "no path": ([(0, 1), (2, 3)], {"source": 0, "target": 3}, "no path from 0 to 3"),
    "skips only": ([(0, 1, 0)], {}, "no path of the graph passes a ReLU"),
    "kernel": (CHAIN, {"kernel_side": 0}, "kernel_side is 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake):
    edges, settings, sentence = MISTAKES[mistake]
    with pytest.raises(ProblemError, match=sentence):
        path_sum_lr_factor(edges, **settings)
