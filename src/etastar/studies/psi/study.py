"""The claims about Psi and their rules, declared before anything was measured, and the study itself."""

from __future__ import annotations

from collections.abc import Sequence

from etastar.laws.psi.driven import MARGIN
from etastar.studies.claim import Claim, Inside
from etastar.studies.psi.findings import findings
from etastar.studies.psi.plan import plan
from etastar.studies.psi.tasks import SIZES
from etastar.studies.record import Row
from etastar.studies.study import Findings, Setting, Study

ADDS = 0.02
"""What counts as nothing: a share of the final loss that eight seeds and thirty tasks can just tell."""
TASKS = "small tasks over 200 steps (quick: 60), SGD with momentum and Adam, driven by what was fitted without their group"
TUNED = "at the tuned peak of linear decay, unchanged"

EARLIER, DERIVED = "an earlier measurement of ours", "derived for this project"


def _claim(name: str, statement: str, source: str, quantity: str, rule: Inside, region: str = f"{TASKS}; {TUNED}") -> Claim:
    return Claim(name, statement, source, region, f"{quantity}; bootstrap over groups, families and seeds", rule)


CLAIMS = (
    _claim(
        "a universal closed form",
        "A formula of the epoch alone, fitted to other tasks, beats linear decay at linear decay's own tuned peak.",
        EARLIER,
        "final loss under the trapezoid / under linear decay, geometric mean",
        Inside(high=1.0),
    ),
    _claim(
        "eps adds nothing to i",
        "The same formula times a power of the loss is worth the same: where the horizon is known, the epoch says it all.",
        EARLIER,
        "final loss under the trapezoid of i and eps / under the trapezoid of i",
        Inside(1 - ADDS, 1 + ADDS),
    ),
    _claim(
        "eps alone loses",
        "A formula of the loss alone is worse than linear decay.",
        EARLIER,
        "final loss under the power of eps / under linear decay",
        Inside(low=1.0),
    ),
    _claim(
        "logs alone mislead",
        "The question to the letter, the rate whose convergence is predicted to be the fastest from logs of (epoch, rate, "
        "loss, convergence), is worse than linear decay.",
        "the argument that logs confound rate and time, and that a tenth of a training is too short a horizon",
        "final loss under the three predictors (curve, symbolic, network) alike / under linear decay",
        Inside(low=1.0),
    ),
    _claim(
        "greedy critics lose",
        "Neither does it help to try the rates from one and the same state: what converges fastest over the next tenth is "
        "worse than linear decay.",
        EARLIER,
        "final loss under the network fitted to the forks' convergence / under linear decay",
        Inside(low=1.0),
    ),
    _claim(
        "evolution repairs wrong peaks",
        "What was chosen on final losses of whole runs mends a peak that is twice too high.",
        EARLIER,
        "final loss under the shipped psi-network / under linear decay, both there",
        Inside(high=1.0),
        region=f"{TASKS}, the network as it is shipped, which has seen them; at twice the tuned peak of linear decay",
    ),
    _claim(
        "the mean is as good as the conditional",
        "The shape need not be conditional on data and hyper-parameters: half fitted to the task's own forks it is worth no "
        "more than fitted to those of other groups.",
        EARLIER,
        "final loss under the trapezoid half fitted to the own task / fitted to other groups",
        Inside(1 - ADDS, 1 + ADDS),
    ),
    _claim(
        "the peak must be conditional",
        "Linear decay at the median of the other groups' peaks is worse than at its own.",
        EARLIER,
        "final loss under linear decay at the others' median peak / at its own",
        Inside(low=1.0),
    ),
    _claim(
        "without a horizon the loss helps",
        "Where nobody knows how many steps are to come, the loss adds to the step.",
        DERIVED,
        "final loss under Psi(eps, i) / under Psi(i), numbers of both chosen on other groups, so that it may be just 1",
        Inside(high=1 - MARGIN),
        region=f"{TASKS}, of steps that no policy was told: every task once, its horizons alike",
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
    minutes={"quick": 1, "full": 11},
)
"""What `etastar study psi` measures: groups, sizes, claims and their rules, all of them declared before a number."""


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """One verdict a claim, and what the page shows."""
    return findings(rows, CLAIMS)
