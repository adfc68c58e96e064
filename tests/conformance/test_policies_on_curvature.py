"""`edge` and `cdat` on quadratics, where each of their rates is known; as rules over plain numbers, and in training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Criterion, Lane, Options, Problem, ProblemError, Then, Times
from etastar.core import Until
from etastar.core.snapshot import Snapshot
from etastar.engine import LoopEngine
from etastar.engine.scoring_cost import CURVATURE_LOOK, SHARPNESS_LOOK, cost_of
from etastar.policies import Constant, Observation
from etastar.policies.cdat import Cdat
from etastar.policies.edge import Edge
from etastar.policies.named import policy_over
from etastar.problems.quadratic import quadratic, stability_edge

H = (4.0, 1.0, 0.5)
LOOP = LoopEngine()


def lane(policy, lr: float = 0.1, steps: int = 30) -> Lane:
    return Lane(lr, 3, steps, Criterion(loss=-math.inf), Until.END, policy)


def rates(own: Problem, one: Lane) -> list[float]:
    return [row.lr for row in LOOP.train_lane(own, one).trace]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_edge_is_the_share_of_the_stability_edge_and_keeps_to_its_cap(momentum):
    own = quadratic(H, momentum)
    ours = rates(own, lane(Edge(share=0.7, momentum=momentum)))
    assert ours == pytest.approx([0.7 * stability_edge(H, momentum)] * 30, rel=1e-12)
    assert rates(own, lane(Edge(momentum=momentum, high=2.0))) == pytest.approx([0.2] * 30)


def test_below_its_edge_a_quadratic_converges_and_above_it_diverges():
    own = quadratic(H)
    below, above = (LOOP.train_lane(own, lane(Edge(share=share), steps=60)) for share in (0.95, 1.05))
    assert below.trace[-1].loss < 1e-2 * below.trace[0].loss
    assert above.trace[-1].loss > 10 * above.trace[0].loss


def test_edge_holds_the_lanes_rate_while_it_has_seen_nothing():
    policy = Edge()
    seen = torch.tensor([math.nan, 8.0, -1.0, 0.0], dtype=torch.float64)
    rate, _ = policy.step(Observation(0, {"sharpness": seen}), policy.init(torch.full((4,), 0.1, dtype=torch.float64)))
    assert rate.tolist() == pytest.approx([0.1, 0.2, 1.0, 1.0])


def cdat_by_hand(momentum: float, sigma: float, beta: float, lr: float, steps: int, low=0.01, high=10.0) -> list[float]:
    """The rule over plain numbers, with the optimizer's direction at rate 1 of the step before."""
    x, velocity, rate, n, d, found = [1.0] * len(H), [0.0] * len(H), lr, None, None, []
    direction: list[float] = []
    gradient: list[float] = []
    for _ in range(steps):
        if direction:
            now = max(-sum(g * u for g, u in zip(gradient, direction, strict=True)), 0.0)
            bend = abs(sum(h * u * u for h, u in zip(H, direction, strict=True)))
            n = now if n is None else beta * n + (1 - beta) * now
            d = bend if d is None else beta * d + (1 - beta) * bend
            rate = min(max(sigma * n / d, low * lr), high * lr)
        found.append(rate)
        gradient = [h * a for h, a in zip(H, x, strict=True)]
        velocity = [momentum * v + g for v, g in zip(velocity, gradient, strict=True)]
        direction = [-v for v in velocity]
        x = [a + rate * u for a, u in zip(x, direction, strict=True)]
    return found


@pytest.mark.parametrize(("momentum", "sigma", "beta"), [(0.0, 1.0, 0.0), (0.0, 1.9, 0.5), (0.5, 0.7, 0.9)])
def test_cdat_is_the_rule_in_plain_numbers(momentum, sigma, beta):
    ours = rates(quadratic(H, momentum), lane(Cdat(sigma=sigma, beta=beta), steps=12))
    assert ours == pytest.approx(cdat_by_hand(momentum, sigma, beta, 0.1, 12), rel=1e-9)
    assert len({round(rate, 9) for rate in ours}) > 5


def test_on_one_dimension_cdat_is_at_once_on_the_edge():
    assert rates(quadratic([4.0]), lane(Cdat(sigma=1.5), steps=6))[1:] == pytest.approx([1.5 / 4] * 5)


def test_a_factor_around_cdat_is_made_up_for():
    """It measures what the rate in use did: half of it would have been better twice as long."""
    ours = rates(quadratic([4.0]), lane(Times(Cdat(sigma=1.5), 0.5), steps=6))
    assert ours[1:] == pytest.approx([1.5 / 4] * 5)


X = torch.randn(64, 4, generator=torch.Generator().manual_seed(2))
Y = (X[:, 0] > 0).long()


def network(**changes) -> Problem:
    net = lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    given = {"model": net, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": 24}
    return Problem(**(given | changes))


def facts(outcome):
    return replace(outcome, seconds=0.0, lane=None, first_valid_loss=None, first_train_loss=None, shared=0)


@pytest.mark.parametrize("policy", [Edge(share=0.3, momentum=0.9, every=3), Cdat(sigma=0.5, beta=0.5)], ids=repr)
def test_forks_and_snapshots_are_to_the_bit_training_from_the_start(policy, tmp_path):
    own = network()
    rests = [Times(Constant(), 0.5), policy, Times(policy, 0.3)]
    lanes = [lane(Then(policy, 14, rest), steps=24) for rest in rests]
    found, alone = dict(LOOP.train(own, lanes)), [LOOP.train_lane(own, one) for one in lanes]
    assert [facts(found[i]) for i in range(3)] == [facts(outcome) for outcome in alone]
    assert sum(outcome.spent for outcome in found.values()) == 14 + 3 * 10
    one = lane(policy, steps=24)
    with LOOP.start(own, [one]) as training:
        training.advance(17)
        training.snapshot(0).save(tmp_path / "kept.pt")
    with LOOP.start(own, [one], at=[Snapshot.load(tmp_path / "kept.pt", one)]) as training:
        [(_, resumed)] = training.advance(24)
    assert facts(resumed) == facts(LOOP.train_lane(own, one))
    assert len({row.lr for row in resumed.trace}) > 3


def test_find_measures_with_it_and_its_cost_counts_the_looks():
    own = network(schedule="edge:momentum=0.9,every=20", steps=60)
    answer = etastar.find(own, effort="quick", options=Options(store=":memory:", workers=1))
    assert answer.schedule == "edge:momentum=0.9,every=20"
    looked = [outcome for outcome in answer.runs if outcome.lane.policy.reads]
    assert looked
    blind = [replace(outcome, lane=replace(outcome.lane, policy=Constant())) for outcome in looked]
    looks = sum(-(-outcome.spent // 20) for outcome in looked)
    assert cost_of(own, looked) - cost_of(own, blind) == pytest.approx(SHARPNESS_LOOK * looks)


def test_looks_are_counted_once_where_parts_share_them():
    own = network()
    outcome = LOOP.train_lane(own, lane(Then(Cdat(), 6, Edge(every=5)), steps=12))
    blind = replace(outcome, lane=replace(outcome.lane, policy=Constant()))
    assert cost_of(own, [outcome]) - cost_of(own, [blind]) == 12 * CURVATURE_LOOK + 3 * SHARPNESS_LOOK


def test_settings_out_of_range_are_a_sentence():
    for text, sentence in (
        ("edge:momentum=1", r"edge: momentum is 1; expected a number in \[0, 1\)"),
        ("edge:share=0", "edge: share is 0"),
        ("cdat:beta=1", "cdat: beta is 1"),
        ("cdat:low=0", "cdat: low is 0"),
    ):
        with pytest.raises(ProblemError, match=sentence):
            policy_over(text, 10)
