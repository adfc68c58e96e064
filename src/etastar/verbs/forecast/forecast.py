"""`forecast`: from logs people already have, the loss curve under a schedule nobody ran. Nothing is trained."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from etastar import arguments
from etastar.errors import ProblemError, attributed
from etastar.laws.curves.constant_rate import law_of
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.fading_noise import FadingNoise
from etastar.laws.curves.shapes import RankedShape, ranked
from etastar.verbs.answer import Made
from etastar.verbs.forecast.back_test import back_tested
from etastar.verbs.forecast.forecast_answer import Answered, ForecastAnswer
from etastar.verbs.forecast.measured_curve import Measured, measured
from etastar.verbs.forecast.questions import COOLDOWN, SHAPES, cooldown_now, is_steady, rest, twice
from etastar.verbs.forecast.ran import Ran, schedule_rates

FRESH = 3
"""So many losses at the end of a log that is checked must not be in one that is fitted."""


@attributed
def forecast(
    log: Any,
    *others: Any,
    schedule: Any = None,
    steps: int | None = None,
    check: Any = None,
    cut: float | None = None,
    step: str | None = None,
    rate: str | None = None,
    loss: str | None = None,
    per_step: float | None = None,
    ran: Any = None,
    lr: float | None = None,
    horizon: int | None = None,
    warmup: int = 0,
    from_step: int = 0,
    passes: float | None = None,
    level: float = 0.9,
) -> ForecastAnswer:
    """What losses to expect under schedules that were not run, from the logs of runs that were.

    Asked are: the end of this run under its own plan (where it is known or the rate stands still, with `steps`), another
    `schedule` over `steps` from the first update on, a cooldown started now, twice as many steps, and shapes for the rest.

    Args:
        log: of this run: a path (CSV, JSON lines, trainer_state.json, metrics.csv, text, ...), a DataFrame, or columns.
        others: logs of further runs of the same task.
        schedule: name or `Schedule`, at the largest rate of the logs.
        steps: of that schedule, or until when this run goes on.
        check: a log that laws are checked on, and that no law sees; only checks are answered then.
        cut: share of the log that is fitted in a check on itself.
        step, rate, loss: names of columns, instead of guessing.
        per_step: how many of what the column of steps counts (tokens, samples, epochs) one update takes; all other steps
            here, and those of the answer, are updates.
        ran: the schedule of this run, e.g. "warmup-cosine:floor=0.1", where its log has no rates or to say what is planned;
            with `lr`, its peak, and `horizon`, its steps.
        warmup: updates of a linear warm-up that was over when the logs begin.
        from_step: losses before it are left out.
        passes: times this run's data were seen by the end of its log.
        level: probability of intervals.

    Raises:
        ProblemError: logs that cannot be read or hold no loss and rate; a schedule or a number that cannot be.

    >>> at = np.arange(100, 10_001, 100)
    >>> table = {"step": at, "lr": np.full(100, 0.1), "loss": 2 + (at / 1000) ** -0.5}
    >>> answer = forecast(table, steps=20_000)
    >>> round(answer["own-plan"].end.require(), 2)
    2.22
    >>> answer["cooldown-now"].end.ok
    False
    """
    started = time.monotonic()
    if steps is not None:
        arguments.STEPS("steps", steps)
    if cut is not None:
        arguments.CUT("cut", cut)
    if passes is not None:
        arguments.PASSES("passes", passes)
    if isinstance(check, (str, os.PathLike)):
        arguments.path("check", check, "runs/other.csv")
    arguments.WARMUP("warmup", warmup)
    arguments.FROM_STEP("from_step", from_step)
    if per_step is not None:
        arguments.PER_STEP("per_step", per_step)
    how: dict[str, Any] = {"step": step, "rate": rate, "loss": loss, "per_step": per_step}
    how |= {"warmup": warmup, "from_step": from_step}
    sources = [log, *others]
    names = _names(sources)
    own: list[dict[str, Any]] = [how | {"name": name} for name in names]
    own[0] |= {"ran": _ran(ran, lr, horizon), "passes": passes}
    if check is not None:
        sources, own = [*sources, check], [*own, how | {"name": _other_name(check, names)}]
        read = [measured(source, **each) for source, each in zip(sources[:-1], own[:-1], strict=True)]
        return _checked(read, measured(check, **own[-1], mask=False), level, started)
    if cut is not None:
        read = [measured(source, **each) for source, each in zip(sources[1:], own[1:], strict=True)]
        known, rest_of_it = _cut(log, own[0], cut)
        return _checked([known, *read], rest_of_it, level, started)
    read = [measured(source, **each) for source, each in zip(sources, own, strict=True)]
    _reached(read[0], schedule, steps)
    curves = [m.curve for m in read]
    law = law_of(curves, level)
    answers = tuple(_answers(law, read[0], curves, schedule, steps))
    shapes = _shapes(law, curves, steps)
    return ForecastAnswer(problem=curves[0].name, answers=answers, shapes=shapes, **_common(law, read), made=_made(started))


def _common(law: CurveLaw, read: Sequence[Measured]) -> dict[str, Any]:
    """What an answer says of its law and of its logs."""
    curves, notes = tuple(m.curve for m in read), {m.curve.name: tuple(m.notes) for m in read}
    return {"curves": curves, "notes": notes, "law": law.name, "exponents": law.exponents, "rms": law.rms}


def _made(started: float) -> Made:
    return Made(seed=0, optimizer="", cost={"seconds": time.monotonic() - started})


def _ran(schedule: Any, lr: float | None, horizon: int | None) -> Ran | None:
    if schedule is None and lr is None and horizon is None:
        return None
    if schedule is None or lr is None or horizon is None:
        given = ", ".join(name for name, x in (("ran", schedule), ("lr", lr), ("horizon", horizon)) if x is not None)
        raise ProblemError(f"got {given} alone; expected ran, lr and horizon together: a schedule, its peak and its steps")
    return Ran(schedule, lr, horizon)


def _cut(log: Any, how: dict[str, Any], cut: float) -> tuple[Measured, Measured]:
    """A log until a share of its steps, read as if nothing had followed, and the losses after that."""
    whole = measured(log, **how, mask=False)
    step = int(cut * int(whole.curve.steps[-1]))
    after = whole.curve.steps > step
    if after.all() or not after.any():
        raise ProblemError(f"cut at {cut:g} leaves no losses on one side of step {step}; take another share")
    known = measured(log, **how, until=step)
    if known.curve.kind != whole.curve.kind:
        raise ProblemError(
            f"cut at {cut:g} leaves too few evaluation losses until step {step} to forecast those after it; take a larger "
            "share, or name the training loss (loss=)"
        )
    return known, replace(whole, curve=whole.curve.at(after))


def _checked(read: Sequence[Measured], held: Measured, level: float, started: float) -> ForecastAnswer:
    """Laws fitted to `read`, on `held`."""
    fitted = [m.curve for m in read]
    _refuse_seen(fitted, held.curve)
    checks = back_tested(fitted, held.curve, level)
    said = _common(law_of(fitted, level), [*read, held])
    return ForecastAnswer(problem=held.curve.name, checks=checks, **said, made=_made(started))


def _refuse_seen(fitted: Sequence[Curve], held: Curve) -> None:
    """A check on losses that were fitted says nothing; branches of one trunk share its first losses, but not the last."""
    for curve in fitted:
        seen = set(zip(curve.steps.tolist(), curve.losses.tolist(), strict=True))
        if seen.issuperset(zip(held.steps[-FRESH:].tolist(), held.losses[-FRESH:].tolist(), strict=True)):
            raise ProblemError(
                f"the last losses of {held.name!r} are in {curve.name!r}, too, which is fitted; check another log, or a "
                "part of this one (cut=, --cut)"
            )


def _reached(this: Measured, schedule: Any, steps: int | None) -> None:
    """Steps asked about without another schedule are those of the plan, which must reach them, and lie ahead."""
    now = int(this.curve.steps[-1])
    if schedule is None and steps is not None and steps <= now:
        raise ProblemError(f"steps is {steps} and the log goes to step {now}; give more, or the schedule of such a run")
    if this.planned is not None and schedule is None and steps is not None and steps > len(this.planned):
        raise ProblemError(
            f"steps is {steps} and the schedule that ran ends at {len(this.planned)}; give its whole horizon, or a schedule"
        )


def _answers(law: CurveLaw, this: Measured, curves: Sequence[Curve], schedule: Any, steps: int | None) -> list[Answered]:
    curve, now = this.curve, int(this.curve.steps[-1])
    found = []
    if schedule is not None:
        peak, updates = max(c.peak for c in curves), steps or (len(this.planned) if this.planned is not None else now)
        words = f"{schedule if isinstance(schedule, str) else repr(schedule)} at {peak:.3g} over {updates:,} steps"
        found.append(_answered(law, "schedule", words, schedule_rates(schedule, peak, updates)))
    plan = _plan(this, steps)
    if plan is not None:
        found.append(_answered(law, "own-plan", "this run under its own plan", plan, now))
    words = f"a cooldown started now, over {COOLDOWN:.0%} of the steps so far"
    found.append(_answered(law, "cooldown-now", words, cooldown_now(curve), now))
    found.append(_answered(law, "twice", "twice as many steps, cooled down over the share that suits them", twice(curve)))
    return found


def _answered(law: CurveLaw, question: str, words: str, rates: Array, after: int = 0) -> Answered:
    """The forecast from step `after` on."""
    steps = (
        None if not after else np.unique(np.linspace(min(after + 1, len(rates)), len(rates), 200).round().astype(np.int64))
    )
    return Answered(question, words, rates, law.predict(rates, steps))


def _plan(this: Measured, steps: int | None) -> Array | None:
    """Rates until the end of the run; None where nothing beyond the log was asked for or is known."""
    curve, now = this.curve, int(this.curve.steps[-1])
    if this.planned is not None:
        return this.planned if len(this.planned) > now else None
    if steps is None or steps <= now:
        return None
    return rest(curve, steps - now, 0.0) if is_steady(curve) else None


def _shapes(law: CurveLaw, curves: Sequence[Curve], steps: int | None) -> tuple[RankedShape, ...]:
    """Shapes for the rest of this run, until `steps`, or twice what was trained."""
    curve, now = curves[0], int(curves[0].steps[-1])
    updates = (steps if steps and steps > now else 2 * now) - now
    if not curve.rates[now - 1] > 0:
        return ()
    candidates = {name: rest(curve, updates, *shape) for name, shape in SHAPES.items()}
    return ranked(curves, candidates, level=law.level, law=law if isinstance(law, FadingNoise) else None)


def _names(sources: Sequence[Any]) -> list[str]:
    """Each log's: its file's, numbered where they are equal."""
    names: list[str] = []
    for i, source in enumerate(sources):
        name = Path(source).name if isinstance(source, (str, os.PathLike)) else f"table {i + 1}"
        if isinstance(source, (str, os.PathLike)) and any(_same(source, other) for other in sources[:i]):
            raise ProblemError(f"the log {os.fspath(source)!r} is given twice; give each once")
        names.append(name if name not in names else f"{name} ({i + 1})")
    return names


def _other_name(check: Any, names: Sequence[str]) -> str:
    (name,) = _names([check])
    return name if name not in names else f"{name} (checked)"


def _same(a: Any, b: Any) -> bool:
    return isinstance(b, (str, os.PathLike)) and Path(a).resolve() == Path(b).resolve()
