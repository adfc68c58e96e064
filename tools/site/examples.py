"""The examples as scripts of a gallery: a title over what each says of itself, and which of them are run."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
RUN = ("forecast_a_run", "from_checkpoint", "own_loop_controller", "watch_a_run")
"""What runs in seconds without an extra; each of the others says what it takes."""
TAKES = {
    "fine_tuning": "a problem for `etastar find examples/fine_tuning.py:problem`",
    "stability": "seven seconds; writes a chart, JSON and events of TensorBoard",
    "own_loop": "a problem for `etastar find examples/own_loop.py:problem`",
    "mlp_family": "a family for `etastar scale`; 45 seconds",
    "lightning_policy": "needs `etastar[lightning]`",
    "transformers_finetune": "needs `etastar[transformers]` and peft",
    "nanogpt": "trains for hours; needs a text",
    "resnet18_cifar": "trains for hours; needs CIFAR-10",
}
"""Why an example is shown without its output."""


def write(folder: Path) -> None:
    """Every example, with a heading of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.rst").write_text(
        "Examples\n========\n\nWhole scripts, from the folder ``examples`` of the repository. Those with output were run "
        "when this site was built.\n"
    )
    for path in sorted(FOLDER.glob("*.py")):
        (folder / path.name).write_text(script(path))


def script(path: Path) -> str:
    """The example under a title, with a note where it is not run.

    Raises:
        LookupError: nobody says whether it is run.
    """
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    name = path.stem
    if name not in RUN and name not in TAKES:
        raise LookupError(
            f"examples/{path.name} is in neither RUN nor TAKES of tools/site/examples.py; say whether it is run"
        )
    title = name.replace("_", " ").capitalize()
    note = "" if name in RUN else f".. note:: Not run here: {TAKES[name]}.\n\n".replace("`", "``")
    end = ast.parse(text).body[0].end_lineno or 1
    body = _rest(doc.replace("`", "``"))
    return f'"""\n{title}\n{"=" * len(title)}\n\n{note}{body}\n"""\n' + "\n".join(text.splitlines()[end:]) + "\n"


def _rest(doc: str) -> str:
    """Indented lines are commands, which reStructuredText shows as they are behind `::`."""
    return doc.replace("\n\n    ", "\n\n::\n\n    ", 1)
