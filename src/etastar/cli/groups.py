"""Options that commands share, as dataclasses that `spread` turns into options, with what each group is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from etastar.cli import options as of
from etastar.cli.outputs import check_outputs, deliver
from etastar.cli.standard_output import ON_STDOUT

if TYPE_CHECKING:
    from pathlib import Path

    from etastar.cli.output import Console
    from etastar.core.problem import Problem
    from etastar.verbs.options import Options


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """A problem that is looked at as it starts."""

    problem: of.ProblemArgument
    settings: of.SetOption = None
    optimizer: of.OptimizerOption = None

    def load(self) -> Problem:
        """The problem with the command line's changes."""
        from etastar.cli.load import load_problem

        return load_problem(self.problem, settings=",".join(self.settings or ()), optimizer=self.optimizer)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the command line changes in a problem that is trained."""

    settings: of.SetOption = None
    steps: of.StepsOption = None
    schedule: of.ScheduleOption = None
    optimizer: of.OptimizerOption = None
    threshold: of.ThresholdOption = None

    def changes(self) -> dict[str, Any]:
        """By the names `load` gives them."""
        others = {name: getattr(self, name) for name in ("steps", "schedule", "optimizer", "threshold")}
        return {"settings": ",".join(self.settings or ()), **others}


@dataclass(frozen=True, kw_only=True)
class ProblemOptions(Changes):
    """A problem that is trained."""

    problem: of.ProblemArgument

    def load(self) -> Problem:
        """The problem with the command line's changes."""
        return self.load_maker()[0]

    def load_maker(self) -> tuple[Problem, Callable[..., Problem] | None]:
        """The same, and what makes it with other arguments of its function."""
        from etastar.cli.load import load_maker

        return load_maker(self.problem, **self.changes())


@dataclass(frozen=True, kw_only=True)
class FamilyOptions(Changes):
    """A function of sizes that returns problems."""

    family: of.FamilyArgument

    def load(self) -> tuple[str, Callable[..., Problem]]:
        """Its name, and what makes the members."""
        from etastar.cli.load import load_family

        return load_family(self.family, **self.changes())


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How lanes are trained and kept: the same in every command that measures."""

    seed: of.SeedOption = None
    workers: of.WorkersOption = None
    device: of.DeviceOption = "auto"
    engine: of.EngineOption = "auto"
    on: of.OnOption = "here"
    ray_address: of.RayAddressOption = None
    max_seconds: of.MaxSecondsOption = None
    store: of.StoreOption = of.DEFAULT_STORE

    def options(self, console: Console) -> Options:
        """The verb's, with a store that can be used: what is wrong with it is said before the problem's data is read."""
        from etastar.store.database import check
        from etastar.verbs.options import Options

        given = {name: value for name, value in asdict(self).items() if name != "seed"}
        told = {"on_plan": console.plan, "on_outcome": console.outcome, "on_note": console.note}
        options = Options(**given, **told, since=console.began)
        check(self.store)
        return options


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where an answer goes."""

    json: of.JsonOption = None
    quiet: of.QuietOption = False

    def console(self) -> Console:
        """What the command prints on, once its outputs are known to be writable."""
        from etastar.cli.output import Console

        check_outputs(self.json, getattr(self, "report", None))
        return Console(quiet=self.quiet, json_on_stdout=self.json == ON_STDOUT)

    def deliver(self, console: Console, show: Callable[[], None], content: Callable[[], dict[str, Any]]) -> None:
        """Print, and write the JSON."""
        deliver(console, show, content, self.json)

    def deliver_answer(self, console: Console, answer: Any, *, ok: bool) -> None:
        """Print and write an answer, and leave with the exit code that says whether it is one."""
        report: Path | None = getattr(self, "report", None)
        deliver(console, lambda: console.show_answer(answer), answer.to_json, self.json, answer, report)
        raise typer.Exit(of.EXIT_ANSWERED if ok else of.EXIT_NO_ANSWER)


@dataclass(frozen=True, kw_only=True)
class PageOptions(OutputOptions):
    """Where an answer goes that has a page."""

    report: of.ReportOption = None
