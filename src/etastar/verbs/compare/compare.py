"""`compare`: which policy for this problem, each at its own peak, at equal budget."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Outcome
from etastar.core.problem import Problem
from etastar.designs.compare import Compare, PolicyRuns, mean_loss
from etastar.errors import ProblemError, attributed
from etastar.policies.compose import groups_named
from etastar.policies.named import policy_over
from etastar.policies.policy import Policy, rates_over
from etastar.verbs.answer import Made, once
from etastar.verbs.compare.compare_answer import (
    BETTER,
    CANNOT_TELL,
    FAILED,
    NO_DIFFERENCE,
    REFERENCE,
    WORSE,
    CompareAnswer,
    Compared,
    WrongPeak,
)
from etastar.verbs.compare.learning import at_step, curve_of, reached
from etastar.verbs.compare.lr_free import LR_FREE, LRFree
from etastar.verbs.options import Options, asked
from etastar.verbs.workplace import Session, Workplace

LINEAR = "linear"
"""What all are compared with: linear decay, its peak tuned as theirs."""
USUAL = ("linear", "cosine", "wsd", "constant", "psi")
UNKNOWN_LR = 1e-2
LEVEL = 0.9
TARGET = 1.05
"""Times the reference's median training loss at the end: noted is when a policy first comes so near."""
MULTIPLES = (0.25, 0.5, 2.0, 4.0)
ROUNDING = 1e-9
CLOCKED = ("seconds", "wall_runs")
"""Costs that pass for all sessions of a workplace at once."""


@attributed
def compare(
    problem: Problem,
    policies: Sequence[str | Policy | LRFree] | Mapping[str, Policy | LRFree] | str = USUAL,
    *,
    budget: int = 30,
    seed: int | None = None,
    options: Options | None = None,
) -> CompareAnswer:
    """Train every policy at its own best rate on the same fresh seeds, and say which differs from tuned linear decay.

    The final losses are paired by seed: mean difference with its t interval, p-values Holm-adjusted over the policies.
    A policy is better or worse where the adjusted p-value is below 0.1, else there is no difference that so many seeds show.
    Losses are of the seeds that trained, so none is better, and none the best, that broke on more seeds than others.
    Optimizers that find their rate by themselves are trained on the fresh seeds alone, at the settings of their authors.

    Args:
        problem: what is trained; its own schedule plays no part.
        policies: names with settings, in a list or separated by commas, `Policy` objects, or name -> `Policy`; linear decay
            is added where it is missing. Beside them, names of `LR_FREE` or `LRFree` objects.
        budget: full-length trainings of EVERY policy, the search of its peak included: a third of them are the fresh seeds.
        seed: of the measurement; default the problem's.
        options: store, workers, device, limits, progress.

    Raises:
        ProblemError: no such policy, one given twice or over another horizon, another one by the name of linear decay, or a
            budget that does not buy every policy its rates and seeds.
        StoreError: the store cannot be used.
    """
    seed, options = asked(problem, seed, options)
    arguments.TRAININGS("budget", budget)
    named, rivals = _named(policies, problem.steps)
    with Workplace(options) as place:
        session = place.of(problem)
        start = session.facts.lr or UNKNOWN_LR
        design = Compare(session.facts.criterion, problem.steps, named, start, budget, seed)
        session.plan(design.planned(), usual=1.0, note=f": {len(named)} policies, {budget} trainings each")
        runs, flags = session.run(design), [design.stopped] if design.stopped else []
        if any(own.at_the_end for own in runs):
            flags.append("not-bracketed")
        sessions = [session]
        for name, own in rivals.items():
            other = place.of(own.of(problem, float(session.facts.defaults.get("weight_decay") or 0.0)))
            found, stopped = _at_its_own_rate(other, name, own, design)
            runs, flags, sessions = (*runs, found), [*flags, *stopped], [*sessions, other]
        return CompareAnswer(
            problem=problem.title,
            steps=problem.steps,
            budget=budget,
            loss_name="training loss" if problem.valid is None else "validation loss",
            target=(target := _target(runs)),
            compared=_compared(runs, problem.steps, target),
            made=_made(sessions, seed, flags),
        )


def _at_its_own_rate(session: Session, name: str, own: LRFree, design: Compare) -> tuple[PolicyRuns, list[str]]:
    """The fresh seeds of `design` under an optimizer that finds its rate; and flags."""
    policy, lr = policy_over(own.schedule, design.steps), session.facts.lr or 1.0
    known = replace(design, policies={name: policy}, start=lr, criterion=session.facts.criterion, known=True)
    session.plan(known.planned(), usual=1.0, note=f": {name} at its authors' settings")
    [found] = session.run(known)
    return replace(found, policy=policy, optimizer=own), [known.stopped] if known.stopped else []


def _made(sessions: Sequence[Session], seed: int, flags: Sequence[str]) -> Made:
    """That of the first, whose time is that of all, with the lanes, the steps and the engines of the others."""
    first, *others = made = [own.made(seed, flags) for own in sessions]
    cost = {key: value + sum(own.cost[key] for own in others if key not in CLOCKED) for key, value in first.cost.items()}
    return replace(
        first,
        cost=cost,
        runs=sum((own.runs for own in others), first.runs),
        engine=", ".join(dict.fromkeys(own.engine for own in made)),
        flags=once(*(own.flags for own in made)),
    )


def split_policies(text: str) -> list[str]:
    """Policies of a text, at the commas; `key=value` goes on with the settings of the one before.

    >>> split_policies("linear,wsd:decay=0.5,curve=sqrt,cosine")
    ['linear', 'wsd:decay=0.5,curve=sqrt', 'cosine']
    """
    found: list[str] = []
    for piece in filter(None, (part.strip() for part in text.split(","))):
        if found and re.match(r"[A-Za-z_]\w*\s*=", piece):
            found[-1] += f",{piece}"
        else:
            found.append(piece)
    return found


def _named(
    policies: Sequence[str | Policy | LRFree] | Mapping[str, Policy | LRFree] | str, steps: int
) -> tuple[dict[str, Policy], dict[str, LRFree]]:
    """Policies, linear decay among them, and optimizers that find their rate, by name."""
    if isinstance(policies, Mapping):
        pairs: list[tuple[str, str | Policy | LRFree]] = list(policies.items())
    else:
        given = split_policies(policies) if isinstance(policies, str) else list(policies)
        pairs = [(own if isinstance(own, str) else repr(own), own) for own in given]
    if not pairs:
        raise ProblemError("no policy is given; expected names, e.g. linear,cosine,wsd")
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ProblemError(f"the policy {twice} is given twice; expected each once")
    if LINEAR not in names:
        pairs.insert(0, (LINEAR, LINEAR))
    known = [(name, LR_FREE.get(own, own) if isinstance(own, str) else own) for name, own in pairs]
    rivals = {name: own for name, own in known if isinstance(own, LRFree)}
    named = {name: policy_over(own, steps) for name, own in known if not isinstance(own, LRFree)}
    if named.get(LINEAR) != policy_over(LINEAR, steps):
        raise ProblemError(
            f"the policy named {LINEAR} is {dict(known)[LINEAR]!r}; expected linear decay, with which all are compared: "
            "give it another name"
        )
    for name, policy in named.items():
        own = getattr(policy, "steps", None)
        if isinstance(own, int) and own != steps:
            raise ProblemError(
                f"the policy {name} spans {own} steps; expected the {steps} of every training: policy.over({steps})"
            )
    _check_distinct(named, steps)
    for own in rivals.values():
        own.load()
    return named, rivals


def _check_distinct(named: Mapping[str, Policy], steps: int) -> None:
    """No two policies give the same rates: either would be counted twice in the correction for many tests."""
    seen: dict[object, str] = {}
    for name, policy in named.items():
        own: object = policy
        if not (policy.reads or groups_named(policy)):
            with suppress(TypeError, ValueError):  # no numbers: the first lane says so in a sentence
                own = tuple(rates_over(policy, 1.0, steps))
        if (first := seen.setdefault(own, name)) != name:
            raise ProblemError(f"the policies {first} and {name} give the same rates; expected each once: drop one")


def _target(runs: Sequence[PolicyRuns]) -> float | None:
    ends = [own.end_loss for run in runs if run.name == LINEAR for own in run.final if not own.broken]
    return TARGET * statistics.median(ends) if ends and statistics.median(ends) > 0 else None


def _compared(runs: Sequence[PolicyRuns], steps: int, target: float | None) -> tuple[Compared, ...]:
    reference = next(run for run in runs if run.name == LINEAR)
    tests = {run.name: _difference(run.final, reference.final) for run in runs if run.name != LINEAR}
    adjusted = holm({name: p for name, (_, p) in tests.items() if p is not None})
    rows = [_row(run, tests.get(run.name), adjusted.get(run.name), steps, target) for run in runs]
    broke = next(row.failures for row in rows if row.name == LINEAR)
    rows = [replace(row, verdict=NO_DIFFERENCE) if row.verdict == BETTER and row.failures > broke else row for row in rows]
    return tuple(sorted(rows, key=lambda row: (row.loss is None, row.failures, row.loss or 0.0)))


def _row(
    run: PolicyRuns, test: tuple[Estimate, float | None] | None, p: float | None, steps: int, target: float | None
) -> Compared:
    losses = [own.scored_loss for own in run.final]
    known = [loss for loss in losses if loss is not None]
    failed = not losses or len(known) < len(losses) / 2
    difference = test[0] if test else Estimate.none(Status.NOT_MEASURED, "it is the reference", unit="loss")
    accuracies = [own.valid_accuracy if own.valid_accuracy is not None else own.end_accuracy for own in run.final]
    seen = [a for a in accuracies if a is not None]
    at = [None if target is None else reached(own, target) for own in run.final]
    median = statistics.median(math.inf if t is None else t for t in at) if at else math.inf
    return Compared(
        name=run.name,
        policy=repr(run.policy) if run.optimizer is None else f"{run.optimizer!r}, {run.policy!r}",
        verdict=FAILED if failed else REFERENCE if test is None else _verdict(difference, p),
        peak=run.peak,
        at_the_end=run.at_the_end,
        loss=statistics.fmean(known) if known and not failed else None,
        accuracy=statistics.fmean(seen) if seen and not failed else None,
        difference=difference,
        p_value=p,
        failures=len(losses) - len(known),
        seeds=len(losses),
        to_target=median if math.isfinite(median) else None,
        never=sum(t is None for t in at),
        at_quarter=_on_the_way(run.final, steps // 4),
        at_half=_on_the_way(run.final, steps // 2),
        wrong_peaks=tuple(WrongPeak(m, _near(run, m)) for m in MULTIPLES),
        trainings=run.trainings,
        curve=curve_of(run.final, steps),
    )


def _verdict(difference: Estimate, p: float | None) -> str:
    if difference.value is None or p is None:
        return CANNOT_TELL
    if p >= 1 - LEVEL:
        return NO_DIFFERENCE
    return BETTER if difference.value < 0 else WORSE


def _difference(final: Sequence[Outcome], reference: Sequence[Outcome]) -> tuple[Estimate, float | None]:
    """Mean difference of the losses on seeds where both trained, with its t interval, and the p-value of none."""
    pairs = [(a.scored_loss, b.scored_loss) for a, b in zip(final, reference, strict=False)]
    gaps = [a - b for a, b in pairs if a is not None and b is not None]
    if len(gaps) < 3:
        reason = f"{len(gaps)} seeds trained under both policies; three are needed"
        return Estimate.none(Status.TOO_FEW_POINTS, reason, unit="loss", n=len(gaps)), None
    from scipy.stats import t as student

    mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5
    half = error * float(student.ppf((1 + LEVEL) / 2, len(gaps) - 1))
    p = float(2 * student.sf(abs(mean) / error, len(gaps) - 1)) if error else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, LEVEL, "loss", len(gaps), "paired t over seeds"), p


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: the i-th smallest of n times n - i, never below a smaller one's, at most 1. Source: Holm 1979.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    found: dict[str, float] = {}
    largest = 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - i) * p))
        found[name] = round(largest, 12)
    return found


def _on_the_way(final: Sequence[Outcome], step: int) -> float | None:
    losses = [loss for own in final if math.isfinite(loss := at_step(own, step)[0])]
    return statistics.median(losses) if losses else None


def _near(run: PolicyRuns, multiple: float) -> float | None:
    """The mean loss of the search at a multiple of the peak, between the rates tried on a straight line in ln(rate)."""
    if run.peak is None:
        return None
    wanted, rates = run.peak * multiple, sorted(run.tried)
    below = max((lr for lr in rates if lr <= wanted * (1 + ROUNDING)), default=None)
    above = min((lr for lr in rates if lr >= wanted / (1 + ROUNDING)), default=None)
    if below is None or above is None:
        return None
    low, high = mean_loss(run.tried[below]), mean_loss(run.tried[above])
    share = 0.0 if above <= below else math.log(wanted / below) / math.log(above / below)
    loss = low + share * (high - low)
    return loss if math.isfinite(loss) else None
