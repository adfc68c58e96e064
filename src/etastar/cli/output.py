"""What the command line prints: plan, progress, verdict, a short table. Facts come from answers; none are made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from etastar.cli.plain import PlainConsole, new_table

if TYPE_CHECKING:
    from etastar.core.estimate import Estimate
    from etastar.core.lane import Outcome
    from etastar.verbs.doctor import Diagnosis
    from etastar.verbs.find.find_answer import FindAnswer
    from etastar.verbs.probe import ProbeAnswer


class Console:
    """Progress goes to standard error, results to standard output (to standard error if JSON is there)."""

    def __init__(self, *, quiet: bool, json_on_stdout: bool) -> None:
        self._err = PlainConsole(stderr=True, quiet=quiet, highlight=False, emoji=False, soft_wrap=True)
        self._out = PlainConsole(stderr=json_on_stdout, quiet=quiet, highlight=False, emoji=False, soft_wrap=True)
        if not self._out.is_terminal:  # a log or a pipe has no width of its own
            self._out = PlainConsole(
                stderr=json_on_stdout, quiet=quiet, highlight=False, emoji=False, soft_wrap=True, width=160
            )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("lanes"))
        self._progress = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._err, transient=True,
            disable=quiet or not self._err.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("measuring", total=None)

    def __enter__(self) -> Console:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def plan(self, sentence: str, lanes: int) -> None:
        """The planned cost, before anything is trained."""
        self._err.say(f"plan: {sentence}")
        self._progress.update(self._task, total=lanes)

    def outcome(self, outcome: Outcome, new: bool) -> None:
        """One lane done."""
        self._progress.advance(self._task)

    def say(self, text: str) -> None:
        """One line."""
        self._out.say(text)

    def show(self, table: Table) -> None:
        """A table."""
        self._out.print(table)

    def show_find(self, answer: FindAnswer) -> None:
        """The verdict in one line, then a short table."""
        from etastar.reports.flags import flag_sentences

        self._out.say(f"{answer.problem}: {answer.summary}")
        if answer.lr.ok or answer.eta_star.ok:
            self._out.print(_find_table(answer))
        for flag, sentence in flag_sentences(answer.flags, answer.runs):
            self._out.say(f"  {flag}: {sentence}")
        self._out.say(cost_line(answer))

    def show_answer(self, answer: Any, tables: Sequence[Table]) -> None:
        """The verdict in one line, its tables, the flags, the cost."""
        from etastar.reports.flags import flag_sentences

        self._out.say(f"{answer.problem}: {answer.summary}")
        if answer.runs:
            for table in tables:
                self._out.print(table)
        for flag, sentence in flag_sentences(answer.flags, answer.runs):
            self._out.say(f"  {flag}: {sentence}")
        self._out.say(cost_line(answer))

    def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """One row per finding."""
        table = new_table(diagnosis.problem, ("", "what", "finding"))
        marks = {"ok": "ok", "note": "note", "warn": "WARN"}
        for finding in diagnosis.findings:
            table.add_row(marks[finding.level], finding.topic, finding.sentence)
        self._out.print(table)

    def show_probe(self, answer: ProbeAnswer) -> None:
        """The verdict, one row per reading, the convention, and what the numbers are not."""
        from etastar.verbs.probe import NOT_ETA_STAR

        self._out.say(f"{answer.problem}: {answer.summary}")
        if not answer.ok:
            return
        self._out.print(_probe_table(answer))
        for reading in answer.readings:
            if not reading.ok:
                self._out.say(f"  no {reading.name}: {reading.estimate.reason}")
        self._out.say(
            f"  loss: {answer.loss}; {answer.optimizer}, {answer.parameters:,} parameters, {answer.samples} samples, "
            f"seed {answer.seed}, {answer.dtype} on {answer.device}, {answer.seconds:.1f} s"
        )
        self._out.say(f"  {NOT_ETA_STAR}")

    def progress_line(self, text: str) -> None:
        """One line of a long work's progress."""
        self._err.say(text)

    def show_list(self, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
        """Names and what they stand for."""
        table = new_table(None, columns)
        for row in rows:
            table.add_row(row["name"], row["what"])
        self._out.print(table)

    def show_runs(self, store: str, rows: Sequence[dict[str, Any]]) -> None:
        """What the store holds."""
        if not rows:
            self._out.say(f"{store} holds no runs yet")
            return
        table = new_table(
            store, ("problem", "optimizer", "lanes", "trained", "diverged", "slow", "dead", "steps", "rates", "last")
        )
        for r in rows:
            counts = [f"{r[key]:,}" for key in ("lanes", "trained", "diverged", "slow", "dead", "gradient_steps")]
            name = r["name"] or r["id"][:8]
            table.add_row(name, r["optimizer"], *counts, f"{r['lr_low']:.3g} .. {r['lr_high']:.3g}", r["last"][:16])
        self._out.print(table)


def cost_line(answer: Any) -> str:
    """What an answer cost."""
    cost = answer.cost
    trained = f"{cost['new_gradient_steps']:,.0f} trained now, the rest came from the store"
    if cost["new_gradient_steps"] == cost["gradient_steps"]:
        trained = "all trained now"
    spent = cost.get("validation_steps", 0)
    validation = f" and validation worth {spent:,.0f}" if spent >= 0.5 else ""
    one = f" (one ordinary full run: {cost['full_run_seconds']:.1f} s)" if "full_run_seconds" in cost else ""
    return (
        f"  cost: {cost['gradient_steps']:,.0f} gradient steps{validation} = {cost['full_runs']:.3g} full runs ({trained}), "
        f"{cost['seconds']:.1f} s{one}; {len(answer.runs)} lanes; engine {answer.engine}"
    )


def _probe_table(answer: ProbeAnswer) -> Table:
    table = new_table(None, ("", "value", "error bound", "n", "rate", "what it says"))
    for r in answer.readings:
        e = r.estimate
        if e.value is None or e.low is None or e.high is None:
            continue
        table.add_row(r.name, f"{e.value:.3g}", _bound(e), str(e.n), f"{r.rate:.3g}" if r.rate else "", r.says)
    return table


def _bound(e: Estimate) -> str:
    """An error that is the same on both sides as a percentage, an interval as it is."""
    assert e.value is not None and e.low is not None and e.high is not None
    below, above = e.value - e.low, e.high - e.value
    if below == above == 0:
        return ""
    if e.value and abs(above - below) <= 1e-3 * above:
        return f"+- {100 * above / abs(e.value):.2g} %"
    return f"{e.low:.3g} .. {e.high:.3g}"


def _find_table(answer: FindAnswer) -> Table:
    table = new_table(None, ("", "rate", "90 % interval", "what it is"))
    band = answer.band
    rows: list[tuple[str, Estimate, str]] = [("recommended", answer.lr, answer.lr.method)]
    if answer.effort != "glance":
        rows.append(("eta*", answer.eta_star, f"half of fresh seeds start to train within {answer.steps_to_start} steps"))
    if band is not None and band.eta_star.ok:
        rows.append(("eta* 90 %", band.eta_star_90, "nine of ten do"))
    if answer.end is not None:
        rows.append(("eta* end", answer.eta_star_end, f"half of them still train at step {answer.steps_to_start}"))
    for name, estimate, what in rows:
        if estimate.ok:
            table.add_row(name, f"{estimate.value:.3g}", f"{estimate.low:.3g} .. {estimate.high:.3g}", what)
        else:
            table.add_row(name, "-", "", f"{estimate.status.value}: {estimate.reason}")
        if estimate is answer.lr and answer.best.plateau:
            low, high = answer.best.plateau
            table.add_row("plateau", f"{low:.3g} .. {high:.3g}", "", "expected within 0.05 nats or 1 % of the best loss")
    if answer.yours:
        table.add_row("yours", answer.facts.said(answer.yours.lr), "", answer.yours.verdict)
    groups = answer.lr_per_group
    if len(groups) > 1:
        for name, lr in groups:
            table.add_row(f"  {name}", f"{lr:.3g}", "", "recommended for this group" if lr else "frozen")
    return table
