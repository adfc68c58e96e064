"""Which charts and words belong to which kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate
from etastar.errors import ProblemError
from etastar.reports.charts import charts
from etastar.reports.content import Number, SectionText, Table, numbers, sections, tables
from etastar.reports.monitor_charts import monitor_charts, monitor_section
from etastar.reports.predict_page import predict_charts, predict_numbers, predict_sections, predict_tables
from etastar.reports.rate_charts import momentum_charts, sensitivity_charts
from etastar.reports.rate_content import (
    momentum_numbers,
    momentum_sections,
    momentum_tables,
    sensitivity_numbers,
    sensitivity_sections,
    sensitivity_tables,
)
from etastar.reports.scale_charts import scale_charts
from etastar.reports.scale_content import scale_numbers, scale_sections, scale_tables
from etastar.reports.search_charts import search_charts
from etastar.reports.search_content import search_numbers, search_sections, search_tables
from etastar.reports.surface_charts import surface_charts
from etastar.reports.surface_content import surface_numbers, surface_sections, surface_tables
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.predict.predict import PredictAnswer
from etastar.verbs.scale.scale_answer import ScaleAnswer
from etastar.verbs.search.search_answer import SearchAnswer
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer
from etastar.verbs.surface.surface_answer import SurfaceAnswer


@dataclass(frozen=True)
class Kind:
    """The parts of one kind of page.

    Args:
        main: the estimate without which there is no answer.
        charts: name -> chart.
        numbers, sections, tables: what it says.
    """

    main: Callable[[Any], Estimate]
    charts: Callable[[Any], dict[str, Any]]
    numbers: Callable[[Any], list[Number]]
    sections: Callable[[Any], list[SectionText]]
    tables: Callable[[Any], list[Table]]


def _lr(answer: Any) -> Estimate:
    return answer.lr


def _find_charts(answer: FindAnswer) -> dict[str, Any]:
    return {**charts(answer), **monitor_charts(answer.problem, answer.watched)}


def _find_sections(answer: FindAnswer) -> list[SectionText]:
    return [*sections(answer), *monitor_section(answer.watched)]


KINDS: dict[type, Kind] = {
    FindAnswer: Kind(_lr, _find_charts, numbers, _find_sections, tables),
    SurfaceAnswer: Kind(_lr, surface_charts, surface_numbers, surface_sections, surface_tables),
    SensitivityAnswer: Kind(_lr, sensitivity_charts, sensitivity_numbers, sensitivity_sections, sensitivity_tables),
    ScaleAnswer: Kind(_lr, scale_charts, scale_numbers, scale_sections, scale_tables),
    PredictAnswer: Kind(_lr, predict_charts, predict_numbers, predict_sections, predict_tables),
    SearchAnswer: Kind(_lr, search_charts, search_numbers, search_sections, search_tables),
    MomentumAnswer: Kind(_lr, momentum_charts, momentum_numbers, momentum_sections, momentum_tables),
}


def kind_of(answer: Any) -> Kind:
    """The parts of `answer`'s page.

    Raises:
        ProblemError: there is no page for it.
    """
    if (kind := KINDS.get(type(answer))) is None:
        names = ", ".join(cls.__name__ for cls in KINDS)
        raise ProblemError(f"got a {type(answer).__name__}; expected one of {names}: pass what a verb returned")
    return kind
