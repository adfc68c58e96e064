"""What the page of a scaling law says in words."""

from __future__ import annotations

from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import rate_text
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED
from etastar.reports.surface_content import interval, levelled
from etastar.verbs.scale.family import size_text
from etastar.verbs.scale.scale_answer import ScaleAnswer


def scale_numbers(answer: ScaleAnswer) -> list[Card]:
    """The target's rate, and the largest member's for comparison."""
    found = []
    if answer.lr.value is not None:
        meaning = f"Predicted for {size_text(answer.target)}; nothing of that size was trained."
        value = rate_text(answer.lr.value)
        found.append(Card(f"{answer.quantity}, predicted", value, levelled(answer.lr), meaning, RECOMMENDED))
    if (largest := answer.largest) is not None and largest.lr.value is not None:
        meaning = f"Measured at {size_text(largest.sizes)}, the largest member."
        found.append(
            Card(f"{answer.quantity}, measured", rate_text(largest.lr.value), levelled(largest.lr), meaning, ETA_STAR)
        )
    return found


def scale_sections(answer: ScaleAnswer) -> list[SectionText]:
    """The questions the figures answer."""
    found = [
        SectionText(
            "What does the target need?",
            "Lines are the chosen law through the members; the ring is where it meets the target.",
            {
                "law": "Dots: measured members with their 90 % intervals; ring and band: the target with its 90 % interval, "
                "which holds the scatter of members and the choice between laws."
            },
        ),
        SectionText(
            "Which law?",
            "Each law was fitted without one member at a time and asked for it. The smallest error is chosen; of laws that "
            "do as well, the one with the fewest fitted numbers.",
            {"candidates": "1 is a perfect forecast of every left-out member. Point at a dot for the law."},
        ),
    ]
    if answer.transfer is not None:
        found += [
            SectionText(
                "Does the rate transfer?",
                f"{answer.transfer.summary}. The narrowest network is muP's base: there both are the same.",
                {"transfer": "A flat line means that the rate found small can be used large."},
            ),
            SectionText(
                "Why? The coordinate check",
                "The outputs z = W x of every layer move by their own update, (W - W₀) x, and by what earlier layers did, "
                "W₀ (x - x₀). A parametrisation transfers when neither grows or vanishes with the width.",
                {
                    "coordinates": "Root mean squares on a batch that is not trained on; lines: layers, from the input "
                    "(light) to the readout (dark)."
                },
            ),
        ]
    return found


def scale_tables(answer: ScaleAnswer) -> list[Table]:
    """Members, laws, what to measure next, and how it was measured."""
    names = tuple(answer.target)
    members = [
        (
            *(f"{m.sizes[n]:g}" for n in names),
            "-" if m.lr.value is None else rate_text(m.lr.value),
            interval(m.lr),
            m.left_out,
        )
        for m in answer.members
    ]
    found = [Table("Every member", (*names, answer.quantity, "90 % interval", "left out"), tuple(members))]
    if answer.law.fits:
        rows = [
            (
                f.candidate.name,
                f.formula,
                f"{f.loo:.3f}",
                f"{f.r_squared:.3f}",
                f.candidate.why,
            )
            for f in answer.law.fits
        ]
        head = ("law", "formula", "leave-one-out error, decades", "R2", "where it comes from")
        found.append(Table("Every law", head, tuple(rows)))
    if answer.next:
        rows = [
            (
                size_text(s.sizes),
                "-" if s.cost != s.cost else f"{s.cost:.0f}",
                "-" if s.factor is None else f"{s.factor:.2f}",
            )
            for s in answer.next
        ]
        found.append(
            Table("What to measure next", ("member", "seconds, about", "high / low of the interval then"), tuple(rows))
        )
    cost, where = answer.cost, answer.environment
    sizes = (
        f"{len(answer.runs):,} lanes, {cost['gradient_steps']:,} gradient steps, {cost['new_gradient_steps']:,} of them new"
    )
    rows = (
        ("measured", f"{answer.quantity} of {len(answer.law.members)} members"),
        ("cost", f"{sizes}; {cost['seconds']:.3g} s"),
        ("environment", f"Python {where['python']}, torch {where['torch']}, {where['machine']}, {where['cpus']} CPUs"),
        ("to reproduce", f"etastar {where['etastar']}, etastar scale {answer.problem}, seed {answer.seed}"),
    )
    return [*found, Table("How it was measured", (), rows)]
