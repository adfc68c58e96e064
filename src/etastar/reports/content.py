"""What the page says in words: the big numbers, the sections and the tables of an answer."""

from __future__ import annotations

from etastar.core.estimate import Estimate
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.reports.chart_parts import INK
from etastar.reports.flags import flag_sentences
from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import bound_sentence, rate_text
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED
from etastar.verbs.find.find_answer import FindAnswer


def numbers(answer: FindAnswer) -> list[Card]:
    """The recommended rate, eta* and the rate in use, as far as they are known."""
    found = []
    if answer.lr.value is not None:
        meaning = f"{answer.lr.method}. The interval is where the best rate is expected."
        value = rate_text(answer.lr.value, 2)
        found.append(Card("Recommended", value, _levelled(answer.lr), meaning, RECOMMENDED))
    if answer.eta_star.value is not None:
        meaning = "Half of freshly initialised networks start to train at this rate; above it most of them fail."
        found.append(Card("eta*", rate_text(answer.eta_star.value), _levelled(answer.eta_star), meaning, ETA_STAR))
    if answer.yours is not None:
        sentence = answer.yours.sentence[:1].upper() + answer.yours.sentence[1:] + "."
        found.append(Card("Yours", rate_text(answer.yours.lr), f"verdict: {answer.yours.verdict}", sentence, INK))
    return found


def sections(answer: FindAnswer) -> list[SectionText]:
    """The questions the figures answer, in reading order."""
    level = f"{100 * answer.eta_star.level:g} %"
    one_lane = "A lane is one training from fresh weights."
    squeezed = "schedule-not-squeezed" not in answer.lr.flags
    shape = f"the same schedule ({answer.schedule}) squeezed into their steps" if squeezed else "fewer steps"
    best = SectionText(
        "Which rate ends best?",
        f"{one_lane} Short lanes run {shape}; what they say is moved to {answer.steps:,} steps.",
        {"best": "One line a length of lane. Shaded: where the best rate is expected; strip at the bottom: the plateau."},
    )
    band = answer.band
    if band is None:
        return [best]
    found = [
        best,
        SectionText(
            "Which rates start to train?",
            f"It has started when, within {band.steps:,} steps: {band.criterion.sentence()}.",
            {
                "success-band": _how_to_read(band),
                "edge": f"The same lanes around eta*; the shaded column is its {level} interval.",
                "endings": "Why rates fail: slow lanes ran out of steps, dead ones have no gradient left, "
                "diverged ones blew up or ended above their first loss, in raised ones your code raised an exception.",
            },
        ),
        SectionText(
            "How did the loss go?",
            "Each line is one lane; it stops when it has started to train, dies, blows up or runs out of steps.",
            {"losses": "Point at a line for its rate; click an ending in the legend to see only those lanes."},
        ),
    ]
    if answer.end is not None:
        found.append(
            SectionText(
                "Which rates still train at the end?",
                f"These lanes run all {answer.end.steps:,} steps and count if the criterion holds at the end.",
                {
                    "success-band-end": _how_to_read(answer.end),
                    "edge-end": "The same lanes around eta*_end.",
                    "endings-end": "How the lanes of this scan ended.",
                    "losses-end": "Every lane of this measurement.",
                },
            )
        )
    return found


def _how_to_read(band: SuccessBand) -> str:
    """What the marks of a success chart are, those that are there."""
    level = f"{100 * band.eta_star.level:g} %"
    parts = []
    if any(r.runs > 1 for r in band.rates):
        parts.append(f"Dots with bars: rates with several lanes, and the {level} interval (Wilson) of their share.")
    if any(r.runs == 1 for r in band.rates):
        parts.append("Coloured dots above 100 % and below 0 %: one lane each, which did or did not train.")
    if band.curve:
        parts.append(f"Blue: the fitted upper edge with its {level} interval.")
    return " ".join([*parts, "Drag to move, shift + wheel to zoom, double-click to return."])


def tables(answer: FindAnswer) -> list[Table]:
    """All numbers, the rate per parameter group, and how it was measured."""
    found = [
        Table("All numbers", ("", "value", f"{100 * answer.eta_star.level:g} % interval", ""), tuple(_number_rows(answer)))
    ]
    if len(answer.lr_per_group) > 1:
        rows = tuple(
            (name, rate_text(lr, 2), f"{rate_text(lr / answer.lr.require())} x") for name, lr in answer.lr_per_group
        )
        found.append(Table("Recommended rate per parameter group", ("group", "rate", "times the recommended rate"), rows))
    return [*found, Table("How it was measured", (), tuple(_measurement_rows(answer)))]


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{rate_text(estimate.low)} to {rate_text(estimate.high)}"


def _levelled(estimate: Estimate) -> str:
    return f"{100 * estimate.level:g} %: {_interval(estimate)}"


def _number_rows(answer: FindAnswer) -> list[tuple[str, ...]]:
    band = answer.band
    estimates = [
        ("recommended", answer.lr, "", answer.lr.method),
        ("eta*", answer.eta_star, "", "half of fresh networks start to train"),
    ]
    if band is not None:
        estimates += [
            ("eta*_90", band.eta_star_90, "", "nine of ten do"),
            ("eta*_end", answer.eta_star_end, "", "half still train at the end of their steps"),
            ("transition width", band.width, " decades", "from 90 % to 10 % of the networks"),
        ]
    rows: list[tuple[str, ...]] = []
    said: list[str] = []
    for name, estimate, unit, meaning in estimates:
        digits = 2 if estimate is answer.lr else 3
        if estimate.value is not None:
            flags = " ".join(s for f, s in flag_sentences(estimate.flags) if f not in answer.flags)  # else said at the top
            note = f"{meaning}. {flags}" if flags else meaning
            rows.append((name, rate_text(estimate.value, digits) + unit, _interval(estimate), note))
        else:
            reason = estimate.reason
            for earlier in said:
                reason = reason.replace(earlier, "see above")
            said.append(estimate.reason)
            rows.append((name, "no value", bound_sentence(estimate), f"{estimate.status.value}: {reason}"))
    if answer.best.plateau is not None:
        low, high = map(rate_text, answer.best.plateau)
        rows.append(("plateau", f"{low} to {high}", "", "expected within 0.05 nats or 1 % of the best loss"))
    trained, lanes = answer.best.reliability
    rows.append(("reliability", f"{trained} of {lanes}", "", "lanes next to the recommended rate that trained"))
    if band is not None and band.lower_edge is not None:
        meaning = "lowest rate of the scan at which half of the lanes or more start to train"
        rows.append(("lower edge", rate_text(band.lower_edge), "", meaning))
    if answer.yours is not None:
        share = answer.yours.probability
        known = "" if share is None else f"; {share:.0%} of fresh networks start to train at it"
        rows.append(("yours", rate_text(answer.yours.lr), "", answer.yours.sentence + known))
    return rows


def _measurement_rows(answer: FindAnswer) -> list[tuple[str, str]]:
    band, cost, criterion = answer.band, answer.cost, answer.facts.criterion
    lanes = ", ".join(f"{len(rung.points)} rates of {rung.steps:,} steps" for rung in answer.best.rungs)
    if band is not None:
        lanes += f"; for eta* {band.scan_runs} in the scan, {band.refine_runs} at the edge"
    if answer.end is not None:
        lanes += f"; for eta*_end {answer.end.scan_runs} in the scan, {answer.end.refine_runs} at the edge"
    where = answer.environment
    machine = f"Python {where['python']}, torch {where['torch']}, {where['machine']}, {where['cpus']} CPUs"
    return [
        ("criterion of eta*", f"{criterion.sentence()}, within {answer.steps_to_start:,} steps"),
        ("lanes", lanes),
        (
            "cost",
            f"{cost['gradient_steps']:,} gradient steps, {cost['new_gradient_steps']:,} of them new, the others stored; "
            f"{cost['full_runs']:.3g} full trainings with validation; {cost['seconds']:.3g} s, where one ordinary full "
            f"training takes about {cost['full_run_seconds']:.3g} s",
        ),
        ("optimizer", answer.facts.optimizer or "unknown"),
        ("schedule", f"{answer.schedule}, {answer.steps:,} steps"),
        ("engine", answer.engine),
        ("environment", machine),
        (
            "to reproduce",
            f"etastar {where['etastar']}, problem {answer.problem}, effort {answer.effort}, seed {answer.seed}: "
            "the same lanes are run again, or read from the store",
        ),
    ]
