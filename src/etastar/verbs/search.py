"""`search`: several hyper-parameters at once, by an Optuna sampler, trained as lanes and seeded by the measured interval."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.designs.optuna_samplers import PRUNERS, SAMPLERS
from etastar.designs.optuna_search import OptunaSearch
from etastar.designs.search_space import Space
from etastar.engine.preflight import Preflight
from etastar.errors import ProblemError
from etastar.records.postgres import is_postgres
from etastar.records.sqlite import path_of
from etastar.records.study import SEARCH, StudyRecord, check_storage, import_optuna
from etastar.verbs.find import FindAnswer, find
from etastar.verbs.prior import Prior, first_points, prior_of
from etastar.verbs.search_answer import SearchAnswer, answer_of
from etastar.verbs.session import Options, Session, open_session
from etastar.verbs.variants import Make, Variants, real, roles
from etastar.version import __version__

STUDY_FILE = "optuna.db"
"""Beside the store."""


@dataclass(frozen=True)
class Plan:
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
    if not isinstance(problem, Problem):
        raise ProblemError(f"got a {type(problem).__name__}; expected an etastar.Problem")
    seed = problem.seed if seed is None else seed
    plan = Plan(sampler, pruner, trials, seeds, batch, seed, study, study_storage)
    _check(plan)
    import_optuna()
    options = options or Options()
    check_storage(storage_of(study_storage, options.store))
    asked = None if space is None else _space(space)
    found = None
    if measure and (asked is None or "lr" not in asked):
        found = find(problem, effort="glance", seed=seed, options=options)
    designs: list[tuple[OptunaSearch, Prior | None, tuple[str, ...]]] = []

    def prepare(facts: Preflight) -> tuple[int, int]:
        designs.append(_design(problem, facts, plan, asked, found, make))
        design = designs[0][0]
        return design.trials * seeds, design.planned_steps()

    with open_session(problem, options, prepare, usual=1.0) as session:
        design, prior, names = designs[0]
        record = _record(session, plan, design)
        design.on_finished = record.add
        with closing(record), Variants(session, names, make) as variants:
            outcome = variants.run(design)
        return answer_of(session, outcome, found, prior, record, plan_facts(plan, design), problem)


def plan_facts(plan: Plan, design: OptunaSearch) -> dict[str, Any]:
    """What decides a search, the number of trials apart (it can be raised later) unless they are a grid."""
    return {
        "sampler": plan.sampler,
        "pruner": plan.pruner,
        "seeds": plan.seeds,
        "batch": design.batch,
        "steps": design.steps,
        "seed": plan.seed,
        "trials": design.trials,
    }


def _check(plan: Plan) -> None:
    if plan.sampler not in SAMPLERS:
        raise ProblemError(f"sampler is {plan.sampler!r}; expected one of {', '.join(SAMPLERS)}")
    if plan.pruner not in PRUNERS:
        raise ProblemError(f"pruner is {plan.pruner!r}; expected one of {', '.join(PRUNERS)}")
    for name, value in (("trials", plan.trials), ("seeds", plan.seeds), ("batch", plan.batch)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ProblemError(f"{name} is {value!r}; expected an integer >= 1")
    if plan.study is not None and not plan.study.strip():
        raise ProblemError("the study's name is empty; expected a name, e.g. --study digits")


def _space(given: Space | Mapping[str, Any] | str | os.PathLike[str]) -> Space:
    if isinstance(given, Space):
        return given
    return Space.read(given) if isinstance(given, (str, os.PathLike)) else Space.of(given)


def _design(
    problem: Problem, facts: Preflight, plan: Plan, asked: Space | None, found: FindAnswer | None, make: Make | None
) -> tuple[OptunaSearch, Prior | None, tuple[str, ...]]:
    """(the design, the prior of the rate where the space has none, names of what makes another problem)."""
    prior = None
    space = real(asked, facts) if asked else Space(())
    if "lr" not in space:
        prior = prior_of(found, facts.lr)
        space = space.but(prior.parameter)
    takes = list(inspect.signature(make).parameters) if make else []
    names = roles(space, facts, problem, make, takes).problem
    schedule = problem.schedule if isinstance(problem.schedule, str) else None
    yours = (facts.lr,) if facts.lr else ()
    points = first_points(prior.first if prior else yours, space, facts, problem.batch_size, schedule)
    design = OptunaSearch(
        space,
        facts.criterion,
        problem.steps,
        problem.policy,
        sampler=plan.sampler,
        pruner=plan.pruner,
        trials=plan.trials,
        batch=plan.batch,
        seeds=plan.seeds,
        seed=plan.seed,
        enqueued=points[: plan.trials],
        widen=prior is not None,
    )
    return design, prior, names


def storage_of(given: str | None, store: str | os.PathLike[str]) -> str | None:
    """Where the study is kept: the place given, else beside the store if that is a file; None: nowhere."""
    path = None if is_postgres(str(store)) else path_of(str(store))
    return str(path.parent / STUDY_FILE) if given is None and path is not None else given


def _record(session: Session, plan: Plan, design: OptunaSearch) -> StudyRecord:
    """The study's place. Its name holds what decides the trials: the same search finds it again, another one does not."""
    storage = storage_of(plan.storage, session.options.store)
    facts = plan_facts(plan, design)
    trials = facts.pop("trials")
    if plan.sampler == "grid":
        facts["grid"] = trials
    parts = [session.store.id_of(session.problem), repr(session.problem.policy), session.engine.name, repr(design.space)]
    digest = f"{derive_seed(*parts, repr(sorted(facts.items()))):016x}"[:8]
    name = plan.study or f"{Path(session.problem.title).name}-{plan.sampler}-{digest}"
    about = {SEARCH: digest, "etastar": __version__, "problem": session.problem.title, **facts}
    return StudyRecord(storage, name, about, own_name=plan.study is not None)
