"""`Study`: a question, claims declared beforehand, what is measured for them, and how it is concluded and shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from etastar.arguments import SEED
from etastar.core.estimate import Estimate
from etastar.core.randomness import derive_seed
from etastar.reports.parts import SectionText, Table
from etastar.studies.bench import Bench
from etastar.studies.claim import Claim, Conclusion
from etastar.studies.data import StudyData, load_data
from etastar.studies.record import Row

EFFORTS = ("quick", "full")


@dataclass(frozen=True)
class Setting:
    """What the user chose.

    Args:
        data: what is trained on.
        effort: "quick" (seconds to a minute: does it work?) or "full" (what the conclusions are meant for), or what else the
            study has.
        seed: of everything.
        problem: one of the study's, where it has several.
    """

    data: StudyData
    effort: str = "full"
    seed: int = 0
    problem: str = ""

    def __post_init__(self) -> None:
        SEED("seed", self.seed)

    @property
    def full(self) -> bool:
        """Whether all of it is measured."""
        return self.effort == "full"

    def seed_of(self, *parts: int | str) -> int:
        """A seed for a purpose."""
        return derive_seed(self.seed, "study", *parts)


@dataclass(frozen=True)
class Measurement:
    """One row of the record.

    Args:
        key: what is measured, JSON-ready; part of the row and of its identity.
        run: measures it; the rest of the row, JSON-ready.
    """

    key: dict[str, Any]
    run: Callable[[Bench], Row]

    @property
    def label(self) -> str:
        """The key in words."""
        return " ".join(str(v) if isinstance(v, str) else f"{k} {v}" for k, v in self.key.items())


@dataclass(frozen=True)
class Findings:
    """What the rows say.

    Args:
        conclusions: one a claim, in the claims' order.
        numbers: (name, estimate, what it is) beside the claims.
        tables, sections, charts: of the page.
    """

    conclusions: tuple[Conclusion, ...]
    numbers: tuple[tuple[str, Estimate, str], ...] = ()
    tables: tuple[Table, ...] = ()
    sections: tuple[SectionText, ...] = ()
    charts: dict[str, Any] = field(default_factory=dict)


def images(folder: str | os.PathLike[str] | None, problem: str) -> StudyData:
    """What a study without problems of its own trains on; see `load_data`."""
    return load_data(folder)


@dataclass(frozen=True)
class Study:
    """A study.

    Args:
        name: on the command line; author2020topic for a paper's.
        title, question: first lines of its page.
        source: whose claims these are, and what is not theirs: protocol and numbers are ours.
        claims: declared before anything is measured.
        declared: further settings fixed beforehand, name -> JSON-ready value; written to config.toml.
        plan: what is measured.
        conclude: rows -> findings; a pure function, rows may be missing.
        uses_data: whether a data folder makes a difference.
        minutes: of an undisturbed run on two cores, by effort.
        efforts: that it can be run with.
        problems: it can be run on, the default first; none where it has but one.
        load: (data folder or None, problem) -> what is trained on.
    """

    name: str
    title: str
    question: str
    source: str
    claims: tuple[Claim, ...]
    declared: dict[str, Any]
    plan: Callable[[Setting], Sequence[Measurement]]
    conclude: Callable[[Sequence[Row], Setting], Findings]
    uses_data: bool = True
    minutes: dict[str, float] = field(default_factory=dict)
    efforts: tuple[str, ...] = EFFORTS
    problems: tuple[str, ...] = ()
    load: Callable[[Any, str], StudyData] = images
