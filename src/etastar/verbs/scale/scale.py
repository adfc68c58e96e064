"""`scale`: tuned small, what for a larger member of the family? Measured on small ones, carried over by a law or refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from etastar import arguments
from etastar.core.estimate import Estimate, Status, log_error
from etastar.core.kinds import loss_kind, optimizer_kind
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness
from etastar.designs.eta_star.eta_star import Precision
from etastar.errors import ProblemError, attributed
from etastar.laws.scaling.next_member import suggestions
from etastar.laws.scaling.scaling_law import ScalingLaw, shape_conditions
from etastar.probes.noise_scale import NoiseScale
from etastar.probes.start import starting_point
from etastar.theory.path_sum import GraphEdge, path_sum_lr_factor
from etastar.verbs.answer import GroupRate, Made, once
from etastar.verbs.find.eta_star import checked_precision
from etastar.verbs.options import Options
from etastar.verbs.scale.family import (
    FamilyMember,
    Make,
    Numbers,
    build,
    check_arguments,
    checked_sizes,
    work,
)
from etastar.verbs.scale.member_rate import PRECISION, MemberRate
from etastar.verbs.scale.scale_answer import MeasuredMember, ScaleAnswer
from etastar.verbs.scale.transfer import check_transfer, compare

WIDE = 4.0
"""high / low beyond which the answer is flagged."""
NOISE_SAMPLES = 1024


@attributed
def scale(
    make: Make,
    *,
    axes: Mapping[str, Sequence[float]],
    to: Mapping[str, float],
    measure: str = "eta-star",
    precision: Precision | None = None,
    effort: str = "quick",
    chain: bool = True,
    graph: Any = None,
    budget: float | None = None,
    transfer: bool = False,
    name: str = "family",
    seed: int | None = None,
    options: Options | None = None,
) -> ScaleAnswer:
    """Measure small members, fit laws in their sizes, predict the member of size `to`; or say why not and what to measure.

    Args:
        make: (**sizes) -> Problem; a function of depth (hidden layers), width, batch_size, steps or anything in numbers.
        axes: name -> sizes; every combination is a member.
        to: the target's size, the same names.
        measure: "eta-star" or "best" (the best rate, by `find`).
        precision: of each eta*; default +-12 %.
        effort: of `find`, for "best".
        chain: whether members are plain chains of layers, whose laws are known to break for width < 16 x depth and, where
            depth and width both change, for fewer than 4 hidden layers.
        graph: (**sizes) -> edges, for branched networks: the path-sum rule is tried, too (`laws.path_sum`).
        budget: seconds that the next member may take; default what the members took when they were trained.
        transfer: also measure the widths in muP and in the standard parametrisation, at the smallest depth.
        name: what answers call the family.
        seed: of every measurement; default each problem's.
        options: store, workers, device, limits, progress.

    Returns:
        A `ScaleAnswer`; `answer.lr.require()` raises `NoAnswer` where there is no prediction.

    Raises:
        ProblemError: fewer than three sizes, a family that ignores one, a member or an option that cannot be used.
        StoreError: the store cannot be used.
    """
    if not callable(make) or isinstance(make, Problem):
        raise ProblemError(f"make is {arguments.shown(make)}; expected a function of its sizes that returns a Problem")
    rate = MemberRate(measure, checked_precision("precision", precision) or PRECISION, effort, seed, options or Options())
    if budget is not None:
        arguments.BUDGET("budget", budget)
    arguments.yes_or_no("chain", chain)
    arguments.yes_or_no("transfer", transfer)
    sizes, target = checked_sizes(axes, to)
    check_arguments(make, list(axes))
    refused = _refusal(sizes, target, chain)
    with rate.place as place:
        members = [] if refused else build(make, [m for m in sizes if not _left_out(m, sizes, chain)], place)
        row = _row_of_widths(members) if transfer and not refused else []
        pairs = [(m.sizes["width"], m.problem) for m in row]
        if row:
            check_transfer(pairs)
        if members:
            rate.announce(members, [2 if m in row else 1 for m in members])
        measured = [rate(m.sizes, m.problem) for m in members]
        compared = None
        if row:
            quantity, depth, device = rate.quantity, row[0].sizes.get("depth"), place.options.device
            compared = compare(pairs, lambda p: rate({}, p).lr, quantity=quantity, depth=depth, device=device)
    law, noise = _law(members, measured, chain, graph, rate.options)
    lr = refused or law.predict(target)
    for some in sizes:
        if why := _left_out(some, sizes, chain) or ("the target is out of reach of these sizes" if refused else ""):
            measured.append(MeasuredMember(some, Estimate.none(Status.NOT_MEASURED, why), 0.0, 0, 0.0, why))
    budget = sum(m.seconds for m in measured) if budget is None else budget  # a rerun from the store says the same
    ideas = _next(law, sizes, measured, target, budget, refused is not None, chain)
    return ScaleAnswer(
        problem=name,
        measure=measure,
        target=target,
        lr=lr,
        lr_per_group=_per_group(members, lr),
        members=tuple(measured),
        law=law,
        next=tuple(ideas),
        budget=budget,
        noise_scale=noise,
        transfer=compared,
        made=Made(
            seed=seed if seed is not None else members[0].problem.seed if members else 0,
            optimizer=members[0].facts.optimizer if members else "",
            cost=_cost(measured, rate),
            flags=once(_flags(lr, measured), rate.runs.flags),
            runs=rate.runs,
            engine=rate.engine,
        ),
    )


# -- before anything is trained --------------------------------------------------------------------------------------


def _refusal(sizes: Sequence[Numbers], target: Numbers, chain: bool) -> Estimate | None:
    """Why no law could reach the target, whatever is measured at these sizes: known before anything is trained."""
    law = ScalingLaw.fit(sizes, [1.0] * len(sizes), chain=chain)
    for condition in shape_conditions(sizes, chain):
        if reason := condition(target, []):
            return Estimate.none(Status.OUTSIDE_THE_LAW, reason, method="scaling law")
    answer = law.predict(target)
    return None if answer.ok else answer


def _left_out(member: Numbers, sizes: Sequence[Numbers], chain: bool) -> str:
    return next(filter(None, (c(member, []) for c in shape_conditions(sizes, chain))), "")


# -- measuring -------------------------------------------------------------------------------------------------------


def _row_of_widths(members: Sequence[FamilyMember]) -> list[FamilyMember]:
    """The members that differ in width only and are smallest in everything else."""
    if not members or "width" not in members[0].sizes:
        raise ProblemError("the family has no width to compare parametrisations over; give --width two sizes or more")
    others = {name: min(m.sizes[name] for m in members) for name in members[0].sizes if name != "width"}
    return [m for m in members if all(m.sizes[name] == value for name, value in others.items())]


def _law(
    members: Sequence[FamilyMember], measured: Sequence[MeasuredMember], chain: bool, graph: Any, options: Options
) -> tuple[ScalingLaw, float | None]:
    """The law of the members that have an answer, and B_noise where the batch is scaled."""
    known = [m for m in measured if m.lr.ok]
    if not members or not known:
        return ScalingLaw.fit([], []), None
    first, noise = members[0], None
    if len({m.sizes.get("batch_size") for m in known}) > 1 and not first.problem.is_loop:
        with isolated_randomness():
            point = starting_point(first.problem, first.problem.seed, samples=NOISE_SAMPLES, device=options.device)
            noise = NoiseScale()(point).value
    law = ScalingLaw.fit(
        [m.sizes for m in known],
        [m.lr.require() for m in known],
        errors=[log_error(m.lr.low, m.lr.high) for m in known],
        loss=loss_kind(first.problem.loss),
        optimizer=optimizer_kind(first.facts.optimizer),
        noise_scale=noise,
        path_sum=None if graph is None else lambda some: path_sum_lr_factor(_edges(graph, some)) ** -2,
        chain=chain and graph is None,
    )
    return law, noise


def _edges(graph: Any, sizes: Mapping[str, float]) -> Sequence[GraphEdge]:
    return graph(**sizes)


# -- the answer ------------------------------------------------------------------------------------------------------


def _next(
    law: ScalingLaw,
    sizes: Sequence[Numbers],
    measured: Sequence[MeasuredMember],
    target: Numbers,
    budget: float,
    refused: bool,
    chain: bool,
) -> list[Any]:
    """What to measure next; of members that are out of reach nothing was measured, so their cost is not known."""
    if refused:
        if any(c(target, []) for c in shape_conditions(sizes, chain)):
            return []  # no member helps
        law = ScalingLaw.fit(sizes, [1.0] * len(sizes), chain=chain)
        found = suggestions(law, target, work, math.inf, most=20)
        return [replace(s, cost=math.nan, factor=None) for s in sorted(found, key=lambda s: s.cost)[:3]]
    timed = [m for m in measured if m.seconds > 0]
    if not timed or not law.fits:
        return []
    most = max(timed, key=lambda m: work(m.sizes))
    cost = lambda some: most.seconds * work(some) / work(most.sizes)
    return suggestions(law, target, cost, budget)


def _per_group(members: Sequence[FamilyMember], lr: Estimate) -> tuple[GroupRate, ...]:
    """Rates of the groups, where all members have the same multipliers."""
    groups = {tuple((g.name, g.multiplier) for g in m.facts.groups) for m in members}
    if not lr.ok or len(groups) != 1:
        return ()
    return tuple(GroupRate(name, lr.require() * multiplier) for name, multiplier in groups.pop())


def _cost(measured: Sequence[MeasuredMember], rate: MemberRate) -> dict[str, float]:
    return {
        "gradient_steps": rate.runs.gradient_steps,
        "new_gradient_steps": rate.new_gradient_steps,
        "full_runs": sum(m.full_runs for m in measured),
        "seconds": rate.place.seconds,
    }


def _flags(lr: Estimate, measured: Sequence[MeasuredMember]) -> tuple[str, ...]:
    flags = [*lr.flags]
    if any("time-limit" in m.lr.flags for m in measured):
        flags.append("time-limit")
    if any(m.left_out for m in measured):
        flags.append("members-left-out")
    if lr.ok and lr.high is not None and lr.low is not None and lr.high > WIDE * lr.low:
        flags.append("wide-interval")
    return tuple(flags)
