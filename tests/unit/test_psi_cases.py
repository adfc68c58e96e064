"""What the benchmarks of Psi say of their rows: the run that is kept, the price of a way, and the looks of an evolution."""

from __future__ import annotations

from benchmarks.cases.psi_equal_cost import _better, _lines, _searched
from benchmarks.cases.psi_train import _of_the_looks

from etastar import Options
from etastar.verbs.psi.measured import SmallBench, linear, small_tasks
from etastar.verbs.workplace import Workplace


def test_of_two_runs_the_one_is_kept_that_is_better_on_the_data_that_choices_are_made_by() -> None:
    task, rates = small_tasks(["cancer-few"], ["sgd"], 30, groups=1)[0], (1e-3, 0.1)
    with Workplace(Options(store=":memory:", workers=1)) as place:
        bench = SmallBench(place, 0, 1)
        kept = _better(bench, task, rates, 3)
        arms = {str(lr): (linear(30), lr) for lr in rates}
        chosen, scored = bench.once(task, arms, 3, "fresh", kept=True), bench.fresh(task, arms, 3)
        assert kept == tuple(
            scored["0.001"][k] if chosen["0.001"][k] < chosen["0.1"][k] else scored["0.1"][k] for k in range(3)
        )
        _, cost = _searched(bench, task, "own", 0.5)
        assert 0 < cost <= 0.5


def test_a_way_stands_at_its_mean_cost_beside_its_losses() -> None:
    """Two tasks, one seed: .5 and 2 of the tuned loss are 1 in the mean; the network's are half of each."""
    ways = {"linear, at a glance": 1.5, "network, at twice a glance": 1.5}
    row = {"steps": 200, "family": "f", "group": "g", "costs": ways, "tuned": [1.0]}
    rows = [
        {**row, "task": "a", "losses": {"linear, at a glance": [0.5], "network, at twice a glance": [0.25]}},
        {**row, "task": "b", "losses": {"linear, at a glance": [2.0], "network, at twice a glance": [1.0]}},
        {**row, "task": "c", "steps": 800, "losses": {}},
    ]
    own, network = _lines(rows, 200)
    assert own[:4] == [200, "linear, at a glance", "1.50", 2]
    assert own[4].startswith("1.000 [") and own[6] == "1 / 0 / 1" and own[7].startswith("0.500 [")
    assert network[4].startswith("0.500 [") and network[7:] == ["", "", ""]


def test_the_looks_of_evolutions_are_summed_up() -> None:
    """One gains .3 over where it began, the other, best at its start, nothing: .15 on average."""
    looks = [("a", -1, 0.5), ("a", 4, 0.2), ("b", -1, 0.1), ("b", 4, 0.4)]
    rows = [{"fold": fold, "stopped_by": "x", "generation": g, "held_out": held} for fold, g, held in looks]
    assert _of_the_looks(rows).startswith("In 1 of 2 evolutions") and "by 0.150 of" in _of_the_looks(rows)
