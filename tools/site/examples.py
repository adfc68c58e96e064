"""The examples as scripts of a gallery: a title over what each says of itself, and which of them are run."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
SHOWN: dict[str, tuple[str, str]] = {
    "from_checkpoint": ("Is my rate still right, under way?", ""),
    "own_loop_controller": ("A policy in a loop of one's own", ""),
    "watch_a_run": ("Warned before it diverges", ""),
    "forecast_a_run": ("Forecast a run from two logs", ""),
    "stability": ("What a cyclic rate does inside", ""),
    "fine_tuning": ("Fine-tuning, frozen parts and groups", "a problem for `etastar find examples/fine_tuning.py:problem`"),
    "own_loop": ("A training script of one's own", "a problem for `etastar find examples/own_loop.py:problem`"),
    "mlp_family": ("A network in many sizes", "a family for `etastar scale`, which takes the better part of a minute"),
    "lightning_policy": ("Lightning", "needs `etastar[lightning]`"),
    "transformers_finetune": ("Transformers, LoRA", "needs `etastar[transformers]` and peft"),
    "nanogpt": ("A small GPT", "trains for hours, on a text"),
    "resnet18_cifar": ("ResNet-18 on CIFAR-10", "trains for hours, and needs the pictures"),
}
"""example -> its title, and what it would take; "" for what runs in seconds, without an extra, and is run."""
RUN = tuple(name for name, (_, takes) in SHOWN.items() if not takes)

HEAD = """Examples
========

Whole scripts, from the folder ``examples`` of the repository. Those with output were run when this site was built.
"""


def write(folder: Path) -> None:
    """Every example, with a heading of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.rst").write_text(HEAD)
    for path in sorted(FOLDER.glob("*.py")):
        (folder / path.name).write_text(script(path))


def script(path: Path) -> str:
    """The example under a title, with a note where it is not run.

    Raises:
        LookupError: nobody says whether it is run.
    """
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""
    if path.stem not in SHOWN:
        raise LookupError(
            f"examples/{path.name} is not in SHOWN of tools/site/examples.py; give it a title, say if it is run"
        )
    title, takes = SHOWN[path.stem]
    note = f".. note:: Not run here: {takes}.\n\n".replace("`", "``") if takes else ""
    end = ast.parse(text).body[0].end_lineno or 1
    body = _rest(doc.replace("`", "``"))
    return f'"""\n{title}\n{"=" * len(title)}\n\n{note}{body}\n"""\n' + "\n".join(text.splitlines()[end:]) + "\n"


def _rest(doc: str) -> str:
    """Indented lines are commands, which reStructuredText shows as they are behind `::`."""
    return doc.replace("\n\n    ", "\n\n::\n\n    ", 1)
