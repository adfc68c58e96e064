"""`Together`: each design is told its own outcomes, whatever the others ask and however long they go on."""

from __future__ import annotations

from etastar.core.design import Plan
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.designs.fixed_lanes import FixedLanes
from etastar.designs.together import Together

LANES = {lr: [Lane(lr, seed, 10) for seed in range(n)] for lr, n in ((0.1, 5), (0.2, 1), (0.3, 4))}


def outcome(lane: Lane) -> Outcome:
    return Outcome(lane, LaneStatus.TRAINED, 1, lane.steps, first_loss=2.0, end_loss=lane.lr + lane.seed)


def test_designs_of_different_length_are_told_what_they_asked():
    design = Together([FixedLanes(lanes, batch=2) for lanes in LANES.values()])
    assert design.planned() == Plan(10, 100)
    batches = []
    while asked := design.ask():
        batches.append([lane.lr for lane in asked])
        design.tell(Runs(map(outcome, asked)))
    assert batches == [[0.1, 0.1, 0.2, 0.3, 0.3], [0.1, 0.1, 0.3, 0.3], [0.1]]
    answers = design.answer()
    assert [[o.lane for o in runs] for runs in answers] == list(LANES.values())
    assert all(o.end_loss == o.lane.lr + o.lane.seed for runs in answers for o in runs)


def test_stop_ends_all_of_them():
    design = Together([FixedLanes(lanes, batch=2) for lanes in LANES.values()])
    design.tell(Runs(map(outcome, design.ask())))
    design.stop("time-limit")
    assert not design.ask() and [len(runs) for runs in design.answer()] == [2, 1, 2]
