"""`etastar scale`: parse, one call, print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from etastar import arguments
from etastar.cli.groups import FamilyOptions, PageOptions, RunOptions
from etastar.cli.options import number
from etastar.cli.spread import spread

DepthOption = Annotated[str, typer.Option(help="Hidden layers of the members, e.g. 4,8.")]
WidthOption = Annotated[str, typer.Option(help="Widths of the members, e.g. 128,256.")]
VaryOption = Annotated[
    list[str] | None, typer.Option(help="Another size, e.g. --vary batch_size=32,64; may be given several times.")
]
ToOption = Annotated[str, typer.Option(help="The target, e.g. depth=8,width=512.")]
MeasureOption = Annotated[str, typer.Option(help="eta-star (largest rate that trains) or best (best rate, by find).")]
EffortOption = Annotated[str, typer.Option(help="Of find, for --measure best: glance, quick or thorough.")]
PrecisionOption = Annotated[float, number("--precision", arguments.HALF_WIDTH, "Relative half-width of each member's eta*.")]
BudgetOption = Annotated[
    float | None, number("--budget", arguments.BUDGET, "Seconds the next member may take (default: what was spent).")
]
TransferOption = Annotated[bool, typer.Option("--transfer", help="Also compare the standard parametrisation with muP.")]
AnyShapeOption = Annotated[
    bool, typer.Option("--any-shape", help="No plain chain of layers (residual, normalised): allow narrow and shallow ones.")
]


@spread
def scale(
    *,
    family: FamilyOptions,
    to: ToOption,
    depth: DepthOption = "",
    width: WidthOption = "",
    vary: VaryOption = None,
    measure: MeasureOption = "eta-star",
    precision: PrecisionOption = 0.12,
    effort: EffortOption = "quick",
    budget: BudgetOption = None,
    transfer: TransferOption = False,
    any_shape: AnyShapeOption = False,
    run: RunOptions,
    out: PageOptions,
) -> None:
    """Measure small members, predict a larger one's rate. Or say why not."""
    from dataclasses import replace

    from etastar.problems.optimizers import parse_settings
    from etastar.verbs.scale.member_rate import PRECISION
    from etastar.verbs.scale.scale import scale as measure_and_predict

    console = out.console()
    axes, target = _axes(depth, width, vary or []), parse_settings(to, "to")
    options = run.options(console)
    name, make = family.load()
    with console:
        answer = measure_and_predict(
            make,
            axes=axes,
            to=target,
            measure=measure,
            precision=replace(PRECISION, half_width=precision),
            effort=effort,
            chain=not any_shape,
            budget=budget,
            transfer=transfer,
            name=name,
            seed=run.seed,
            options=options,
        )
    out.deliver_answer(console, answer, ok=answer.lr.ok)


def _axes(depth: str, width: str, vary: list[str]) -> dict[str, list[Any]]:
    """Every size with its values."""
    from etastar.errors import ProblemError

    axes: dict[str, list[Any]] = {}
    named = [("depth", depth, "--depth 4,8"), ("width", width, "--width 128,256")]
    for text in vary:
        name, equals, values = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ProblemError(f"--vary got {arguments.shown(text)}; expected name=values, e.g. --vary batch_size=32,64")
        named.append((name.strip(), values, f"--vary {name.strip()}=32,64"))
    for name, values, example in named:
        if not values.strip():
            continue
        if name in axes:
            raise ProblemError(f"{name} is given twice; give all of its values at once, e.g. {example}")
        axes[name] = [_number(part, name, example) for part in values.split(",") if part.strip()]
    return axes


def _number(text: str, name: str, example: str) -> int | float:
    from etastar.errors import ProblemError

    readers: list[Callable[[str], int | float]] = [int, float]
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    raise ProblemError(f"{name} got {arguments.shown(text.strip())}; expected numbers, e.g. {example}") from None
