"""Every code that etastar prints, in one table: flags, statuses, endings, verdicts, exceptions and exit codes, explained.

Each kind is held to what defines its words (`Status`, `LaneStatus`, `errors.py`) by tests/unit/core/test_codes.py,
which also walks the source: a word that is used and not explained fails, and so does an explained one that nobody uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

from etastar.arguments import shown
from etastar.core.code import Code
from etastar.core.flags import FLAG_CODES
from etastar.errors import ProblemError

STATUSES: dict[str, Code] = {
    "ok": Code("There is a value, with an interval.", "Use it; flags qualify it."),
    "flat": Code(
        "The loss is the same at every rate, or every rate trains equally well: there is no best one to find.",
        "Check what the loss reads (does it depend on the parameters?), or take any rate of the range.",
    ),
    "edge-of-range": Code(
        "The best rate, or the edge looked for, lies at an end of the range that was run; the bound is on that side.",
        "Start nearer to it (--optimizer NAME:lr=...), or pass --rates further out where the command has it.",
    ),
    "diverged-everywhere": Code(
        "Every lane diverged or died, at every rate of the range.",
        "Check the scale of the data, the initialisation and the loss with `etastar doctor`; then rates further down.",
    ),
    "succeeds-everywhere": Code(
        "Every rate of the range meets the criterion: there is no upper edge in it.",
        "Pass a stricter criterion (--threshold): the one in use does not tell networks that train from those that do not.",
    ),
    "never-succeeds": Code(
        "No rate of the range meets the criterion within the steps; lanes are slow, dead or diverged.",
        "Plan more --steps or pass a lower --threshold; `etastar doctor` says what an uninformed guess loses.",
    ),
    "no-progress": Code(
        "No lane lowered its loss by a tenth of what it began with.",
        "Begin nearer to the best rate (--optimizer NAME:lr=...) or train more steps.",
    ),
    "too-few-points": Code(
        "Too little was measured to carry a number.",
        "Give it more: time (--max-seconds), --effort, --trials, --seeds, sizes, or more of the log; the reason says which.",
    ),
    "outside-the-law": Code(
        "The question lies outside the data or the conditions a law was tested under; it gives no number there.",
        "Measure nearer to the question: the reason names the measurement that is missing.",
    ),
    "not-measured": Code(
        "It was not asked for, or the command was stopped before it got there.",
        "Ask for more effort (`find --effort thorough` measures eta*), or run the same command again to go on.",
    ),
    "prior-only": Code(
        "The measurement says no more than is known of other tasks.",
        "Give it a larger --budget; the reason says what would decide.",
    ),
}
"""`Status` of an estimate."""

ENDINGS: dict[str, Code] = {
    "trained": Code("The lane met the criterion.", "Nothing."),
    "diverged": Code("Its loss was not finite, or ended above where it began.", "The rate is too high for this start."),
    "slow": Code("It was finite and alive, and short of the threshold at its last step.", "More steps, or a higher rate."),
    "dead": Code(
        "It is back at the loss of knowing nothing, with almost no gradient left: nothing more will happen.",
        "A lower rate, or a unit that does not die.",
    ),
    "raised": Code("Your code raised an exception; the loss was still finite.", "Read it: its file and line are printed."),
}
"""`LaneStatus`: how a training ended."""

VERDICTS: dict[str, Code] = {
    "good": Code("Your rate lies on the plateau.", "Keep it."),
    "plausible": Code("Your rate lies inside the interval, not on the plateau.", "Keep it, or take the recommended one."),
    "low": Code("Your rate lies below the interval of the best.", "Take the recommended rate: it ends lower."),
    "high": Code("Your rate lies above the interval of the best and still trains.", "Take the recommended rate."),
    "on-the-edge": Code("Some fresh seeds fail at your rate.", "Go below `eta_star_90`."),
    "will-not-last": Code("Your rate starts to train and loses it again before the end.", "Go below eta*_end, or decay."),
    "too-high": Code("Most fresh networks do not train at your rate.", "Take the recommended rate, or half of eta*."),
    "cannot-tell": Code("The measurement cannot tell: its interval spans both.", "Measure more: effort, seeds or members."),
    "unknown": Code("Your rate cannot be judged without the number it is held against.", "See the status of that number."),
    "below": Code("Your rate lies below where eta* is expected.", "Train, or measure with `etastar find`."),
    "inside": Code("Your rate lies where eta* is expected: some networks fail there.", "Start lower, or measure it."),
    "above": Code("Your rate lies above where eta* is expected: networks are expected to fail.", "Start lower."),
    "below-the-edge": Code("A step at your rate descends along every direction.", "It is safe at the start only."),
    "below-eta_c": Code("The first step lowers the loss, beyond the quadratic edge or where it is not known.", "Watch it."),
    "above-eta_c": Code("The first step at your rate raises the loss on these samples.", "Start lower, or warm up."),
    "near-best": Code("The trial at your rate comes near the best.", "Keep it."),
    "worse": Code("It ends higher than what it is held against, beyond chance.", "Take what it is held against."),
    "better": Code("It ends lower than tuned linear decay, beyond chance.", "Take it, at the peak in its row."),
    "no-difference": Code("Seeds cannot tell the two apart.", "Take the simpler one, or pay for more seeds."),
    "failed": Code("Most of its fresh lanes broke.", "A lower peak, or another policy."),
    "reference": Code("It is what the others are held against: linear decay, tuned.", "Nothing."),
    "not-tried": Code("Your rate was not among the trials.", "Let the space contain it."),
    "agrees": Code("The interval lies where the claim says.", "Nothing."),
    "differs": Code("The interval lies outside of what the claim says.", "Read its protocol: sizes, data and rule."),
}
"""What an answer says of the rate in use (`yours.verdict`), `compare` of a policy, a study of a claim."""

EXCEPTIONS: dict[str, Code] = {
    "EtastarError": Code("The base of all that etastar raises on purpose.", "Catch it to catch all of them."),
    "ProblemError": Code("The problem, an option or a file cannot be used as given.", "Do what its sentence says last."),
    "UserCodeRaised": Code(
        "Your own code raised an exception; it is the `__cause__`.",
        "Look at the file and line named (--traceback: all of it).",
    ),
    "StoreError": Code(
        "The store cannot be opened, read or written; it was left as it was.",
        "Pass another --store, or mend what the sentence names; what was trained meanwhile lies beside it and is taken in.",
    ),
    "MissingExtra": Code("An optional package is needed.", "Run the pip command of its sentence."),
    "NoAnswer": Code("A value was required of an estimate that has none.", "Ask `.ok` first, or explain its status."),
}
"""What is raised on purpose; each message says got, expected, do this."""

EXIT_CODES: dict[str, Code] = {
    "0": Code("Answered.", "Nothing."),
    "1": Code("No answer, and the reason is printed.", "Explain the status that stands in it."),
    "2": Code("Bad input, in one sentence; nothing was measured with it.", "Do what the sentence says last."),
    "70": Code("A fault in etastar.", "Please report it, with the traceback that was printed."),
    "130": Code("Interrupted (128 + the signal).", "Run the same command again: what was trained is kept."),
}
"""What a command leaves with."""

CODES: dict[str, Mapping[str, Code]] = {
    "flag": FLAG_CODES,
    "status": STATUSES,
    "ending": ENDINGS,
    "verdict": VERDICTS,
    "exception": EXCEPTIONS,
    "exit code": EXIT_CODES,
}
"""kind -> word -> what it says."""


class Explained(NamedTuple):
    """A code with its kind: one word may be of several kinds."""

    kind: str
    name: str
    says: str
    then: str


def explain(code: str | None = None) -> list[Explained]:
    """All codes, or what `code` means in each kind that has it; case, blanks and hyphens do not matter.

    Raises:
        ProblemError: there is no such code.

    >>> [(found.kind, found.says[:24]) for found in explain("Edge of range")]
    [('flag', "The best trial's rate li"), ('status', 'The best rate, or the ed')]
    """
    rows = [Explained(kind, name, *row) for kind, table in CODES.items() for name, row in table.items()]
    if code is None:
        return rows
    found = [row for row in rows if _key(row.name) == _key(code)]
    if not found:
        near = get_close_matches(_key(code), [_key(row.name) for row in rows], n=1)
        known = f"{near[0]}, or another" if near else "one"
        raise ProblemError(f"the code is {shown(code)}; expected {known} of those that `etastar explain` lists")
    return found


def checked_verdict(verdict: str) -> None:
    """Raise `ValueError` if it is no verdict: an answer says nothing that nobody explains."""
    if verdict not in VERDICTS:
        raise ValueError(f"unknown verdict {verdict!r}; expected one of {sorted(VERDICTS)}")


def _key(name: str) -> str:
    return name.casefold().strip().replace(" ", "-").replace("_", "-")
