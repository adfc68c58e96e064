"""`search`: several hyper-parameters at once, by an Optuna sampler, trained as lanes and seeded by the measured interval."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar import arguments
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.designs.search.confirmation import FINALISTS, FRESH, Confirmation, Finalist, confirmation_of
from etastar.designs.search.optuna_samplers import PRUNERS, SAMPLERS, grid, rungs
from etastar.designs.search.optuna_search import OptunaSearch
from etastar.designs.search.search_space import Space
from etastar.designs.search.trials import Found
from etastar.engine.preflight import Preflight, optimizer_settings
from etastar.errors import attributed
from etastar.store.optuna_study import SEARCH, OptunaRecord, check_storage, import_optuna
from etastar.store.postgres import is_postgres
from etastar.store.sqlite import path_of
from etastar.verbs.find.find import find_in
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.options import Options, asked
from etastar.verbs.search.batch_sizes import compared
from etastar.verbs.search.prior import Prior, first_points, prior_of
from etastar.verbs.search.search_answer import SearchAnswer, answer_of
from etastar.verbs.search.search_verdict import refusal
from etastar.verbs.search.variants import Make, Roles, Variants, real, roles
from etastar.verbs.workplace import Session, Workplace
from etastar.version import __version__

STUDY_FILE = "optuna.db"
"""Beside the store."""


@dataclass(frozen=True)
class Request:
    """What a search was asked for, checked.

    Args:
        sampler, pruner: names.
        trials, seeds: how many trials, and lanes for each.
        batch: trials asked together; None: the sampler's usual.
        seed: of lanes and sampler.
        study, storage: name and storage of the Optuna study; None: chosen here.
    """

    sampler: str
    pruner: str
    trials: int
    seeds: int
    batch: int | None
    seed: int
    study: str | None
    storage: str | None

    @property
    def fresh(self) -> int:
        """Fresh seeds of a finalist: as many as a trial has, and enough for an interval."""
        return max(self.seeds, FRESH)


@attributed
def search(
    problem: Problem,
    *,
    sampler: str = "tpe",
    trials: int = 64,
    space: Space | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    pruner: str = "none",
    seeds: int = 1,
    batch: int | None = None,
    measure: bool = True,
    make: Make | None = None,
    seed: int | None = None,
    study: str | None = None,
    study_storage: str | None = None,
    options: Options | None = None,
) -> SearchAnswer:
    """Search hyper-parameters; the objective is the validation loss at the end of the schedule, the mean over `seeds`.

    The best few trials are trained again on fresh seeds; the answer, and its loss, are the best of those.

    Args:
        problem: what is trained; its steps are those of every trial.
        sampler: "grid", "random", "genetic", "tpe", "cmaes" or "gp".
        trials: how many settings to try (a grid may be a little smaller).
        space: a TOML file, or name -> {"low", "high"[, "log"]} or {"choices"}: "lr", "schedule", "batch_size", settings of
            the optimizer, arguments of `make`. Without "lr" the rate is searched around the measured interval.
        pruner: "none", "median" or "hyperband": trials first train on the whole schedule squeezed into fewer steps.
        seeds: lanes per trial; the same seeds for every trial.
        batch: trials asked and trained together.
        measure: whether to measure the best rate first (a glance) where the space has no "lr".
        make: builds the problem from arguments, for those the space names.
        seed: of the search; default the problem's.
        study: name of the Optuna study; default one made of the problem and the search.
        study_storage: file or URL of the study; default optuna.db beside the store, nothing for a store in memory.
        options: store, workers, device, limits, progress.

    Returns:
        A `SearchAnswer`. It may carry no value; `answer.lr.require()` raises `NoAnswer` then.

    Raises:
        ProblemError: the problem, the space or an option cannot be used.
        StoreError: the store or the study cannot be used.
        MissingExtra: Optuna is not installed.
    """
    seed, options = asked(problem, seed, options)
    arguments.yes_or_no("measure", measure)
    arguments.callable_or_none("make", make)
    request = Request(sampler, pruner, trials, seeds, batch, seed, study, study_storage)
    _check(request)
    import_optuna()
    check_storage(storage_of(study_storage, options.store))
    wanted = None if space is None else _space(space)
    glance = measure and (wanted is None or "lr" not in wanted)
    if glance:
        _check_design(problem, request, wanted, make, options.device)
    with Workplace(options) as place:
        found = find_in(place.of(problem), "glance", seed) if glance else None
        session = place.of(problem)
        design, prior, changes = _design(problem, session.facts, request, wanted, found, make)
        again = confirmation_of(design.trials, request.fresh, problem.steps)
        session.plan(design.planned(), again, usual=1.0, note=_note(request, again.lanes))
        sizes = compared(problem, set(changes.batch_sizes), options.device)
        record = _record(session, request, design)
        design.on_finished = record.add
        with closing(record):
            variants = Variants(session, changes.problem, make, summed=sizes.summed)
            outcome, finalists = _run(variants, design, request)
        facts = {**decisive(request, design), "fresh_seeds": request.fresh}
        return answer_of(session, outcome, finalists, found, prior, record, facts, sizes)


def _note(request: Request, most: int) -> str:
    return (
        f"; the best {FINALISTS} trials, the next best where those fail, are trained again on {request.fresh} fresh seeds: "
        f"{min(FINALISTS, request.trials) * request.fresh} of the lanes, {most} at most"
    )


def _run(variants: Variants, design: OptunaSearch, request: Request) -> tuple[Found, tuple[Finalist, ...]]:
    """The search, then its best trials on fresh seeds; of the time, the search leaves those their share of the steps."""
    steps = design.planned().steps
    again = FINALISTS * request.fresh * design.steps
    found = variants.run(design, share=steps / (steps + again))
    if refusal(found) is not None:
        return found, ()
    return found, variants.run(Confirmation(found, design.lane_of, request.fresh, request.seed))


def decisive(request: Request, design: OptunaSearch) -> dict[str, Any]:
    """What decides a search, the number of trials apart (it can be raised later) unless they are a grid."""
    return {
        "sampler": request.sampler,
        "pruner": request.pruner,
        "seeds": request.seeds,
        "batch": design.batch,
        "steps": design.steps,
        "seed": request.seed,
        "trials": design.trials,
    }


def _check(request: Request) -> None:
    arguments.word("sampler", request.sampler, SAMPLERS)
    arguments.word("pruner", request.pruner, PRUNERS)
    arguments.TRIALS("trials", request.trials)
    arguments.SEEDS("seeds", request.seeds)
    if request.batch is not None:
        arguments.BATCH("batch", request.batch)
    if request.study is not None:
        arguments.name("the study's name", request.study, "--study digits")
    if request.storage is not None:
        arguments.path("study_storage", request.storage, "optuna.db")


def _space(given: Space | Mapping[str, Any] | str | os.PathLike[str]) -> Space:
    if isinstance(given, Space):
        return given
    return Space.read(given) if isinstance(given, (str, os.PathLike)) else Space.of(given)


def _check_design(problem: Problem, request: Request, asked: Space | None, make: Make | None, device: str) -> None:
    """What `_design` would refuse, before the rate is measured for it."""
    rungs(request.pruner, problem.steps)
    defaults = {} if asked is None else optimizer_settings(problem, device)
    space = Space(()) if asked is None else real(asked, defaults)
    roles(space, defaults, problem, make)
    if request.sampler == "grid":
        grid(space.but(prior_of(None, None).parameter), request.trials)


def _design(
    problem: Problem, facts: Preflight, request: Request, asked: Space | None, found: FindAnswer | None, make: Make | None
) -> tuple[OptunaSearch, Prior | None, Roles]:
    """(the design, the prior of the rate where the space has none, what each of its parameters changes)."""
    prior = None
    space = real(asked, facts.defaults) if asked else Space(())
    if "lr" not in space:
        prior = prior_of(found, facts.lr)
        space = space.but(prior.parameter)
    changes = roles(space, facts.defaults, problem, make)
    schedule = problem.schedule if isinstance(problem.schedule, str) else None
    yours = (facts.lr,) if facts.lr else ()
    points = first_points(prior.first if prior else yours, space, facts, problem.batch_size, schedule)
    design = OptunaSearch(
        space,
        facts.criterion,
        problem.steps,
        problem.policy,
        sampler=request.sampler,
        pruner=request.pruner,
        trials=request.trials,
        batch=request.batch,
        seeds=request.seeds,
        seed=request.seed,
        enqueued=points[: request.trials],
        widen=prior is not None,
    )
    return design, prior, changes


def storage_of(given: str | None, store: str | os.PathLike[str]) -> str | None:
    """Where the study is kept: the place given, else beside the store if that is a file; None: nowhere."""
    path = None if is_postgres(str(store)) else path_of(str(store))
    return str(path.parent / STUDY_FILE) if given is None and path is not None else given


def _record(session: Session, request: Request, design: OptunaSearch) -> OptunaRecord:
    """The study's place. Its name holds what decides the trials: the same search finds it again, another one does not."""
    storage = storage_of(request.storage, session.place.options.store)
    facts = decisive(request, design)
    trials = facts.pop("trials")
    if request.sampler == "grid":
        facts["grid"] = trials
    parts = [
        session.place.store.id_of(session.problem),
        repr(session.problem.policy),
        session.engine.name,
        repr(design.space),
    ]
    digest = f"{derive_seed(*parts, repr(sorted(facts.items()))):016x}"[:8]
    name = request.study or f"{Path(session.problem.title).name}-{request.sampler}-{digest}"
    about = {SEARCH: digest, "etastar": __version__, "problem": session.problem.title, **facts}
    return OptunaRecord(storage, name, about, own_name=request.study is not None)
