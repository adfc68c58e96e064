"""`report`: an answer as one self-contained HTML page, with its charts as pictures beside it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from etastar import arguments
from etastar.core.flags import FLAG_CODES
from etastar.errors import ProblemError
from etastar.reports.data_table import data_tables
from etastar.reports.kinds import kind_of
from etastar.reports.parts import Page
from etastar.version import __version__

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
"""The version Altair writes specs for, as vl-convert names it."""
PNG_SCALE = 2
LONGEST_VALUE = 32
"""Characters of a cell that is never broken: an interval and its words fit; a sentence left its neighbours no room."""


def report(answer: Any, directory: str | os.PathLike[str]) -> Path:
    """Write `answer` as `directory`/index.html, and each chart as PNG and SVG beside it.

    The page holds its scripts and data and fetches nothing; files of the same name are replaced.

    Args:
        answer: what `find`, `surface`, `sensitivity`, `momentum`, `predict`, `scale`, `search` or `run_study` returned, with
            or without a value.
        directory: a folder; made if it is not there.

    Returns:
        The path of index.html.

    Raises:
        ProblemError: the folder cannot be made or written; or there is no page for this kind of answer.
    """
    return write_page(page_of(answer), arguments.path("directory", directory, "report"))


@debug_mode(False)
def page_of(answer: Any) -> Page:
    """What the page of `answer` shows. A chart is checked once, when it is written: Altair's check of each part as it is
    made takes as long as everything else."""
    return kind_of(answer).page(answer)


def write_page(page: Page, directory: str | os.PathLike[str]) -> Path:
    """Write `page` as `directory`/index.html, and each chart as PNG and SVG beside it; returns the path of index.html.

    Raises:
        ProblemError: the folder cannot be made or written.
    """
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        specs = _specs(page)
        for name, spec in specs.items():
            svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
            (folder / f"{name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))
        index = folder / "index.html"
        index.write_text(render_page(page, specs), encoding="utf-8")
    except OSError as error:
        raise ProblemError(
            f"report folder is {str(folder)!r} ({error.strerror or error}); expected a folder that can be made and written "
            "to: choose another"
        ) from None
    return index


def render(answer: Any) -> str:
    """The HTML of a verb's answer."""
    page = page_of(answer)
    return render_page(page, _specs(page))


def _specs(page: Page) -> dict[str, dict[str, Any]]:
    """chart -> what Vega-Lite reads, checked against its schema."""
    return {name: chart.to_dict() for name, chart in page.charts.items()}


def render_page(page: Page, specs: dict[str, dict[str, Any]]) -> str:
    """The page's HTML. Text is escaped by Jinja; specs also as JSON in a script, where `<` would end it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["heading"] = heading
    return environment.get_template("page.html.j2").render(
        kind=page.kind,
        title=page.title,
        summary=page.summary,
        no_answer=page.no_answer,
        numbers=page.numbers,
        flags=page.flags,
        then={flag: FLAG_CODES[flag].then for flag, _ in page.flags if flag in FLAG_CODES},
        sections=_figures(page, specs),
        tables=page.tables,
        longest_value=LONGEST_VALUE,
        vega=vega_script() if specs else "",
        version=__version__,
    )


def heading(text: str) -> str:
    """What stands before a table in a log, as a page has it.

    >>> heading("at its own peak:"), heading("")
    ('At its own peak', '')
    """
    return text[:1].upper() + text[1:].removesuffix(":")


@cache
def vega_script() -> Markup:
    """Vega, Vega-Lite and vega-embed in one script without imports, in the specs' version."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return Markup(script.replace("</script", "<\\/script"))  # would end the element it is put in


def _figures(page: Page, specs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Sections with their charts; a section without any is left out."""
    found = []
    for section in page.sections:
        figures = [
            {
                "name": name,
                "label": f"Chart: {_title(specs[name])}",
                "caption": caption,
                "spec": htmlsafe_json_dumps(specs[name], allow_nan=False),
                "tables": data_tables(specs[name]),
            }
            for name, caption in section.captions.items()
            if name in specs
        ]
        if figures:
            found.append({"title": section.title, "text": section.text, "figures": figures})
    return found


def _title(spec: dict[str, Any]) -> str:
    """What stands above a chart."""
    title = spec.get("title", "")
    return title.get("text", "") if isinstance(title, dict) else title
