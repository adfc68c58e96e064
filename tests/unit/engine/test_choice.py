"""The choice of an engine: proven equal, timed, within memory, told in words, pinned in the store."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Criterion, Lane, LaneEngine, Options, Precision, Problem, ProblemError, eta_star, find
from etastar.core.told import told
from etastar.engine import LoopEngine, SequentialEngine
from etastar.engine import choice as choosing
from etastar.engine.choice import Choice, choose
from etastar.engine.lanes.engine import KERNELS
from etastar.engine.lanes.rows import layout_of
from etastar.engine.memory import activation_bytes, bytes_per_lane, free_bytes, lanes_that_fit
from etastar.problems import builder
from etastar.problems.digits import digits_mlp

COARSE = Precision(half_width=0.25, max_runs=24)
LEARNS = Criterion(accuracy=0.5, uninformed=2.3026)


def test_a_small_fully_connected_network_gets_hand_written_lanes():
    choice = choose(digits_mlp(width=16), LEARNS, engine="mlp")  # under "auto" the trial's clock decides
    assert choice.engine == "mlp" and "mlp x 8" in dict(choice.times) and not choice.fell_back
    assert (choice.seconds_per_step or 0) > 0
    engine = choice.build("cpu")
    assert isinstance(engine, LaneEngine) and (engine.kernel, engine.chunk) == ("mlp", choice.chunk)
    assert Choice.from_json(told(choice)) == choice


@pytest.mark.parametrize(("name", "kernel"), [("digits-cnn", "convnet"), ("quadratic", "vmap")])
def test_other_networks_get_the_most_special_kernel_that_fits(name, kernel):
    choice = choose(builder(name)(), LEARNS)
    assert kernel in {key.split(" ")[0] for key in choice.times}
    assert list(choice.refused) == list(KERNELS)[: list(KERNELS).index(kernel)]


def test_a_kernel_that_computes_something_else_is_refused_by_the_float64_check(monkeypatch):
    class Wrong(KERNELS["mlp"]):
        def gradient(self, rows, batch):
            scores = super().gradient(rows, batch)
            rows.grad.mul_(1 + 1e-6)
            return scores

    monkeypatch.setitem(KERNELS, "mlp", Wrong)
    choice = choose(digits_mlp(width=16), LEARNS)
    assert choice.engine != "mlp"
    assert "its losses differ from the loop's by" in dict(choice.refused)["mlp"]


def test_what_does_not_give_the_same_losses_twice_and_a_users_loop_stay_in_the_loop(small):
    assert choose(small, LEARNS, reproducible=False) == Choice("loop")

    def train(lr, seed, report):
        for _ in range(40):
            if not report(loss=1.0):
                return

    loop = Problem.from_loop(train, steps=40)
    assert choose(loop, LEARNS) == Choice("loop")
    with pytest.raises(ProblemError, match="engine 'mlp' cannot train this problem: it is a training loop of your own"):
        choose(loop, LEARNS, engine="mlp")


def test_an_engine_that_was_asked_for_and_cannot_says_why(data):
    problem = Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3)),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=data,
        steps=40,
    )
    with pytest.raises(ProblemError, match="engine 'mlp' cannot train this problem: layer Dropout has no lane version"):
        choose(problem, LEARNS, engine="mlp")
    with pytest.raises(ProblemError, match="engine is 'fast'; expected one of auto, loop, sequential, mlp, convnet, vmap"):
        Options(engine="fast")
    assert choose(problem, LEARNS).fell_back


def test_a_kernel_that_raises_is_refused_with_its_sentence_and_not_a_crash(data):
    def peeks(outputs, targets):
        return F.cross_entropy(outputs, targets) * (1.0 if outputs.sum().item() > -1e9 else 0.5)

    model = lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.1)
    choice = choose(Problem(model=model, optimizer=sgd, loss=peeks, train=data, steps=40), LEARNS)
    assert choice.fell_back and "it fails where the loop does not (RuntimeError" in dict(choice.refused)["mlp"]

    rows = data[0].unflatten(1, (2, 3))  # linear layers on [B, 2, 3]
    model = lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    problem = Problem(model=model, optimizer=sgd, loss=F.mse_loss, train=(rows, rows[..., :1]), steps=40)
    choice = choose(problem, LEARNS)
    assert "other inputs than [batch, features]" in dict(choice.refused)["mlp"] and not choice.fell_back


def test_the_memory_guard_limits_the_chunk_and_then_the_lanes(monkeypatch):
    problem = digits_mlp(width=16)
    monkeypatch.setattr(choosing, "lanes_that_fit", lambda *args: 5)
    assert choose(problem, LEARNS, engine="mlp").chunk <= 5
    monkeypatch.setattr(choosing, "lanes_that_fit", lambda *args: 1)
    choice = choose(problem, LEARNS)
    assert choice.engine == "sequential" and dict(choice.refused)["mlp"] == "two lanes do not fit in memory"


def test_lanes_that_outgrow_the_cache_come_two_at_a_time():
    choice = choose(digits_mlp(width=512, depth=2), LEARNS, engine="mlp")
    assert choice.chunk == 2 and list(choice.times) == ["mlp x 2"]


def test_bytes_of_a_lane_are_counted(small):
    from etastar.core.setup import set_up

    setup = set_up(small, 0)
    layout = layout_of(setup)
    batch = (small.train[0][:16], small.train[1][:16])
    activations = activation_bytes(small, setup, batch, "cpu")
    assert 4 * 16 * (6 + 16 + 3) <= activations <= 4 * 16 * 100
    assert bytes_per_lane(layout, activations) == 4 * 3 * layout.width + 2 * activations  # plain SGD keeps no state
    assert free_bytes("cpu") > 2**20
    assert lanes_that_fit(2**20, "cpu", processes=2) == pytest.approx(free_bytes("cpu") / 2**22, rel=0.2)


def test_the_sequential_engine_uses_channels_last_and_a_fused_optimizer_and_the_loop_does_not():
    problem = builder("digits-cnn")(width=4)
    seen = {}
    for engine in (SequentialEngine(), LoopEngine()):
        setups = []
        original = engine.set_up
        engine.set_up = lambda *args, original=original, setups=setups: setups.append(original(*args)) or setups[-1]
        engine.train_lane(problem, Lane(0.01, 1, 3))
        weight = setups[0].model[3].weight
        fused = setups[0].optimizer.param_groups[0]["fused"]
        seen[engine.name] = (weight.is_contiguous(memory_format=torch.channels_last), bool(fused))
    assert seen == {"sequential/cpu": (True, True), "loop/cpu": (False, False)}


def test_the_choice_is_pinned_in_the_store_and_a_rerun_trains_nothing(tmp_path, monkeypatch):
    options = Options(store=tmp_path / "runs.db", workers=1)
    first = find(digits_mlp(width=16), effort="glance", options=options)
    monkeypatch.setattr("etastar.verbs.crew.choose", lambda *args, **kwargs: pytest.fail("it must not choose again"))
    again = find(digits_mlp(width=16), effort="glance", options=options)
    assert again.cost["new_gradient_steps"] == 0
    assert (again.lr, again.engine_choice) == (first.lr, first.engine_choice)
    assert again.engine.startswith(first.engine_choice.engine)


@pytest.fixture
def costs(monkeypatch):
    """A lane's step takes 1 ms by itself and a share of that among others, however busy the machine is."""

    def of_rows(self, kernel, size):
        self.times[f"{kernel} x {size}"] = 1e-3 / size
        return 1e-3 / size

    monkeypatch.setattr(choosing._Trial, "_time_lanes", of_rows)
    monkeypatch.setattr(choosing._Trial, "_alone", lambda self, engine: 1e-3)


def test_a_kernel_that_loses_by_the_clock_is_not_proven(monkeypatch, costs):
    proven = []
    why_not = choosing.Equality.why_not
    monkeypatch.setattr(choosing.Equality, "why_not", lambda self, engine: proven.append(engine) or why_not(self, engine))
    assert choose(digits_mlp(width=16), LEARNS).engine == "mlp" and proven == ["mlp"]
    proven.clear()
    monkeypatch.setattr(choosing._Trial, "_time_lanes", lambda self, kernel, size: 1e-3)
    choice = choose(digits_mlp(width=16), LEARNS)
    assert choice.engine == "sequential" and proven == ["sequential"] and not choice.refused


def test_more_lanes_than_it_was_chosen_for_are_tried_in_larger_chunks_of_the_same_engine(tmp_path, monkeypatch, costs):
    options = Options(store=tmp_path / "runs.db", workers=1)
    few = find(digits_mlp(width=16), effort="glance", options=options)
    assert few.engine_choice.engine == "mlp" and few.engine_choice.chunk <= few.engine_choice.at_most < 8
    many = eta_star(digits_mlp(width=16), precision=COARSE, options=options)
    assert many.engine_choice.engine == "mlp" and many.engine_choice.at_most > few.engine_choice.at_most
    assert many.engine_choice.chunk >= 8 and many.engine_choice.refused == few.engine_choice.refused
    again = find(digits_mlp(width=16), effort="glance", options=options)
    assert again.engine_choice == many.engine_choice, "few lanes keep what many were given"
    assert again.cost["new_gradient_steps"] == 0

    def short_of_memory(*args, **kwargs):
        raise ProblemError("two lanes do not fit in memory")

    with monkeypatch.context() as now:
        now.setattr("etastar.verbs.crew.choose", short_of_memory)
        with pytest.raises(ProblemError, match="two lanes"):
            find(digits_mlp(width=8), effort="glance", options=options)
    small = find(digits_mlp(width=8), effort="glance", options=options)
    monkeypatch.setattr("etastar.verbs.crew.choose", short_of_memory)
    assert eta_star(digits_mlp(width=8), precision=COARSE, options=options).engine_choice == small.engine_choice


def test_an_engine_asked_for_keeps_its_lanes_apart_and_gives_an_overlapping_answer(tmp_path):
    problem = digits_mlp(width=8, steps=60)
    options = {engine: Options(store=tmp_path / "runs.db", workers=1, engine=engine) for engine in ("loop", "mlp")}
    answers = {engine: eta_star(problem, precision=COARSE, options=own) for engine, own in options.items()}
    assert all(a.cost["new_gradient_steps"] == a.cost["gradient_steps"] for a in answers.values())
    a, b = (answer.estimate for answer in answers.values())
    assert a.low <= b.high and b.low <= a.high
