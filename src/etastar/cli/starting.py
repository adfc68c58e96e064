"""`etastar doctor`, `probe` and `predict`: what a problem says as it starts; nothing is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from etastar import arguments
from etastar.cli.groups import OutputOptions, PageOptions, ProblemOptions, StartOptions
from etastar.cli.options import DeviceOption, SeedOption, number
from etastar.cli.spread import spread
from etastar.errors import ProblemError

SamplesOption = Annotated[
    int, number("--samples", arguments.SAMPLES, "Training samples to probe with (or all in one epoch).")
]
FieldOption = Annotated[
    bool,
    typer.Option(
        "--field",
        help="Train shortly at two rates instead, and follow every example's loss and gradient; --report draws it.",
    ),
]
ProbeSamplesOption = Annotated[
    int | None,
    number("--samples", arguments.SAMPLES, "Training samples to probe with (or all in one epoch): 512, with --field 96."),
]
Float64Option = Annotated[bool, typer.Option("--float64", help="Compute in double precision.")]


@spread
def doctor(*, problem: ProblemOptions, device: DeviceOption = "auto", out: OutputOptions) -> None:
    """Check a problem without measuring it. What is slow, badly scaled, frozen or not reproducible."""
    from etastar.verbs.doctor import doctor as examine

    console = out.console()
    diagnosis = examine(problem.load(), device=device)
    out.deliver(console, lambda: console.show_diagnosis(diagnosis), diagnosis.to_json)


@spread
def probe(
    *,
    problem: StartOptions,
    samples: ProbeSamplesOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    float64: Float64Option = False,
    field: FieldOption = False,
    out: PageOptions,
) -> None:
    """Read curvature, critical rate and noise at the start. Nothing is trained, but with --field."""
    from etastar.verbs.field import EXAMPLES, read_field
    from etastar.verbs.probe import SAMPLES
    from etastar.verbs.probe import probe as read

    console = out.console()
    if field and float64:
        raise ProblemError("--field trains in the model's own precision; drop --float64")
    if out.report is not None and not field:
        raise ProblemError("--report draws what --field follows; expected both, or --json for the readings at the start")
    chosen = problem.load()
    if field:
        followed = read_field(chosen, seed=seed, examples=samples or EXAMPLES, device=device)
        out.deliver_answer(console, followed, ok=True)
    import torch

    dtype = torch.float64 if float64 else None
    answer = read(chosen, seed=seed, samples=samples or SAMPLES, device=device, dtype=dtype)
    out.deliver_answer(console, answer, ok=answer.ok)


@spread
def predict(
    *,
    problem: StartOptions,
    samples: SamplesOption = 512,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    out: PageOptions,
) -> None:
    """Predict where to start and where eta* lies. From widths to forward passes; nothing is trained."""
    from etastar.verbs.predict.predict import predict as climb

    console = out.console()
    answer = climb(problem.load(), seed=seed, samples=samples, device=device)
    out.deliver_answer(console, answer, ok=answer.ok)
