"""`run_study`: measure what is not yet in the record, conclude, and write the record and the page."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from etastar import arguments
from etastar.core.estimate import Estimate
from etastar.core.told import told
from etastar.engine.ray.connection import check_address
from etastar.errors import ProblemError
from etastar.reports.kinds import KINDS, Kind
from etastar.reports.page import write_page
from etastar.studies import STUDIES
from etastar.studies.bench import Bench, OutOfTime
from etastar.studies.claim import Conclusion
from etastar.studies.page import claim_tables, cost_lines, readme, study_page
from etastar.studies.record import STATES, Row, StudyRecord, row_id
from etastar.studies.study import Findings, Setting, Study
from etastar.verbs.answer import Answer, Made, environment
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace
from etastar.version import __version__

Say = Callable[[str], None]


class NumberTold(NamedTuple):
    """A number beside the claims, and what it is."""

    name: str
    what: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class StudyAnswer(Answer):
    """What a study found; `made.cost`: measured_now, cpu_seconds (of all rows, whenever measured), and of this run seconds
    and new_gradient_steps.

    Args:
        study, setting: what was asked.
        rows: measured, in the order of the plan.
        planned: how many there are in all.
        findings: conclusions, numbers, and what the page shows.
        folder: of record and page.
        command_line: that repeats it.
    """

    command = "study"
    TOLD = (
        "study.question", "study.source", "data", "setting.effort", "complete", "measured", "planned", "claims", "numbers",
        "folder",
    )  # fmt: skip

    study: Study
    setting: Setting
    rows: tuple[Row, ...]
    planned: int
    findings: Findings
    folder: Path
    command_line: str

    @property
    def data(self) -> str | None:
        """On what, in words; None where the study draws its own inputs."""
        return self.setting.data.in_words() if self.study.uses_data else None

    @property
    def measured(self) -> int:
        """How many of the measurements there are."""
        return len(self.rows)

    @property
    def claims(self) -> tuple[Conclusion, ...]:
        """The claims with their verdicts."""
        return self.findings.conclusions

    @property
    def numbers(self) -> tuple[NumberTold, ...]:
        """The numbers beside them."""
        return tuple(NumberTold(name, what, e) for name, e, what in self.findings.numbers)

    @property
    def complete(self) -> bool:
        """Whether everything planned was measured."""
        return len(self.rows) == self.planned

    @property
    def conclusions(self) -> tuple[Conclusion, ...]:
        """One a claim."""
        return self.findings.conclusions

    @property
    def summary(self) -> str:
        """The verdicts in one line."""
        parts = []
        for word in ("agrees", "differs", "cannot tell"):
            names = [c.claim.name for c in self.conclusions if c.verdict.value == word]
            if names:
                parts.append(f"{word}: {', '.join(names)}")
        cut = "" if self.complete else f"stopped after {len(self.rows)} of {self.planned} measurements; "
        return cut + "; ".join(parts)


KINDS[StudyAnswer] = Kind(claim_tables, study_page, cost=cost_lines)


def study_named(name: str) -> Study:
    """The study of this name.

    Raises:
        ProblemError: there is none.
    """
    if not isinstance(name, str) or name not in STUDIES:
        raise ProblemError(
            f"study is {arguments.shown(name)}; expected one of {', '.join(STUDIES)}: etastar study lists them"
        )
    place = import_module(f"etastar.studies.{name}")
    return getattr(place, "STUDY", None) or import_module(f"{place.__name__}.study").STUDY  # of a folder


def run_study(
    name: str,
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    effort: str = "full",
    seed: int = 0,
    problem: str | None = None,
    options: Options | None = None,
    say: Say | None = None,
) -> StudyAnswer:
    """Run a study, or go on with one that was stopped; what `out` already holds is not measured again.

    Args:
        name: one of `STUDIES`.
        out: folder of the record (config.toml, results.jsonl, environment.json, README.md) and the page (index.html).
        data: folder with the IDX files of an MNIST-like set, or with what the study's problem needs; scikit-learn's digits
            without.
        effort: "quick" or "full"; network_stability has "faithful", too.
        seed: of everything.
        problem: what is trained, of a study that has several: network_stability.
        options: store, workers, device, time limit.
        say: called with a line per measurement.

    Raises:
        ProblemError: unknown study, effort or problem, a cluster that cannot be reached, a folder that cannot be read or
            written, or that another process writes to.
    """
    study, options, say = study_named(name), options or Options(), say or (lambda _: None)
    arguments.path("out", out, name)
    arguments.instance("options", options, Options, "an etastar.Options, e.g. etastar.Options(workers=2)")
    if data is not None:
        arguments.path("data", data, "fashion-mnist")
    if data is not None and not study.uses_data:
        raise ProblemError(f"study {name} draws its own inputs; drop --data")
    if options.on == "ray":
        check_address(options.ray_address)
    arguments.word("effort", effort, study.efforts)
    problem = _problem_of(study, problem)
    setting = Setting(study.load(data, problem), effort, seed, problem)
    record = StudyRecord(out)
    with record.alone(), Workplace(replace(options, on_plan=None, on_note=None)) as place:
        bench = Bench(place, record.folder)
        rows, planned, now = _measure(study, setting, record, bench, say)
        findings = study.conclude(rows, setting)
        cost = {
            "measured_now": now,
            "new_gradient_steps": bench.new_gradient_steps,
            "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows), 1),
            "seconds": place.seconds,
        }
        where = {**environment(), "torch_threads": torch.get_num_threads()}
        command = _command(name, out, data, setting)
        answer = StudyAnswer(
            problem=name,
            study=study,
            setting=setting,
            rows=tuple(rows),
            planned=planned,
            findings=findings,
            folder=Path(out),
            command_line=command,
            made=Made(seed=seed, optimizer="", cost=cost, environment=where),
        )
        record.finish(rows, _config(answer), where, readme(answer))
        write_page(study_page(answer), answer.folder)
        if answer.complete:
            shutil.rmtree(answer.folder / STATES, ignore_errors=True)
        return answer


def _problem_of(study: Study, problem: str | None) -> str:
    if problem is None:
        return study.problems[0] if study.problems else ""
    if not study.problems:
        raise ProblemError(f"study {study.name} has no choice of problems; drop --problem")
    return arguments.word("problem", problem, study.problems)


def _measure(study: Study, setting: Setting, record: StudyRecord, bench: Bench, say: Say) -> tuple[list[Row], int, int]:
    """(rows known, number planned, number measured now)."""
    plan = list(study.plan(setting))
    digest = setting.data.digest if study.uses_data else None
    identities = [row_id(study.name, __version__, digest, setting.seed, m.key) for m in plan]
    known = sum(record.get(i) is not None for i in identities)
    minutes = study.minutes.get(setting.effort) if setting.problem in study.problems[:1] or not study.problems else None
    takes = f", about {minutes:g} min on two free cores" if minutes else ""
    on = f" on {setting.data.in_words()}" if study.uses_data else ""
    say(f"plan: {len(plan)} measurements{on}, {known} of them in {record.folder} already{takes if not known else ''}")
    rows, now, in_time = bench.rows, 0, True
    for index, (measurement, identity) in enumerate(zip(plan, identities, strict=True), 1):
        row = record.get(identity)
        if row is None and not in_time:
            continue
        if row is None:
            try:
                bench.check_time()
                row = _timed(measurement.run, bench, {"id": identity, **measurement.key})
            except OutOfTime:
                in_time = False
                continue
            except ProblemError:
                if not bench.place.late():
                    raise
                in_time = False  # there was no time left to check the problem
                continue
            record.add(row)
            now += 1
            say(f"  [{index}/{len(plan)}] {measurement.label}: {row.get('said', 'done')}, {row['seconds']:.1f} s")
        rows.append(row)
    if not in_time:
        say(f"time limit: {len(plan) - len(rows)} measurements are left; the same command goes on")
    return rows, len(plan), now


def _timed(run: Callable[[Bench], Row], bench: Bench, key: Row) -> Row:
    wall, cpu = time.monotonic(), _cpu_seconds()
    result = run(bench)
    spent = {"seconds": round(time.monotonic() - wall, 2), "cpu_seconds": round(_cpu_seconds() - cpu, 2)}
    return {**key, **result, **spent}


def _cpu_seconds() -> float:
    """Of this process and of its workers, which have ended."""
    return sum(os.times()[:4])


def _config(answer: StudyAnswer) -> dict[str, Any]:
    claims = [told(c) for c in answer.study.claims]
    return {
        "study": answer.study.name,
        **({"problem": answer.setting.problem} if answer.setting.problem else {}),
        "effort": answer.setting.effort,
        "seed": answer.setting.seed,
        "data": answer.setting.data.in_words() if answer.study.uses_data else "",
        "data_digest": answer.setting.data.digest if answer.study.uses_data else "",
        **answer.study.declared,
        **{f"claim_{i}": " | ".join(map(str, claim.values())) for i, claim in enumerate(claims, 1)},
    }


def _command(name: str, out: Any, data: Any, setting: Setting) -> str:
    parts = ["etastar", "study", name, "--out", str(out)]
    parts += ["--data", str(data)] if data is not None else []
    parts += ["--problem", setting.problem] if setting.problem else []
    parts += ["--effort", setting.effort] if setting.effort != "full" else []
    parts += ["--seed", str(setting.seed)] if setting.seed else []
    return shlex.join(parts)
