"""The learning rate of a branched ReLU network relative to a chain: a sum over its paths from input to output."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from etastar.errors import ProblemError
from etastar.theory.kaiming import check_number

GraphEdge = tuple[Any, ...]


def path_sum_lr_factor(
    edges: Iterable[GraphEdge], *, source: Hashable = None, target: Hashable = None, kernel_side: float = 1
) -> float:
    """(sum over paths of L_p^3)^(-1/2) / kernel side, L_p the number of ReLUs on path p; a rate is that times a constant.

    lr(this network) = lr(base network) x path_sum_lr_factor(this) / path_sum_lr_factor(base)

    A chain of L hidden layers gives L^(-3/2), P parallel chains of equal length P^(-1/2) L^(-3/2). Every vertex is a layer
    of pre-activations; an edge (a, b) feeds relu(a) through weights into b, so it counts one ReLU. The law does not depend
    on the width. It was derived for gradient descent on squared error, weights ~ (0, `in_degree_gains` / width), a small
    readout, depth / width <= 1/8; its authors saw correlations of 0.73 - 0.96 with rates searched under cross-entropy, for
    one epoch.

    Args:
        edges: (from, to), or (from, to, ReLUs on the edge): 0 for an identity skip. The first vertex is the first hidden
            layer's pre-activation; repeat an edge that is there twice.
        source, target: first and last vertex; None: the only one without incoming, without outgoing edges.
        kernel_side: of convolutions; 3 for 3 x 3.

    Raises:
        ProblemError: edges that are no such graph, a cycle, no path with a ReLU, or a kernel side out of range.

    >>> path_sum_lr_factor([(0, 1), (1, 2), (2, 3), (3, 4)])  # chain: 4^(-3/2)
    0.125
    >>> path_sum_lr_factor([(0, 1), (0, 2), (1, 3), (2, 3)])  # two paths of length 2: (8 + 8)^(-1/2)
    0.25

    Source: Chen et al., ICLR 2024 (arXiv 2402.17440), section 3.
    """
    side = check_number("kernel_side", kernel_side)
    cubes = sum(count * length**3 for length, count in path_lengths(edges, source=source, target=target).items())
    if cubes == 0:
        raise ProblemError("no path of the graph passes a ReLU; expected at least one edge that counts as one")
    return 1 / (math.sqrt(cubes) * side)


def path_lengths(edges: Iterable[GraphEdge], *, source: Hashable = None, target: Hashable = None) -> dict[float, int]:
    """{ReLUs on a path: number of such paths} from source to target; linear in the graph, however many paths there are.

    Raises:
        ProblemError: edges that are no such graph, or a cycle.

    >>> path_lengths([(0, 1), (1, 2), (0, 2), (0, 2, 0)])
    {0: 1, 1: 1, 2: 1}
    """
    graph = _checked(edges)
    followers: dict[Hashable, list[tuple[Hashable, float]]] = defaultdict(list)
    for a, b, relus in graph:
        followers[a].append((b, relus))
    heads, tails = dict.fromkeys(a for a, _, _ in graph), dict.fromkeys(b for _, b, _ in graph)
    first = _end("source", source, [v for v in heads if v not in tails], {*heads})
    last = _end("target", target, [v for v in tails if v not in heads], {*tails})
    counts: dict[Hashable, Counter[float]] = defaultdict(Counter)
    counts[first][0] = 1
    for vertex in _in_order(heads | tails, followers):
        for follower, relus in followers[vertex]:
            for length, count in counts[vertex].items():
                counts[follower][length + relus] += count
    if not counts[last]:
        raise ProblemError(f"there is no path from {first!r} to {last!r}; expected one: add the missing edges")
    return dict(sorted(counts[last].items()))


def in_degree_gains(edges: Iterable[GraphEdge]) -> dict[Hashable, float]:
    """{vertex: variance x fan-in of the weights that lead to it} that keeps E z^2: 2 / (edges into the TARGET vertex).

    >>> in_degree_gains([(0, 1), (0, 2), (1, 3), (2, 3)])
    {1: 2.0, 2: 2.0, 3: 1.0}

    Source: Chen et al., ICLR 2024 (arXiv 2402.17440), equation 12 (equation 4 prints the other end of the edge).
    """
    into = Counter(b for _, b, relus in _checked(edges) if relus)
    return {vertex: 2 / count for vertex, count in into.items()}


def _checked(edges: Iterable[GraphEdge]) -> list[tuple[Hashable, Hashable, float]]:
    expected = "expected (from, to) or (from, to, ReLUs on the edge), e.g. [(0, 1), (1, 2), (0, 2)]"
    checked = []
    for edge in edges:
        if not isinstance(edge, (tuple, list)) or len(edge) not in (2, 3):
            raise ProblemError(f"an edge is {edge!r}; {expected}")
        a, b, *rest = edge
        relus = check_number(f"ReLUs on the edge {edge!r}", rest[0], zero=True) if rest else 1
        if not (isinstance(a, Hashable) and isinstance(b, Hashable)):
            raise ProblemError(f"an edge is {edge!r}; {expected}")
        checked.append((a, b, int(relus) if relus == int(relus) else relus))
    if not checked:
        raise ProblemError(f"the graph has no edges; {expected}")
    return checked


def _end(name: str, given: Hashable, found: list[Hashable], possible: set[Hashable]) -> Hashable:
    if given is not None:
        if given not in possible:
            raise ProblemError(f"{name} is {given!r}; expected one of the vertices {sorted(map(str, possible))}")
        return given
    if len(found) != 1:
        raise ProblemError(f"the graph has {len(found)} vertices that could be its {name}; expected one: pass {name}=")
    return found[0]


def _in_order(vertices: Iterable[Hashable], followers: dict[Hashable, list[tuple[Hashable, float]]]) -> list[Hashable]:
    """Every vertex after all those that lead to it."""
    waiting = dict.fromkeys(vertices, 0)
    for pairs in list(followers.values()):
        for b, _ in pairs:
            waiting[b] += 1
    ready = [v for v, count in waiting.items() if count == 0]
    for vertex in ready:
        for b, _ in followers[vertex]:
            waiting[b] -= 1
            if waiting[b] == 0:
                ready.append(b)
    if len(ready) < len(waiting):
        raise ProblemError("the graph has a cycle; expected edges that lead from input to output")
    return ready
