"""What Sphinx is given: `record` quotes a benchmark, and the gallery's pictures are those of the answers' pages."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from tools.site.records import newest


class RecordDirective(SphinxDirective):
    """Rows, or lines, of the newest record of a benchmark, and a link to all of it."""

    required_arguments = 1
    option_spec: ClassVar[Any] = {
        "rows": directives.unchanged, "columns": directives.unchanged, "says": directives.unchanged
    }  # fmt: skip

    def run(self) -> list[nodes.Node]:
        """The quotation.

        Raises:
            ExtensionError: the record holds nothing of the kind.
        """
        name = self.arguments[0]
        try:
            record = newest()[name]
            parts = []
            if "rows" in self.options or "columns" in self.options:
                parts.append(record.quoted(self.options.get("rows", "."), self.options.get("columns", "")))
            if "says" in self.options:
                parts.append(record.said(self.options["says"]))
        except LookupError as error:
            raise self.error(str(error)) from error
        source = (
            f"[{record.title}](/generated/evidence/{record.folder.name}.md), {record.date}; again with `{record.command}`"
        )
        return self.parse_text_to_nodes("\n\n".join([*parts, source]))


def pictures(value: Any) -> list[bytes]:
    """The charts of an answer, or the one that `value` is, as PNG; none of anything else."""
    import altair as alt

    from etastar.reports.page import report
    from etastar.verbs.answer import Answer

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if isinstance(value, Answer):
            report(value, folder)
        elif isinstance(value, alt.TopLevelMixin):
            value.save(folder / "chart.png", scale_factor=2)
        return [path.read_bytes() for path in sorted(folder.glob("*.png"))]


def answers_pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """A scraper of sphinx-gallery: the charts that a script leaves behind, and those of its answers' pages."""
    from sphinx_gallery.scrapers import figure_rst

    seen = block_vars.setdefault("pictured", [])
    new = [value for value in block_vars["example_globals"].values() if not any(value is other for other in seen)]
    seen += new
    paths = []
    for picture in (picture for value in new for picture in pictures(value)):
        paths.append(Path(next(block_vars["image_path_iterator"])))
        paths[-1].write_bytes(picture)
    return "\n".join(figure_rst([str(path)], gallery_conf["src_dir"]) for path in paths)


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("record", RecordDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
