"""Several optimizers that move together, and groups that all have rates of their own."""

from __future__ import annotations

import io
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Options, Problem, ProblemError, find, probe
from etastar.core.data import stream
from etastar.core.groups import Group, in_words
from etastar.core.lane import Lane, Until
from etastar.core.optimizers import SeveralOptimizers
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import set_up
from etastar.engine.choice import choose
from etastar.engine.lanes.rows import layout_of
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import preflight
from etastar.errors import DoesNotApply
from etastar.verbs.surface.momentum import momentum

DRAW = torch.Generator().manual_seed(8)
X = torch.randn(128, 6, generator=DRAW)
Y = (X[:, 0] + X[:, 1] > 0).long()
STEPS = 30
QUIET = Options(store=":memory:", workers=1)


def net():
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 2))


def sgd_and_adam(model):
    return [torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9), torch.optim.AdamW(model[2].parameters(), lr=0.002)]


def muon_and_adam(model):
    matrices, rest = [p for p in model.parameters() if p.dim() == 2], [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=0.004)


def problem(optimizer, **changes) -> Problem:
    given = {"model": net, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": STEPS}
    return Problem(optimizer=optimizer, **{**given, **changes})


def losses_in_torch(p: Problem, seed, factor):
    with isolated_randomness():
        seed_everything(derive_seed(seed, "init"))
        model = net()
        optimizers, batches, losses = p.optimizer(model), stream(p.batches, seed), []
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= factor
        for _ in range(STEPS):
            x, y = next(batches)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("factory", [sgd_and_adam, muon_and_adam])
@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_optimizers_from_a_list_move_together_as_in_torch(factory, factor):
    p = problem(factory)
    unit = factory(net())[0].defaults["lr"]
    lane = Lane(unit * factor, 5, STEPS, until=Until.END)
    found = [row.loss for row in LoopEngine().train_lane(p, lane).trace]
    assert found == pytest.approx(losses_in_torch(p, 5, factor), rel=1e-5)


def test_the_unit_is_the_firsts_rate_and_ratios_are_kept():
    facts = preflight(problem(sgd_and_adam))
    assert facts.lr == 0.1
    assert [g.multiplier for g in facts.groups] == pytest.approx([1.0, 0.02])
    assert facts.optimizer == "SGD + AdamW"
    assert facts.momentum
    with isolated_randomness():
        setup = set_up(problem(sgd_and_adam), 0)
    setup.set_lr(0.5)
    assert isinstance(setup.optimizer, SeveralOptimizers)
    assert [o.param_groups[0]["lr"] for o in setup.optimizer.own] == pytest.approx([0.5, 0.01])
    assert "betas" not in setup.optimizer.own[0].param_groups[0]
    assert "momentum" not in setup.optimizer.own[1].param_groups[0]


def test_lanes_of_several_optimizers_run_one_by_one():
    p = problem(sgd_and_adam)
    with isolated_randomness(), pytest.raises(DoesNotApply, match="SeveralOptimizers has no rule"):
        layout_of(set_up(p, 0))
    choice = choose(p, preflight(p).criterion)
    assert choice.engine in ("loop", "sequential")
    assert all("SeveralOptimizers has no rule" in why for why in choice.refused.values())


def test_find_answers_for_several_optimizers_with_the_rate_of_each():
    answer = find(problem(sgd_and_adam), effort="glance", options=QUIET)
    assert answer.lr.ok
    (_, first), (_, second) = answer.lr_per_group
    assert second / first == pytest.approx(0.02)
    assert [row["lr"] for row in answer.to_json()["yours_per_group"]] == pytest.approx([0.1, 0.002])
    assert answer.to_json()["optimizer"] == "SGD + AdamW"
    assert "your set of rates (group_0 0.1, group_1 0.002)" in answer.summary
    assert "your set of rates (group_0 0.1, group_1 0.002)" in probe(problem(sgd_and_adam)).summary


def test_their_state_comes_back():
    model = net()
    one, other = (SeveralOptimizers(sgd_and_adam(model)) for _ in range(2))
    for _ in range(3):
        one.zero_grad()
        model(X).square().mean().backward()
        one.step()
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    p = model[2].weight
    assert torch.equal(other.own[1].state[p]["exp_avg"], one.own[1].state[p]["exp_avg"])
    other.param_groups[1]["lr"] = 0.7
    assert other.own[1].param_groups[0]["lr"] == 0.7


def test_modes_reach_those_that_have_them():
    class Moded(torch.optim.SGD):
        mode = "none"

        def train(self):
            self.mode = "train"

        def eval(self):
            self.mode = "eval"

    model = net()
    own = [Moded(model[0].parameters(), lr=0.1), torch.optim.SGD(model[2].parameters(), lr=0.1)]
    both = SeveralOptimizers(own)
    both.train()
    assert own[0].mode == "train"
    both.eval()
    assert own[0].mode == "eval"


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda m: [torch.optim.SGD(m.parameters(), lr=0.1)] * 2, "parameters appear in more than one parameter group"),
        (
            lambda m: [torch.optim.SGD(m[0].parameters(), lr=0.1), torch.optim.LBFGS(m[2].parameters())],
            "one a LBFGS, which evaluates the loss itself",
        ),
        (
            lambda m: [torch.optim.SGD(m[0].parameters(), lr=0.1), m],
            "returned a Sequential as a scheduler; expected a torch LRScheduler",
        ),
        (lambda m: [], "returned a list; expected a torch.optim.Optimizer, a list of them"),
        (lambda m: [torch.optim.SGD(net()[0].parameters(), lr=0.1), *sgd_and_adam(m)[1:]], "not the new model's"),
    ],
)
def test_what_cannot_move_together_is_a_sentence(factory, words):
    with pytest.raises(ProblemError, match=words):
        preflight(problem(factory))


def test_a_setting_that_not_all_of_them_have_is_refused():
    with pytest.raises(ProblemError, match="has no setting 'momentum' to change"):
        momentum(problem(sgd_and_adam), values=[0.5], seeds=1, options=QUIET)
    with isolated_randomness():
        setup = set_up(problem(sgd_and_adam), 0)
    setup.change([("weight_decay", 0.5)])
    assert [group["weight_decay"] for group in setup.optimizer.param_groups] == [0.0, 0.5], "no decay stays none"


def own_rates(model):
    groups = [{"params": model[0].parameters(), "lr": 3e-4, "name": "body"}, {"params": model[2].parameters(), "lr": 0.03}]
    return torch.optim.AdamW(groups)  # its default, 0.001, is that of no group


def test_groups_with_rates_of_their_own_are_judged_by_them():
    answer = find(problem(own_rates), effort="glance", options=QUIET)
    assert answer.yours is not None
    assert "your set of rates (body 0.0003, group_1 0.03) is" in answer.yours.sentence
    assert "0.001 " not in answer.summary
    said = in_words(answer.lr.require(), answer.facts.groups)
    assert f" = {said} (constant" in answer.summary
    rates = json.loads(json.dumps(answer.to_json()))["yours_per_group"]
    assert [(row["group"], row["lr"]) for row in rates] == [("body", pytest.approx(3e-4)), ("group_1", pytest.approx(0.03))]
    assert answer.yours.of_best == pytest.approx(0.03 / dict(answer.lr_per_group)["group_1"])
    assert "your set of rates (body 0.0003, group_1 0.03)" in probe(problem(own_rates)).summary


def test_one_group_at_the_default_is_judged_by_it():
    def half(model):
        return torch.optim.AdamW([{"params": model[0].parameters(), "lr": 3e-4}, {"params": model[2].parameters()}], lr=0.02)

    answer = find(problem(half), effort="glance", options=QUIET)
    assert "your 0.02 is" in answer.summary
    assert "set of rates" not in answer.summary


def test_many_groups_are_counted_and_frozen_ones_are_left_out():
    groups = [Group(f"layer{i}", 2.0**i, 5) for i in range(1, 9)]
    assert in_words(0.001, groups).endswith("layer6 0.064, 2 more)")
    assert in_words(0.5, [Group("frozen", 0.0, 5), Group("all", 1.0, 5)]) == "0.5"
    assert in_words(0.5, [Group("frozen", 0.0, 5), Group("rest", 0.5, 5)]) == "set of rates (rest 0.25)"
