"""What a screen reader meets on a page: headings in order, a name for every chart and table, the numbers of every chart."""

from __future__ import annotations

from html.parser import HTMLParser

import etastar
from etastar.reports.data_table import ROWS, data_tables
from etastar.reports.page import page_of, render


class Outline(HTMLParser):
    """Headings with their text, elements that scroll with their names, and how many tables follow which chart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[tuple[int, str]] = []
        self.scrolling: list[tuple[str, str | None, str | None]] = []
        self.order: list[str] = []
        self.empty = 0
        self._open: list[str] = []
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._text = ""
        if given.get("class") in ("chart", "table"):
            self.scrolling.append((given["class"] or "", given.get("aria-label"), given.get("tabindex")))
        if (given.get("id") or "").startswith("chart-") or given.get("class") == "data":
            self.order.append("chart" if tag == "div" else "numbers")

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), self._text.strip()))
        if tag == "th" and not self._text.strip():
            self.empty += 1


def test_a_page_can_be_walked_without_seeing_it() -> None:
    answer = etastar.predict(etastar.problems.builder("digits-mlp")(), samples=64)
    page = render(answer)
    found = Outline(page)
    levels = [level for level, _ in found.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and set(levels[1:]) == {2}, "one title, and no level left out"
    assert all(text for _, text in found.headings) and found.empty == 0
    assert all(label and place == "0" for _, label, place in found.scrolling), "what scrolls has a name and takes the focus"
    assert found.order == ["chart", "numbers"] * len(page_of(answer).charts)
    assert '<html lang="en">' in page and "<title>" in page


def test_the_numbers_of_a_chart_are_those_it_draws() -> None:
    answer = etastar.predict(etastar.problems.builder("digits-mlp")(), samples=64)
    (chart,) = page_of(answer).charts.values()
    (table,) = data_tables(chart.to_dict())
    column = table.head.index("lr")
    expected = [f"{rung.lr.value:.4g}" for rung in answer.rungs if rung.lr.value is not None]
    assert [row[column] for row in table.rows][: len(expected)] == expected
    many = data_tables({"data": {"values": [{"x": i} for i in range(1000)]}})[0]
    assert len(many.rows) == ROWS and (many.rows[0], many.rows[-1]) == (("0",), ("999",))
