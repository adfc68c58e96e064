"""Every flag an answer can carry: its sentence, and what to do next. A flag qualifies an answer, it does not refuse one."""

from __future__ import annotations

from etastar.core.code import Code

FLAG_CODES: dict[str, Code] = {
    "wide-transition": Code(
        "Training turns into failing over more than 0.25 decade of rates, which is wide; read the interval.",
        "Take a rate below `eta_star_90`, at which nine of ten seeds train, and not the middle of the transition.",
    ),
    "fallback-loop": Code(
        "No engine could train this problem's lanes together; they run one by one (`etastar doctor` says why).",
        "The answer is the same and takes longer; remove what doctor names, or spread lanes with --workers or --on ray.",
    ),
    "islands": Code(
        "Some lanes trained well above eta* or failed well below it; they are treated as lapses, not as the edge.",
        "Look at the lanes in the report: failures far below eta* are mostly dead ReLUs, a bad start or bad batches.",
    ),
    "max-runs": Code(
        "The search stopped at its limit of runs before the interval was as narrow as asked for.",
        "Ask for less with a larger --within, or take the interval as it stands.",
    ),
    "time-limit": Code(
        "The search stopped at the time limit before the interval was as narrow as asked for.",
        "Run the same command again: what was trained is in the store, and it goes on from there.",
    ),
    "prior-quality": Code(
        "The lanes were so short that measuring adds little to what is known of the optimizer; spend more to know more.",
        "Plan more steps, or ask for --effort quick or thorough.",
    ),
    "not-bracketed": Code(
        "The best rate seen lies at the end of the rates that were run; the true one may lie further out on that side.",
        "Start nearer to it (--optimizer NAME:lr=...) or spend more, so that rates on both sides are run.",
    ),
    "flat": Code(
        "The loss hardly depends on the rate over more than 1.5 decades; any rate of the plateau will do.",
        "Nothing: take a rate from the middle of the plateau, and spend no more on it.",
    ),
    "flat-when-short": Code(
        "The loss of lanes shorter than the training hardly depends on the rate over more than 1.5 decades; over all steps "
        "one end of that plateau may be much better than the other.",
        "Run lanes of the full length: --effort thorough.",
    ),
    "late-overfitting": Code(
        "A lane nearly as long as the training ended above one of half its length: memorising sets in late. The rate is "
        "lower for it, and the interval reaches further down.",
        "Stop earlier, regularise, or get more data: that may be worth more than any rate; --effort thorough measures it.",
    ),
    "two-basins": Code(
        "Where short lanes end alike, a longer one at a high rate fell faster than training did before: there is a second "
        "basin that lower rates do not reach in time, and the recommended rate lies near it.",
        "Run lanes of the full length: --effort thorough.",
    ),
    "wide-plateau": Code(
        "The interval holds the middle of all rates that end about as low as the best, and is wider than asked for.",
        "Nothing: more runs would not narrow it; take any rate of the plateau.",
    ),
    "data-in-order": Code(
        "The training data come in one order, and short lanes saw only the beginning; later ones may want another rate.",
        "Shuffle (DataLoader(..., shuffle=True)), or run lanes of the full length: --effort thorough.",
    ),
    "one-seed": Code(
        "Each step of this optimizer is a search of its own, and its lanes end by luck: one seed does not tell which of the "
        "rates that train is best, so the interval spans all of them; --effort thorough trains more seeds.",
        "Ask for --effort thorough, or keep the rate in use if it lies in the interval.",
    ),
    "scored-on-training-loss": Code(
        "Without validation data lanes are scored on their training loss, which sees no overfitting.",
        "Pass valid= to Problem, or report.valid(loss=...) from a loop of your own.",
    ),
    "validated-on-part": Code(
        "Lanes are scored on one part of the validation data, 2,000 samples or a tenth of what they train on; rates that "
        "are close may rank otherwise on all of it.",
        "Nothing, unless two rates are so close that it matters: train both to their end.",
    ),
    "schedule-not-squeezed": Code(
        "Short lanes may have run the beginning of the schedule instead of all of its shape: it has no horizon (`over`), or "
        'the training loop reads neither report.steps nor report.lr (schedule="constant" says that it has none).',
        "Name a schedule with --schedule, read report.lr in your loop, or run full lanes: --effort thorough.",
    ),
    "schedule-from-optimizer": Code(
        "The schedule is the scheduler that optimizer(model) returned beside the optimizer, stepped as it says (where it "
        "says nothing: once an epoch in Lightning's dicts and lists, else at every step); its rates scale with the rate.",
        "Check with `etastar doctor` that it is the schedule you mean; pass schedule= to say another.",
    ),
    "schedule-unknown": Code(
        "The optimizer's groups carry initial_lr, left by a scheduler or a checkpoint: rates are taken from it, and no "
        "schedule is followed; pass schedule= if you train with one.",
        "Pass schedule= (--schedule), or make the optimizer without that scheduler.",
    ),
    "raised": Code(
        "In some lanes your code raised an exception; they count as failed, as diverged ones do.",
        "Read the first exception, printed with its file and line (--traceback shows all); rates at which it is raised "
        "are no candidates.",
    ),
    "monitor-refused": Code(
        "A monitor does not apply to this training and read nothing.",
        "Read its reason in the answer and leave that monitor away, or name another with --monitor.",
    ),
    "loop-ended-early": Code(
        "Your training loop returned before a lane's steps were over; such lanes say less than they seem.",
        "Let the loop run until report(...) returns False; report.steps is the length of the lane.",
    ),
    "loop-ignores-stop": Code(
        "Your training loop went on after report() had returned False; its cost counts what it really ran.",
        "Stop when report(...) returns False: `if not report(loss=loss): break`.",
    ),
    "half-of-eta-star": Code(
        "The rate was lowered to half of what still trains at the end of the steps.",
        "Take it; to know whether more is safe, run --effort thorough with more --steps.",
    ),
    "range-extended": Code(
        "The first range of rates did not contain the answer and was widened.",
        "Nothing; a rate in use that is nearer to the answer makes the next measurement cheaper.",
    ),
    "rows-at-the-edge": Code(
        "For some schedules, horizons or settings the best rate lies at an end of the range even after widening; they carry "
        "no best rate.",
        "Give those rows rates of their own: --rates LOW:HIGH:DECADES further out on that side.",
    ),
    "steep-above": Code(
        "Fewer seeds train within a factor of two above the best rate; the recommended rate lies half an octave below it.",
        "Take the recommended rate, or a schedule with a warm-up if you want to go higher.",
    ),
    "inputs-not-centred": Code(
        "The inputs have a large common mean; centring them is worth about a factor 2 of stable rate.",
        "Subtract the mean of the training inputs and measure again.",
    ),
    "inputs-badly-scaled": Code(
        "The inputs' mean square is far from 1; the stable SGD rate scales as its inverse.",
        "Divide by the standard deviation of the training inputs and measure again; the rate will move.",
    ),
    "targets-broadcast": Code(
        "The loss compares every output of a batch with every target: their shapes, such as [n, 1] and [n], broadcast to "
        "[n, n]. The network can learn nothing but the mean of the targets.",
        "Give both one shape: outputs.squeeze(-1) in the model, or targets[:, None] in the data; then measure again.",
    ),
    "eps-is-zero": Code(
        "The optimizer's eps is 0 in the type of some parameters (1e-8 is, in float16): where a gradient is 0 or tiny the "
        "update is 0 / 0, at any rate.",
        "Pass eps=1e-4 or more, or keep the parameters in float32 and compute under torch.autocast.",
    ),
    "not-reproducible": Code(
        "The same lane trained twice gave different losses; its stored lanes are not reused.",
        "Draw random numbers from torch's generators only, and look for counters, files or clocks the loss reads.",
    ),
    "loss-changes": Code(
        "The loss changes by itself as it is called (a counter, a running scale): every lane starts with it as it was "
        "passed, but losses of different steps do not compare, and thresholds come from its first calls.",
        "Pass loss_threshold= or accuracy_threshold=, or a loss that does not remember.",
    ),
    "shared-state": Code(
        "The model or the loss changes a variable outside of itself, which lanes share: a lane depends on those before it, "
        "and stored ones are not reused. Keep such a thing in the module, or in an object that is the loss.",
        "Make it a buffer of the module, or an attribute of an object that is passed as the loss.",
    ),
    "parts-in-eval": Code(
        "Part of the model stays in eval mode, as the model function left it (a frozen BatchNorm; a from_pretrained part); "
        "call .train() on it there if it should train.",
        "Call .train() in the model function, unless those parts are frozen on purpose.",
    ),
    "edge-of-range": Code(
        "The best trial's rate lies on the edge of the range searched; a better one may lie beyond it.",
        "Widen lr in the space, or leave it out: then the range is measured first.",
    ),
    "range-widened": Code(
        "The best rate lay on the edge of the first range, so the range was widened during the search.",
        "Nothing; a later search may begin with the wider range.",
    ),
    "span-not-interval": Code(
        "The interval is the span of rates of near-best trials, not a confidence interval; its coverage is not tested.",
        "Read it as `these rates did well`; `etastar find` gives an interval that is tested.",
    ),
    "prior-not-measured": Code(
        "Nothing was measured before the search; its range lies around the rate in use.",
        "Give lr a range in the space, or a problem of parts, which `find` can measure first.",
    ),
    "search-stopped": Code(
        "The search stopped at the time limit before all of its trials were trained.",
        "Run the same command again: the study goes on.",
    ),
    "unconfirmed": Code(
        "The search ended before its best trials were trained again on fresh seeds: its loss is that of the luckiest trial, "
        "too good on average.",
        "Run the same command again with more time: it trains the best three on fresh seeds.",
    ),
    "equal-steps": Code(
        "Trials of different batch sizes train equally many steps, not epochs: larger batches see (and cost) more samples.",
        "Compare batch sizes at equal samples by searching each with its own --steps.",
    ),
    "loss-of-the-batch": Code(
        "The loss depends on which samples share a batch, as contrastive losses do: trials of different batch sizes are "
        "compared on validation batches of one size.",
        "Nothing; or leave batch_size out of the space.",
    ),
    "reduction-unknown": Code(
        "Batches could not be cut, so it is not known whether the loss is a mean over samples; if it is not, the losses of "
        "different batch sizes do not compare.",
        "Leave batch_size out of the space, or use a loss that is a mean over samples.",
    ),
    "luckiest-cell": Code(
        "Each cell was trained on one seed, and the lowest of many such losses is low by luck, too: its rate may be a "
        "neighbour's equal and its loss is too good; raise --seeds.",
        "Raise --seeds to 3 or more.",
    ),
    "members-left-out": Code(
        "Some sizes lie outside the law's conditions or gave no answer; the law rests on the others.",
        "Measure sizes inside the conditions that the table names: width at least 16 x depth, four hidden layers or more.",
    ),
    "wide-interval": Code(
        "The interval spans more than a factor of 4; measure what is suggested next, or the target itself.",
        "Measure the member on the last line of the table, or the target with `find --effort glance`.",
    ),
    "criterion-too-easy": Code(
        "Networks meet the criterion untrained (or were trained before): it tells little, and eta* may come out far "
        "too high; pass a stricter loss_threshold or accuracy_threshold.",
        "Pass --threshold (an accuracy), or loss_threshold= to Problem.",
    ),
    "loss-starts-high": Code(
        "The first loss is far above an uninformed guess; a smaller output layer would train sooner.",
        "Scale down the initial weights of the output layer, or start it at zero.",
    ),
}
"""flag -> what it says, and what to do next; `etastar explain FLAG` prints both."""

FLAGS: dict[str, str] = {name: code.says for name, code in FLAG_CODES.items()}
"""Every flag an answer can carry, with its sentence."""


def checked_flags(flags: tuple[str, ...]) -> None:
    """Raise `ValueError` if one of them is no flag: an answer says nothing that nobody explains."""
    if unknown := set(flags) - FLAGS.keys():
        raise ValueError(f"unknown flags {sorted(unknown)}; expected some of {sorted(FLAGS)}")
