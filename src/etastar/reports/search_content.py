"""What the page of a search says in words."""

from __future__ import annotations

from etastar.designs.search.confirmation import Finalist
from etastar.designs.search.search_space import Parameter
from etastar.designs.search.trials import Trial
from etastar.reports.chart_parts import INK
from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import rate_text
from etastar.reports.search_marks import ending
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED
from etastar.reports.surface_content import interval, levelled
from etastar.verbs.search.search_answer import SearchAnswer, again_text, tally, written

BEST = 10
"""Trials in the table."""


def search_numbers(answer: SearchAnswer) -> list[Card]:
    """The best rate and its loss, eta* and the rate in use as far as they are known, the trials and what they cost."""
    found, best, e, yours = [], answer.best, answer.eta_star, answer.yours
    if answer.lr.value is not None and best is not None:
        others = ", ".join(f"{name} = {written(value)}" for name, value in best.params.items() if name != "lr")
        span = f"near best: {interval(answer.lr)}" if answer.lr.low != answer.lr.high else "no other rate comes near"
        where = "the best on fresh seeds" if best.confirmed else "the luckiest"
        meaning = f"The rate of trial {best.number}, {where}" + (f", with {others}." if others else ".")
        found.append(Card("Best rate", rate_text(answer.lr.value), span, meaning, RECOMMENDED))
        found.append(Card("Its loss", f"{best.loss:.4g}", _curse(best), _sentence(answer.objective), RECOMMENDED))
    if e.value is not None:
        meaning = "Measured before the search: half of freshly initialised networks start to train at this rate."
        found.append(Card("eta*", rate_text(e.value), levelled(e), meaning, ETA_STAR))
    if yours is not None:
        verdict = f"verdict: {yours.verdict.replace('-', ' ')}"
        found.append(Card("Yours", rate_text(yours.lr), verdict, _sentence(yours.sentence), INK))
    n, cost = len(answer.trials), answer.cost
    found.append(Card("Trials", f"{n:,}", "", _sentence(tally(answer.trials)), INK))
    new = cost["new_gradient_steps"] / cost["gradient_steps"] if cost["gradient_steps"] else 1.0
    stored = "" if new == 1 else f"; {new:.0%} of them trained now, the rest came from the store"
    meaning = f"{cost['gradient_steps']:,.0f} gradient steps{stored}."
    found.append(Card("Cost, in full runs", f"{cost['full_runs']:.3g}", f"{cost['seconds']:.1f} s", meaning, INK))
    return found


def search_sections(answer: SearchAnswer) -> list[SectionText]:
    """The questions the figures answer."""
    pruned = any(t.state == "pruned" for t in answer.trials)
    known = answer.lr.ok
    marks = "A mark is a trial; point at it for all of its settings."
    if any(t.diverged for t in answer.trials):
        marks += " Crosses, on a line of their own: trials with a lane that diverged or raised."
    if pruned:
        marks += " Triangles: trials given up early, at the loss of fewer steps."
    rules = ""
    if known:
        rules = " Ring: the best on fresh seeds, at its loss in the search; purple column: the rates of trials near it."
    text = f"The loss is the {answer.objective}."
    if known:
        text += (
            " The span of near-best rates is no confidence interval: it is where trials came near the best, and more "
            "trials move its ends."
        )
    if len(answer.space) > 1:
        text += " Trials of nearly the same rate differ in the other parameters."
    if answer.eta_star.ok:
        rules += f" Blue: eta* with its {100 * answer.eta_star.level:g} % interval."
    progress = "Line: the lowest loss of a trial that ran to its end, up to there."
    return [
        SectionText("Which rate ends best?", text, {"rates": marks + rules}),
        SectionText(
            "Had the search converged?",
            _progress(answer),
            {"progress": f"{progress} The best is ringed." if known else progress},
        ),
        SectionText(
            "What else matters?",
            "The same trials against the other parameters. Where good losses lie over the whole width of a panel, that "
            "parameter matters little.",
            {
                "parameters": "The same marks; trials of the same choice are spread out sideways.",
                "importance": "Share of the variation among good trials that goes with each parameter (PED-ANOVA, from the "
                "trials that ran to their end). It says what was told apart in the space searched, not what matters "
                "elsewhere.",
            },
        ),
    ]


def search_tables(answer: SearchAnswer) -> list[Table]:
    """The best trials, the space, the plan, and how it was measured."""
    names = [p.name for p in answer.space if p.name != "lr"]
    ranked = sorted((t for t in answer.trials if t.trained), key=lambda t: t.loss or 0.0)
    found = []
    if ranked:
        rows = tuple(
            (str(t.number), f"{t.loss:.4g}", rate_text(t.lr), *(written(t.params[n]) for n in names), f"{t.steps:,}")
            for t in ranked[:BEST]
        )
        if answer.finalists:
            columns = ("trial", "rate", "loss in the search", "on fresh seeds", "each fresh seed")
            found.append(Table("The best trials, trained again", columns, _again_rows(answer)))
        found.append(Table("The best trials", ("trial", "loss", "rate", *names, "gradient steps"), rows))
    elif answer.trials:
        rows = tuple(
            (str(t.number), "-" if t.loss is None else f"{t.loss:.4g}", rate_text(t.lr), ending(t)) for t in _few(answer)
        )
        found.append(Table("Trials", ("trial", "loss, as counted", "rate", "how it ended"), rows))
    space = tuple(_space_row(p, answer) for p in answer.space)
    found.append(Table("The space searched", ("parameter", "low", "high", "scale", "widened"), space))
    return [*found, Table("The plan", (), _plan_rows(answer)), Table("How it was measured", (), _measurement_rows(answer))]


def _again_rows(answer: SearchAnswer) -> tuple[tuple[str, ...], ...]:
    """What fresh seeds made of the best trials: the lower of many losses is lower than it is worth."""
    return tuple(
        (str(f.number), rate_text(f.lr), f"{f.trial.loss:.4g}", again_text(f), ", ".join(f"{x:.4g}" for x in f.losses))
        for f in answer.finalists
    )


def _curse(best: Finalist) -> str:
    """The interval of the loss on fresh seeds, and what the trial itself said."""
    own = f"{best.trial.loss:.4g} in its trial"
    if best.interval is None:
        return own if best.confirmed else "not confirmed on fresh seeds"
    return f"{best.interval[0]:.3g} .. {best.interval[1]:.3g} on {len(best.losses)} fresh seeds; {own}"


def _few(answer: SearchAnswer) -> tuple[Trial, ...]:
    """The trials of the lowest rates: where none trained, that is where to go on."""
    return tuple(sorted(answer.trials, key=lambda t: t.lr)[:BEST])


def _progress(answer: SearchAnswer) -> str:
    """After which trial nothing better came."""
    best, n = min((t for t in answer.trials if t.trained), key=lambda t: t.loss or 0.0, default=None), len(answer.trials)
    if best is None or not answer.lr.ok:
        return "The trials in the order in which they were asked."
    if answer.plan["sampler"] == "grid":
        return "A grid is fixed beforehand and its order says nothing; a finer one may hold a better trial."
    after = sum(t.number > best.number for t in answer.trials)
    if not after:
        return f"The last of {n:,} trials has the lowest loss: more trials may find a better one."
    return (
        f"The lowest loss is that of trial {best.number}; {after:,} more of the {n:,} came after it and none was lower. A "
        "line that still falls at its right end asks for more trials; it falls by luck, too, which fresh seeds take away."
    )


def _space_row(p: Parameter, answer: SearchAnswer) -> tuple[str, ...]:
    if p.choices is not None:
        return p.name, "-", "-", "one of " + ", ".join(map(written, p.choices)), "no"
    scale = "logarithmic" if p.log else "linear"
    widened = p.name == "lr" and "range-widened" in answer.flags
    low, high = (rate_text(end) if end is not None else "-" for end in (p.low, p.high))
    return p.name, low, high, scale + (", whole numbers" if p.integer else ""), "yes" if widened else "no"


def _plan_rows(answer: SearchAnswer) -> tuple[tuple[str, str], ...]:
    plan = answer.plan
    where = "not kept (a store in memory keeps none)"
    if answer.storage is not None:
        where = f"{answer.storage}; open it with: optuna-dashboard {answer.storage}"
    return (
        ("sampler", str(plan["sampler"])),
        ("pruner", str(plan["pruner"])),
        ("trials", f"{plan['trials']:,} planned, {len(answer.trials):,} tried"),
        ("batch", f"{plan['batch']:,} trials asked and trained together"),
        ("seeds", f"{plan['seeds']:,} a trial, the same for every trial"),
        ("fresh seeds", f"{plan['fresh_seeds']:,} for each of the best trials, which were trained again"),
        ("steps", f"{plan['steps']:,}"),
        ("seed", str(plan["seed"])),
        ("study", answer.study),
        ("storage", where),
    )


def _measurement_rows(answer: SearchAnswer) -> tuple[tuple[str, str], ...]:
    cost, where = answer.cost, answer.environment
    before = "nothing: the space names the rate, or it was switched off"
    if answer.measured is not None:
        lr = answer.measured.lr
        value = f"best rate {rate_text(lr.value)}, {levelled(lr)}" if lr.value is not None else f"no answer: {lr.reason}"
        before = f"{value}; {cost['measure_steps']:,.0f} gradient steps"
    e = answer.eta_star
    return (
        ("measured before", before),
        ("eta*", f"{rate_text(e.value)}, {levelled(e)}" if e.value is not None else f"{e.status.value}: {e.reason}"),
        ("lanes", f"{len(answer.runs):,}"),
        (
            "cost",
            f"{cost['gradient_steps']:,.0f} gradient steps, {cost['new_gradient_steps']:,.0f} of them new, the others "
            f"stored; {cost['full_runs']:.3g} full trainings with validation; {cost['seconds']:.3g} s",
        ),
        ("optimizer", answer.optimizer or "unknown"),
        ("engine", answer.engine),
        ("environment", f"Python {where['python']}, torch {where['torch']}, {where['machine']}, {where['cpus']} CPUs"),
        (
            "to reproduce",
            f"etastar {where['etastar']}, etastar search {answer.problem}, seed {answer.plan['seed']}: the same lanes are "
            "run again, or read from the store",
        ),
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
