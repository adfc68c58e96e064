"""The claims about Psi and their rules, declared before anything was measured, and the study itself."""

from __future__ import annotations

from collections.abc import Sequence

from etastar.studies.claim import Claim, Inside
from etastar.studies.psi.findings import findings
from etastar.studies.psi.plan import plan
from etastar.studies.psi.tasks import SIZES
from etastar.studies.record import Row
from etastar.studies.study import Findings, Setting, Study

ADDS = 0.02
"""What counts as nothing: a share of the final loss that eight seeds and thirty tasks can just tell."""
TASKS = "small tasks under SGD with momentum and Adam, each driven by what was fitted without its group"
TUNED = "at the tuned peak of linear decay, unchanged"

CLAIMS = (
    Claim(
        "a universal closed form",
        "A formula of the epoch alone, fitted to other tasks, beats linear decay at linear decay's own tuned peak.",
        "an earlier measurement of ours",
        f"{TASKS}; {TUNED}",
        "final loss under the trapezoid / under linear decay, geometric mean; bootstrap over groups, families and seeds",
        Inside(high=1.0),
    ),
    Claim(
        "eps adds nothing to i",
        "The same formula times a power of the loss is worth the same: where the horizon is known, the epoch says it all.",
        "an earlier measurement of ours",
        f"{TASKS}; {TUNED}",
        "final loss under the trapezoid of i and eps / under the trapezoid of i",
        Inside(1 - ADDS, 1 + ADDS),
    ),
)

STUDY = Study(
    name="psi",
    title="Is there an ideal learning rate Psi(eps, i)?",
    question="Is there a universal alpha_i = Psi(eps, i), the ideal learning rate for an epoch and a loss, as a closed form "
    "or as a network, learned from recorded experiments; and if not, on what must it be conditional?",
    source="The question is a user's; claims marked so are earlier measurements of ours. Tasks, rules and numbers are ours.",
    claims=CLAIMS,
    declared={
        "groups": "digits; rebuilt digits; tables of patients; endless streams; text: what is fitted to one of them is "
        "never judged on it",
        "judged": "by the loss on a split of its own, in fresh runs on seeds that nothing was fitted to; never by the fit",
        "sizes": "; ".join(f"{k}: {s.steps} steps, {s.seeds} seeds, {s.fresh} fresh seeds" for k, s in SIZES.items()),
    },
    plan=plan,
    conclude=lambda rows, setting: conclude(rows, setting),
    uses_data=False,
    minutes={"quick": 2, "full": 15},
)


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """One verdict a claim, and what the page shows."""
    return findings(rows, CLAIMS)
