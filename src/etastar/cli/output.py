"""What the command line prints: plan, progress, verdict, a short table. Facts come from answers; none are made here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from etastar.cli.heartbeat import Heartbeat
from etastar.cli.plain import PlainConsole, new_table

if TYPE_CHECKING:
    from etastar.core.codes import Explained
    from etastar.core.lane import Outcome
    from etastar.reports.parts import Table
    from etastar.verbs.answer import Answer
    from etastar.verbs.doctor import Diagnosis


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
        self.began = time.monotonic()
        """Before torch is imported and the problem's data read: a time limit counts them, too."""
        self._heartbeat = None if quiet or self._err.is_terminal else Heartbeat(self._err.say)

    def __enter__(self) -> Console:
        self._progress.start()
        if self._heartbeat:
            self._heartbeat.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()
        if self._heartbeat:
            self._heartbeat.stop()

    def note(self, sentence: str) -> None:
        """What is known before there is a plan."""
        self._err.say(sentence)

    def plan(self, sentence: str, lanes: int) -> None:
        """The planned cost, before anything is trained."""
        self._err.say(f"plan: {sentence}")
        self._progress.update(self._task, total=lanes)
        if self._heartbeat:
            self._heartbeat.planned(lanes)

    def outcome(self, outcome: Outcome, new: bool) -> None:
        """One lane done."""
        self._progress.advance(self._task)
        if self._heartbeat:
            loss = outcome.scored_loss
            self._heartbeat.done(f"lr {outcome.lane.lr:.3g}, " + ("diverged" if loss is None else f"loss {loss:.4g}"))

    def say(self, text: str) -> None:
        """One line."""
        self._out.say(text)

    def show(self, table: Table) -> None:
        """A table."""
        shown = new_table(table.title or None, table.head)
        for row in table.rows:
            shown.add_row(*row)
        self._out.print(shown)

    def show_answer(self, answer: Answer) -> None:
        """The verdict in one line, its tables and notes, the flags, the cost."""
        from etastar.reports.flags import codes_of, flag_sentences
        from etastar.reports.kinds import kind_of

        kind = kind_of(answer)
        self.say(f"{answer.problem}: {answer.summary}")
        for table in kind.short(answer):
            self.show(table)
        flags = flag_sentences(answer.flags, answer.runs)
        for line in (*kind.notes(answer), *(f"{flag}: {sentence}" for flag, sentence in flags), *kind.cost(answer)):
            self.say(f"  {line}")
        if words := codes_of(answer):
            self.say(f"  what to do next: etastar explain {' '.join(words)}")

    def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """One row per finding."""
        table = new_table(diagnosis.problem, ("", "what", "finding"))
        marks = {"ok": "ok", "note": "note", "warn": "WARN"}
        for finding in diagnosis.findings:
            table.add_row(marks[finding.level], finding.topic, finding.sentence)
        self._out.print(table)

    def progress_line(self, text: str) -> None:
        """One line of a long work's progress."""
        self._err.say(text)

    def show_list(self, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
        """Names and what they stand for."""
        table = new_table(None, columns)
        for row in rows:
            table.add_row(row["name"], row["what"])
        self._out.print(table)

    def show_codes(self, codes: Sequence[Explained], *, at_length: bool) -> None:
        """What each says and what to do next; without `at_length` a line each."""
        if at_length:
            for code in codes:
                self.say(f"{code.name} ({code.kind}): {code.says}")
                self.say(f"  next: {code.then}")
            return
        table = new_table(None, ("kind", "code", "what it says"))
        for code in codes:
            table.add_row(code.kind, code.name, code.says)
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
