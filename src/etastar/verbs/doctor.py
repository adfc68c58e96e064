"""`doctor`: what is wrong, slow or badly scaled about a problem, before anything is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

from etastar.core.flags import FLAGS
from etastar.core.loaders import LoaderBatches
from etastar.core.problem import Problem
from etastar.engine.choice import Choice, choose
from etastar.engine.preflight import Preflight, preflight, start_steps
from etastar.errors import attributed
from etastar.verbs.answer import Answer, Made
from etastar.verbs.find.efforts import most_runs
from etastar.verbs.options import Options, asked
from etastar.verbs.prices import duration


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `level` is "ok", "note" or "warn"."""

    topic: str
    level: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Answer):
    """What the doctor found."""

    command = "doctor"
    TOLD = ("findings",)

    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """How many things there are to warn of."""
        warned = [f.topic for f in self.findings if f.level == "warn"]
        return f"{len(warned)} warnings: {', '.join(warned)}" if warned else "nothing to warn of"


@attributed
def doctor(problem: Problem, *, device: str = "auto") -> Diagnosis:
    """Build the problem once and say what a user should know about it.

    Raises:
        ProblemError: the problem cannot be used at all.
    """
    started = time.monotonic()
    device = asked(problem, None, Options(device=device))[1].device
    facts = preflight(problem, device)
    choice = choose(problem, facts.criterion, device=device, reproducible=facts.reproducible)
    findings = [_criterion(problem, facts), _start(facts), *_flags(facts), *_groups(facts), *_data(problem)]
    made = Made(
        seed=problem.seed,
        optimizer=facts.optimizer,
        cost={"seconds": time.monotonic() - started},
        flags=facts.flags,
        engine=choice.engine,
        engine_choice=choice,
    )
    findings += [*_engine(choice), _speed(problem, facts, choice)]
    return Diagnosis(problem=problem.title, findings=tuple(findings), made=made)


def _criterion(problem: Problem, facts: Preflight) -> Finding:
    text = f"a lane has started to train when {facts.criterion.sentence()}, within {start_steps(problem)} steps"
    return Finding("criterion", "ok", text)


def _start(facts: Preflight) -> Finding:
    uninformed = facts.criterion.uninformed
    if uninformed is None:
        return Finding("loss at start", "ok", f"{facts.first_loss:.4g}; the uninformed loss is taken to be the same")
    text = f"{facts.first_loss:.4g} at initialisation, {uninformed:.4g} for an uninformed guess"
    return Finding("loss at start", "warn" if "loss-starts-high" in facts.flags else "ok", text)


def _flags(facts: Preflight) -> list[Finding]:
    findings = [Finding(flag, "warn", FLAGS[flag]) for flag in facts.flags]
    if not facts.squeezes:
        findings.append(Finding("schedule-not-squeezed", "note", FLAGS["schedule-not-squeezed"]))
    if facts.reproducible:
        findings.append(Finding("reproducible", "ok", "the same lane gave the same losses twice; stored lanes are reused"))
    return findings


def _groups(facts: Preflight) -> list[Finding]:
    if not facts.groups:
        return [Finding("optimizer", "note", "your own loop: etastar sees its losses only, not model or optimizer")]
    frozen = [g for g in facts.groups if g.multiplier == 0]
    rows = ", ".join(f"{g.name}: {g.multiplier:g} x lr, {g.parameters:,} parameters" for g in facts.groups)
    findings = [Finding("optimizer", "ok", f"{facts.optimizer} at lr {facts.lr:.4g}; {rows}")]
    if frozen:
        findings.append(Finding("frozen", "note", f"groups with rate 0 stay frozen: {', '.join(g.name for g in frozen)}"))
    return findings


def _data(problem: Problem) -> list[Finding]:
    if problem.is_loop:
        return []
    batches = problem.parts.batches
    if isinstance(batches, LoaderBatches):
        text = "the DataLoader's own order is iterated (custom sampler or iterable dataset), without its worker processes"
        return [Finding("data", "note", text)]
    level = "ok" if batches.per_epoch and batches.per_epoch >= 10 else "note"
    return [
        Finding("data", level, f"{batches.size:,} samples, {batches.per_epoch} batches of {batches.batch_size} per epoch")
    ]


def _engine(choice: Choice) -> list[Finding]:
    """What trains the lanes, and why nothing faster does."""
    times = ", ".join(f"{name}: {1e6 * seconds:.3g} us" for name, seconds in choice.times.items())
    text = choice.sentence() + (f"; a lane's step takes {times}" if times else "")
    findings = [Finding("engine", "note" if choice.fell_back else "ok", text)]
    refused = choice.refused if choice.fell_back else {}
    return findings + [Finding(f"not {name}", "note", why) for name, why in refused.items()]


def _speed(problem: Problem, facts: Preflight, choice: Choice) -> Finding:
    each = choice.seconds_per_step or facts.seconds_per_step
    thorough = each * problem.steps * most_runs("thorough", problem.steps, start_steps(problem))
    text = (
        f"{1000 * facts.seconds_per_step:.3g} ms per step in the reference loop on one thread; "
        f"find --effort thorough takes at most about {duration(thorough)} of one core with {choice.sentence()}"
    )
    return Finding("speed", "ok", text)
