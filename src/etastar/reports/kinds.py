"""One registry: how each kind of answer is shown on a terminal and drawn on a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate
from etastar.errors import ProblemError
from etastar.reports.compare_page import compare_page, compare_tables
from etastar.reports.field_page import field_cost, field_notes, field_page, field_tables
from etastar.reports.flags import flag_sentences
from etastar.reports.monitor_rows import monitor_lines
from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.reports.psi_network_page import psi_network_notes, psi_network_page, psi_network_tables
from etastar.reports.psi_page import psi_notes, psi_page, psi_tables
from etastar.reports.rate_text import bound_sentence
from etastar.reports.schedule_page import schedule_notes, schedule_page, schedule_tables
from etastar.reports.terminal.cost import cost_lines
from etastar.reports.terminal.find import find_tables
from etastar.reports.terminal.forecast import forecast_cost, forecast_notes, forecast_tables
from etastar.reports.terminal.predict import predict_cost, predict_notes, predict_short
from etastar.reports.terminal.probe import probe_cost, probe_notes, probe_tables
from etastar.reports.terminal.response import momentum_tables, sensitivity_tables, surface_tables
from etastar.reports.terminal.scale import scale_tables
from etastar.reports.terminal.search import search_notes, search_tables
from etastar.verbs.compare.compare_answer import CompareAnswer
from etastar.verbs.field import FieldAnswer
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.forecast.forecast_answer import ForecastAnswer
from etastar.verbs.predict.predict import PredictAnswer
from etastar.verbs.probe import ProbeAnswer
from etastar.verbs.psi.fit_psi import PsiAnswer
from etastar.verbs.psi.train_psi import PsiNetworkAnswer
from etastar.verbs.scale.scale_answer import ScaleAnswer
from etastar.verbs.schedule import ScheduleAnswer
from etastar.verbs.search.search_answer import SearchAnswer
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer
from etastar.verbs.surface.surface_answer import SurfaceAnswer


def _nothing(answer: Any) -> list[Any]:
    return []


def _no_page(answer: Any) -> Page:
    pages = ", ".join(cls.__name__ for cls, kind in KINDS.items() if kind.page is not _no_page)
    raise ProblemError(f"got a {type(answer).__name__}; expected one of {pages}: pass what a verb returned")


@dataclass(frozen=True)
class Kind:
    """How one kind of answer is shown.

    Args:
        short: tables for the terminal.
        page: what its page shows; modules that draw are imported once one is asked for, since that takes half a second.
        notes: lines below the tables; cost: the last lines.
    """

    short: Callable[[Any], list[Table]]
    page: Callable[[Any], Page] = _no_page
    notes: Callable[[Any], list[str]] = _nothing
    cost: Callable[[Any], list[str]] = cost_lines


def _find(answer: FindAnswer) -> Page:
    from etastar.reports import charts as draw
    from etastar.reports import content as say
    from etastar.reports.monitor_charts import monitor_charts, monitor_section

    sections = [*say.sections(answer), *monitor_section(answer.watched)]
    charts = {**draw.charts(answer), **monitor_charts(answer.problem, answer.watched)}
    return verb_page(answer, say.numbers(answer), sections, say.tables(answer), charts)


def _surface(answer: SurfaceAnswer) -> Page:
    from etastar.reports import surface_charts as draw
    from etastar.reports import surface_content as say

    numbers, sections, tables = say.surface_numbers(answer), say.surface_sections(answer), say.surface_tables(answer)
    return verb_page(answer, numbers, sections, tables, draw.surface_charts(answer))


def _sensitivity(answer: SensitivityAnswer) -> Page:
    from etastar.reports import rate_charts as draw
    from etastar.reports import rate_content as say

    numbers, sections, tables = (
        say.sensitivity_numbers(answer),
        say.sensitivity_sections(answer),
        say.sensitivity_tables(answer),
    )
    return verb_page(answer, numbers, sections, tables, draw.sensitivity_charts(answer))


def _momentum(answer: MomentumAnswer) -> Page:
    from etastar.reports import rate_charts as draw
    from etastar.reports import rate_content as say

    numbers, sections, tables = say.momentum_numbers(answer), say.momentum_sections(answer), say.momentum_tables(answer)
    return verb_page(answer, numbers, sections, tables, draw.momentum_charts(answer))


def _scale(answer: ScaleAnswer) -> Page:
    from etastar.reports import scale_charts as draw
    from etastar.reports import scale_content as say

    numbers, sections, tables = say.scale_numbers(answer), say.scale_sections(answer), say.scale_tables(answer)
    return verb_page(answer, numbers, sections, tables, draw.scale_charts(answer))


def _search(answer: SearchAnswer) -> Page:
    from etastar.reports import search_charts as draw
    from etastar.reports import search_content as say

    numbers, sections, tables = say.search_numbers(answer), say.search_sections(answer), say.search_tables(answer)
    return verb_page(answer, numbers, sections, tables, draw.search_charts(answer))


def _predict(answer: PredictAnswer) -> Page:
    from etastar.reports import predict_page as draw
    from etastar.reports import predict_page as say

    numbers, sections, tables = say.predict_numbers(answer), say.predict_sections(answer), say.predict_tables(answer)
    return verb_page(answer, numbers, sections, tables, draw.predict_charts(answer))


def _forecast(answer: ForecastAnswer) -> Page:
    from etastar.reports.forecast_page import forecast_page

    return forecast_page(answer)


def verb_page(
    answer: Any,
    numbers: Sequence[Card],
    sections: Sequence[SectionText],
    tables: Sequence[Table],
    charts: Mapping[str, Any],
) -> Page:
    """The page of a verb's answer: its verdict, or why there is none, above what it shows."""
    main: Estimate = answer.lr
    no_answer = {"status": main.status.value, "reason": main.reason, "bound": bound_sentence(main)}
    return Page(
        kind="Learning rate report",
        title=answer.problem,
        summary=answer.summary,
        numbers=numbers,
        flags=flag_sentences(answer.flags, answer.runs),
        sections=sections,
        tables=tables,
        charts=charts,
        no_answer=None if main.ok else no_answer,
    )


KINDS: dict[type, Kind] = {
    FindAnswer: Kind(find_tables, _find, notes=lambda answer: [*answer.advice, *monitor_lines(answer.watched)]),
    SurfaceAnswer: Kind(surface_tables, _surface),
    SensitivityAnswer: Kind(sensitivity_tables, _sensitivity),
    MomentumAnswer: Kind(momentum_tables, _momentum),
    ScaleAnswer: Kind(scale_tables, _scale),
    CompareAnswer: Kind(compare_tables, compare_page),
    SearchAnswer: Kind(search_tables, _search, search_notes),
    PredictAnswer: Kind(predict_short, _predict, predict_notes, predict_cost),
    ForecastAnswer: Kind(forecast_tables, _forecast, forecast_notes, forecast_cost),
    ProbeAnswer: Kind(probe_tables, notes=probe_notes, cost=probe_cost),
    FieldAnswer: Kind(field_tables, field_page, field_notes, field_cost),
    PsiAnswer: Kind(psi_tables, psi_page, psi_notes),
    PsiNetworkAnswer: Kind(psi_network_tables, psi_network_page, psi_network_notes),
    ScheduleAnswer: Kind(schedule_tables, schedule_page, schedule_notes, cost=_nothing),
}


def kind_of(answer: Any) -> Kind:
    """How `answer` is shown; what is no answer has no page."""
    return KINDS.get(type(answer)) or Kind(_nothing)
