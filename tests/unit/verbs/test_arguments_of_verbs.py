"""Python refuses what the command line refuses, in one sentence, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import etastar
from etastar import LaneEngine, Options, Precision, Problem, ProblemError
from etastar.arguments import cores
from etastar.engine import LoopEngine, WorkerEngine
from etastar.problems.quadratic import quadratic
from etastar.store.run_store import RunStore
from etastar.verbs.doctor import doctor

P = quadratic(steps=20)
MEMORY = Options(store=":memory:")


def scale(**changes: Any) -> Any:
    given = {"axes": {"depth": [2, 3, 4]}, "to": {"depth": 8}, "options": MEMORY}
    return etastar.scale(lambda depth: P, **{**given, **changes})


def loop(lr, seed, report):
    report(loss=1.0)


def best(**changes: Any) -> Any:
    return scale(**{"measure": "best", **changes})


async def later(lr, seed, report):
    report(loss=1.0)


def yielding(lr, seed, report):
    yield report(loss=1.0)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no store": (lambda: Options(store=None), "store is None; expected a path, e.g. .etastar/runs.db"),
    "a store that is a number": (lambda: Options(store=3), "store is 3; expected a path"),
    "an empty store": (lambda: Options(store=" "), "store is empty; expected a file path"),
    "workers in words": (lambda: Options(workers="2"), "workers is '2'; expected an integer of at least 1"),
    "half a worker": (lambda: Options(workers=2.5), "workers is 2.5; expected an integer of at least 1"),
    "workers that are true": (lambda: Options(workers=True), "workers is True; expected an integer of at least 1"),
    "10,000 workers": (
        lambda: Options(workers=10_000),
        f"workers is 10000; expected an integer of at least 1 and at most {4 * cores()},",
    ),
    "seconds in words": (lambda: Options(max_seconds="3"), "max_seconds is '3'; expected more than 0 seconds"),
    "endless seconds": (lambda: Options(max_seconds=float("inf")), "max_seconds is inf; expected more than 0 seconds"),
    "a device that is a number": (lambda: Options(device=3), "device is 3; expected auto, cpu, cuda or cuda:N"),
    "no device": (lambda: Options(device=None), "device is None; expected auto, cpu, cuda or cuda:N"),
    "a numbered CPU": (lambda: Options(device="cpu:3"), "device is 'cpu:3'; expected auto, cpu, cuda or cuda:N"),
    "a GPU without its number": (lambda: Options(device="cuda:"), "device is 'cuda:'; expected auto"),
    "a superscript": (lambda: Options(device="cuda:\u00b2"), "device is 'cuda:\u00b2'; expected auto"),
    "an engine that is a number": (lambda: Options(engine=3), "engine is 3; expected one of auto, loop"),
    "a place": (lambda: Options(on=None), "on is None; expected one of here, ray"),
    "a plan that is no function": (lambda: Options(on_plan="print"), "on_plan is 'print'; expected a function"),
    "within in words": (lambda: etastar.find(P, within="a"), "within is 'a'; expected a number > 0"),
    "no within": (lambda: etastar.find(P, within=None), "within is None; expected a number > 0"),
    "an interval that glance does not work for": (
        lambda: etastar.find(P, within=0.1, effort="glance"),
        "within is 0.1, but effort glance works for no interval; drop it, or pass effort thorough",
    ),
    "an interval that quick does not work for": (
        lambda: etastar.find(P, within=0.5, effort="quick"),
        "within is 0.5, but effort quick works for no interval",
    ),
    "an effort for eta*": (
        lambda: scale(effort="thorough"),
        "effort is thorough, but only measure best has one; drop it, or pass measure best",
    ),
    "a precision of the best rate": (
        lambda: best(precision=Precision(half_width=0.3)),
        "precision is that of eta*, which measure best does not measure; drop it, or pass measure eta-star",
    ),
    "a store of nothing": (lambda: RunStore(None), "the store's url is None; expected a path, e.g. .etastar/runs.db"),
    "a numbered store": (lambda: RunStore(3), "the store's url is 3; expected a path"),
    "no curvatures": (lambda: quadratic(curvatures=[]), "curvatures is empty; expected a list of numbers > 0"),
    "a lane of no rate": (lambda: etastar.Lane(-1.0, 0, 5), "the lane's lr is -1.0; expected a learning rate > 0"),
    "a lane in words": (lambda: etastar.Lane("a", 0, 5), "the lane's lr is 'a'; expected a learning rate > 0"),
    "a lane of no steps": (lambda: etastar.Lane(0.1, 0, 0), "the lane's steps is 0; expected an integer >= 1"),
    "a plan that takes nothing": (
        lambda: Options(on_plan=lambda: 1),
        "on_plan takes nothing; expected a function on_plan(sentence, lanes)",
    ),
    "an outcome alone": (
        lambda: Options(on_outcome=lambda outcome: 1),
        "on_outcome takes outcome; expected a function on_outcome(outcome, new)",
    ),
    "an async loop": (
        lambda: Problem.from_loop(later, steps=9),
        "train is an async function; expected a plain function: drop async",
    ),
    "a loop that yields": (
        lambda: Problem.from_loop(yielding, steps=9),
        "train is a generator; expected a plain function: drop yield",
    ),
    "an async loss": (lambda: P.but(loss_fn=later), "loss_fn is an async function; expected a plain function: drop async"),
    "an async model": (lambda: P.but(model=later), "model is an async function; expected a plain function: drop async"),
    "a family of nothing": (
        lambda: etastar.scale(lambda depth: None, axes={"depth": [2, 3, 4]}, to={"depth": 8}, chain=False, options=MEMORY),
        "the family returned None at depth=2; expected an etastar.Problem: return one",
    ),
    "within a galaxy": (lambda: etastar.find(P, within=1e300), "within is 1e+300; expected a number > 0 and at most 3"),
    "effort 3": (lambda: etastar.find(P, effort=3), "effort is 3; expected one of glance, quick, thorough"),
    "a start in words": (lambda: etastar.find(P, start="x"), "start is 'x'; expected a learning rate > 0"),
    "an infinite start": (lambda: etastar.find(P, start=float("inf")), "start is inf; expected a learning rate > 0"),
    "a seed in words": (lambda: etastar.find(P, seed="a"), "seed is 'a'; expected an integer"),
    "a huge seed": (
        lambda: etastar.find(P, seed=2**64),
        "seed is 18446744073709551616; expected an integer of at most 63 bits",
    ),
    "steps in words": (lambda: etastar.find(P, steps_to_start="x"), "steps_to_start is 'x'; expected 1 .. 20"),
    "options in a dictionary": (
        lambda: etastar.find(P, options={"workers": 1}),
        "options is a dict; expected an etastar.Options",
    ),
    "a precision that is a number": (
        lambda: etastar.find(P, precision=0.1),
        "precision is 0.1; expected an etastar.Precision",
    ),
    "no problem": (lambda: etastar.find(None), "got a NoneType; expected an etastar.Problem"),
    "eta*: a seed": (lambda: etastar.eta_star(P, seed=1.5), "seed is 1.5; expected an integer"),
    "eta*: options": (lambda: etastar.eta_star(P, options="x"), "options is 'x'; expected an etastar.Options"),
    "eta*: an end": (lambda: etastar.eta_star(P, end=0.2), "end is 0.2; expected an etastar.Precision"),
    "surface: seeds": (lambda: etastar.surface(P, seeds="3"), "seeds is '3'; expected an integer >= 1"),
    "surface: too many seeds": (
        lambda: etastar.surface(P, seeds=10**9),
        "seeds is 1000000000; expected an integer <= 1,000",
    ),
    "surface: a schedule": (lambda: etastar.surface(P, schedules="wsd"), "schedules is 'wsd'; expected a list of names"),
    "surface: a schedule twice": (lambda: etastar.surface(P, schedules=["wsd", "wsd"]), "schedules has 'wsd' twice"),
    "surface: horizons": (lambda: etastar.surface(P, horizons=20), "horizons is 20; expected a list of steps"),
    "surface: a horizon": (lambda: etastar.surface(P, horizons=["20"]), "a horizon is '20'; expected optimizer steps >= 1"),
    "surface: rates": (lambda: etastar.surface(P, rates=0.1), "rates is 0.1; expected three numbers"),
    "surface: a rate in words": (
        lambda: etastar.surface(P, rates=(0.1, "1", 0.5)),
        "one of the rates is '1'; expected a finite number",
    ),
    "surface: rates beyond floats": (
        lambda: etastar.surface(P, rates=(1e-300, 1e300, 10)),
        "the rates are 1e-300:1e+300:10; expected 0 < lowest",
    ),
    "surface: a target": (lambda: etastar.surface(P, target="low"), "target is 'low'; expected a finite number"),
    "sensitivity": (lambda: etastar.sensitivity(P, half_decades="yes"), "half_decades is 'yes'; expected True or False"),
    "momentum: one value": (lambda: etastar.momentum(P, values=0.9), "values is 0.9; expected a list of numbers in [0, 1)"),
    "momentum: words": (
        lambda: etastar.momentum(P, values=["a"], options=MEMORY),
        "a momentum is 'a'; expected a number in [0, 1)",
    ),
    "momentum: twice": (lambda: etastar.momentum(P, values=[0.5, 0.5], options=MEMORY), "values has 0.5 twice"),
    "search: trials": (lambda: etastar.search(P, trials="8"), "trials is '8'; expected an integer >= 1"),
    "search: endless": (lambda: etastar.search(P, trials=10**9), "trials is 1000000000; expected an integer <= 100,000"),
    "search: a sampler": (lambda: etastar.search(P, sampler=None), "sampler is None; expected one of grid"),
    "search: a study": (lambda: etastar.search(P, study=3), "the study's name is 3; expected a name"),
    "search: a storage": (lambda: etastar.search(P, study_storage=3), "study_storage is 3; expected a path"),
    "search: measure": (lambda: etastar.search(P, measure="no"), "measure is 'no'; expected True or False"),
    "search: a maker": (lambda: etastar.search(P, make=P), "make is a Problem; expected a function"),
    "scale: a problem": (lambda: etastar.scale(P, axes={}, to={}), "make is a Problem; expected a function of its sizes"),
    "scale: a budget": (lambda: scale(budget=-1), "budget is -1; expected more than 0 seconds"),
    "scale: a precision": (lambda: scale(precision="high"), "precision is 'high'; expected an etastar.Precision"),
    "scale: a measure": (lambda: scale(measure=1), "measure is 1; expected one of"),
    "scale: a seed": (lambda: scale(seed="a"), "seed is 'a'; expected an integer"),
    "scale: options": (lambda: scale(options=3), "options is 3; expected an etastar.Options"),
    "scale: axes": (lambda: scale(axes=[2, 3]), "axes is [2, 3]; expected name -> sizes"),
    "scale: an axis": (lambda: scale(axes={"depth": 2}), "depth is 2; expected a list of sizes"),
    "scale: a target": (lambda: scale(to=8), "to is 8; expected name -> size"),
    "predict: samples": (lambda: etastar.predict(P, samples="9"), "samples is '9'; expected an integer >= 1"),
    "predict: a device": (lambda: etastar.predict(P, device=0), "device is 0; expected auto, cpu, cuda or cuda:N"),
    "probe: a seed": (lambda: etastar.probe(P, seed="a"), "seed is 'a'; expected an integer"),
    "probe: no problem": (lambda: etastar.probe("quadratic"), "got a str; expected an etastar.Problem"),
    "probe: a tolerance": (lambda: etastar.probe(P, tolerance=0), "tolerance is 0; expected a number between 0 and 1"),
    "probe: a type": (lambda: etastar.probe(P, dtype="float64"), "dtype is 'float64'; expected torch.float32"),
    "a study of nothing": (lambda: etastar.studies.run_study(["a"], "out"), "study is ['a']; expected one of"),
    "a study nowhere": (lambda: etastar.studies.run_study("jelassi2023depth", None), "out is None; expected a path"),
    "a study's options": (
        lambda: etastar.studies.run_study("jelassi2023depth", "out", options=3),
        "options is 3; expected an etastar",
    ),
    "a study's data": (lambda: etastar.studies.run_study("jelassi2023depth", "out", data=3), "data is 3; expected a path"),
    "doctor": (lambda: doctor("quadratic"), "got a str; expected an etastar.Problem"),
    "a kernel": (lambda: LaneEngine("abc"), "kernel is 'abc'; expected one of mlp, convnet, vmap"),
    "a chunk": (lambda: LaneEngine("mlp", 0), "chunk is 0; expected an integer >= 1"),
    "the loop's device": (lambda: LoopEngine(device=3), "device is 3; expected a name, e.g. cpu"),
    "so many processes": (lambda: WorkerEngine(10**6), "workers is 1000000; expected an integer of at least 1"),
    "a precision of 0": (
        lambda: Precision(half_width=0),
        "the precision's half_width is 0; expected a number between 0 and 1",
    ),
    "a precision in words": (lambda: Precision(max_runs="9"), "the precision's max_runs is '9'; expected an integer >= 1"),
    "a label": (lambda: P.but(label=3), "label is 3; expected a name"),
    "too many steps": (lambda: P.but(steps=10**12), "steps is 1000000000000; expected an integer <= 10,000,000"),
    "true steps": (lambda: P.but(steps=True), "steps is True; expected an integer >= 1"),
    "an infinite clip": (lambda: P.but(clip_grad_norm=float("inf")), "clip_grad_norm is inf; expected a finite number > 0"),
    "a loop of nothing": (
        lambda: Problem.from_loop(lambda: 1, steps=9),
        "train takes nothing; expected a function train(lr, seed, report)",
    ),
    "a loop of one": (
        lambda: Problem.from_loop(lambda lr: 1, steps=9),
        "train takes lr; expected a function train(lr, seed, report)",
    ),
    "a loop of four": (
        lambda: Problem.from_loop(lambda lr, seed, report, more: 1, steps=9),
        "train takes lr, seed, report, more; expected a function",
    ),
    "a loop's optimizer": (lambda: Problem.from_loop(loop, steps=9, optimizer=3), "optimizer is 3; expected a name"),
    "a loop's rate": (lambda: Problem.from_loop(loop, steps=9, lr=float("inf")), "lr is inf; expected a learning rate > 0"),
}


@pytest.mark.parametrize(("ask", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_an_argument_that_cannot_be_meant(ask, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProblemError, match=f"^{re.escape(sentence)}"):
        ask()
    assert not list(tmp_path.iterdir()), "nothing is opened before"


def everywhere(device: str, ask: Callable[[], Any]) -> Any:
    with torch.device(device):
        return ask()


@pytest.mark.parametrize("ask", [lambda: etastar.find(P, options=MEMORY), lambda: doctor(P), lambda: etastar.predict(P)])
def test_a_default_device_that_is_not_the_cpu(ask):
    """Where data is drawn and weights are made: elsewhere every generator and every constant would be of the wrong kind."""
    with pytest.raises(
        ProblemError, match=r"torch's default device is meta; expected cpu, .* drop torch\.set_default_device"
    ):
        everywhere("meta", ask)


def test_loops_that_can_be_called_are_taken():
    for train in (loop, lambda lr, seed, report, more=1: 1, lambda *given: 1, print):
        assert Problem.from_loop(train, steps=9).loop is train


def test_an_accuracy_in_percent_is_refused():
    def train(lr, seed, report):
        report(loss=1.0, accuracy=93.5)

    with pytest.raises(ProblemError, match=r"report\(\) got accuracy=93\.5; expected a share in \[0, 1\]: divide percents"):
        etastar.find(Problem.from_loop(train, steps=9), options=MEMORY)


def test_no_more_workers_than_lanes(monkeypatch):
    """A glance at a quadratic is five lanes: eight processes would be three too many."""
    monkeypatch.setattr("etastar.arguments.WORKERS", etastar.arguments.Whole(1, 8))
    plans = []
    etastar.find(
        P, effort="glance", options=Options(store=":memory:", workers=8, on_plan=lambda text, lanes: plans.append(text))
    )
    assert "in 5 worker processes" in plans[0]
