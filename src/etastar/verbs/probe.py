"""`probe`: what a network says about its learning rate before any training: curvature, critical rate, noise."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from etastar import arguments
from etastar.core.groups import groups_of, in_words
from etastar.core.kept import undisturbed
from etastar.core.numerics import steady_numerics
from etastar.core.optimizers import SeveralOptimizers, optimizer_name
from etastar.core.problem import Problem
from etastar.errors import ProblemError, attributed
from etastar.probes.adam_one_shot import AdamOneShot
from etastar.probes.convention import convention
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.directional import GradientCurvature, UpdateCurvature
from etastar.probes.noise_scale import NoiseScale
from etastar.probes.point import Point
from etastar.probes.polyak_step import PolyakStep
from etastar.probes.reading import Probe, Reading
from etastar.probes.sharpness import GaussNewtonSharpness, PreconditionedSharpness, Sharpness
from etastar.probes.start import starting_point
from etastar.probes.update_ratios import UpdateRatios
from etastar.verbs.answer import Answer, Made, Yours
from etastar.verbs.options import Options, asked

SAMPLES = 512
TOLERANCE = 1e-2
NOT_ETA_STAR = (
    "None of these is eta*: each describes one step at initialisation, and sharpness changes many-fold in the next steps. "
    "eta* was seen between 1/25 and 50 times the edge; only short trainings measure it: etastar find"
)
OWN_LOOP = "a training loop of your own: etastar sees its losses only, not its model, loss and data"


@dataclass(frozen=True)
class YourRate(Yours):
    """The rate in use, judged: `verdict` is below-the-edge, below-eta_c, above-eta_c or unknown."""

    of_edge: float | None = None
    of_eta_c: float | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeAnswer(Answer):
    """What `probe` read; `answer["lambda1"]` is one reading.

    Args:
        readings: one per probe, also those that do not apply.
        yours: the rate in use, relative to the edge of stability and to eta_c; None if it is not known.
        loss: the loss and its reduction over samples.
        samples, parameters: numbers of them.
        device, dtype: of the measurement.
    """

    command = "probe"
    TOLD = ("readings", "yours", "loss", "caveat", "samples", "parameters", "device", "dtype")

    readings: tuple[Reading, ...]
    yours: YourRate | None
    loss: str
    samples: int
    parameters: int
    device: str
    dtype: str

    def __getitem__(self, name: str) -> Reading:
        for reading in self.readings:
            if reading.name == name:
                return reading
        raise KeyError(f"no reading {name!r}; there are {', '.join(r.name for r in self.readings)}")

    @property
    def caveat(self) -> str:
        """What none of the readings is."""
        return NOT_ETA_STAR

    @property
    def ok(self) -> bool:
        """Whether any reading has a value."""
        return any(r.ok for r in self.readings)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if not self.ok:
            return f"no reading: {self.readings[0].estimate.reason}"
        sharpness = self["lambda1"]
        text = f"lambda1 = {sharpness.value:.3g} ({self.loss}, n = {self.samples})" if sharpness.ok else "no lambda1"
        return f"{text}; {self.yours.sentence}" if self.yours else text


@attributed
def probe(
    problem: Problem,
    *,
    seed: int | None = None,
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> ProbeAnswer:
    """Read every probe at the initialisation of `seed`, on the first `samples` training samples; nothing is trained.

    Args:
        problem: what to probe; the caller's objects and random state are as before.
        seed: None: the problem's own.
        samples: training samples, or all there are in one epoch.
        tolerance: relative error of the eigenvalues. The sampling error of 512 samples is larger than 1e-2.
        device: "auto", "cpu", "cuda" or "cuda:N".
        dtype: float64 for comparisons; None: the model's own.

    Raises:
        ProblemError: the problem or an argument cannot be used.
    """
    started = time.monotonic()
    seed, options = asked(problem, seed, Options(device=device))
    arguments.SAMPLES("samples", samples)
    arguments.TOLERANCE("tolerance", tolerance)
    if dtype is not None and dtype not in (torch.float32, torch.float64):
        raise ProblemError(f"dtype is {dtype!r}; expected torch.float32 or torch.float64")
    place = options.device
    probes = all_probes(tolerance)
    if problem.is_loop:
        return _of_loop(problem, probes, seed, place)
    if place.startswith("cuda"):
        torch.cuda.init()  # before random state is saved, so that CUDA's is, too
    with undisturbed(problem), steady_numerics():
        point = starting_point(problem, seed, samples=samples, device=place, dtype=dtype)
        loss = convention(point)
    readings = _read_all(point, probes)
    return ProbeAnswer(
        problem=problem.title,
        readings=readings,
        yours=_judge(point, {r.name: r for r in readings}),
        loss=loss,
        samples=point.samples,
        parameters=sum(p.numel() for p in point.parameters),
        device=place,
        dtype=str(point.parameters[0].dtype).removeprefix("torch."),
        made=Made(seed=seed, optimizer=optimizer_name(point.optimizer), cost={"seconds": time.monotonic() - started}),
    )


def all_probes(tolerance: float = TOLERANCE) -> tuple[Probe, ...]:
    """Every probe, in the order of a reader."""
    return (
        Sharpness(tolerance),
        GaussNewtonSharpness(tolerance),
        PreconditionedSharpness(tolerance),
        GradientCurvature(),
        UpdateCurvature(),
        CriticalRate(),
        AdamOneShot(),
        PolyakStep(),
        NoiseScale(),
        UpdateRatios(),
    )


def _read_all(point: Point, probes: tuple[Probe, ...]) -> tuple[Reading, ...]:
    readings: list[Reading] = []
    for each in probes:
        if isinstance(each, CriticalRate):  # the prediction has just been read: begin there
            predicted = next(r.rate for r in readings if r.name == UpdateCurvature.name)
            each = CriticalRate(guess=predicted or point.lr)
        readings.append(each(point))
    return tuple(readings)


def _judge(point: Point, readings: dict[str, Reading]) -> YourRate:
    lr, said = point.lr, in_words(point.lr, groups_of(point.optimizer), each=isinstance(point.optimizer, SeveralOptimizers))
    edge = readings[Sharpness.name].rate or readings[PreconditionedSharpness.name].rate
    eta_c = readings[CriticalRate.name]
    ratios = {"the edge": edge, "eta_c": eta_c.value}
    known = [f"{lr / rate:.2g} of {name} ({rate:.3g})" for name, rate in ratios.items() if rate]
    if not known:
        return YourRate(lr, "unknown", f"your {said} cannot be judged: neither an edge nor eta_c was found")
    if eta_c.value and lr > eta_c.value:
        verdict, text = "above-eta_c", "the first step on these samples raises the loss"
    elif edge and lr > edge:
        verdict, text = "below-eta_c", "beyond the quadratic edge, which networks often survive"
    else:
        verdict, text = "below-the-edge" if edge else "below-eta_c", "the first step is safe; later ones may not be"
    of = lambda rate: lr / rate if rate else None
    return YourRate(lr, verdict, f"your {said} is {' and '.join(known)}: {text}", of_edge=of(edge), of_eta_c=of(eta_c.value))


def _of_loop(problem: Problem, probes: tuple[Probe, ...], seed: int, device: str) -> ProbeAnswer:
    return ProbeAnswer(
        problem=problem.title,
        readings=tuple(each.refuse(OWN_LOOP) for each in probes),
        yours=None,
        loss="",
        samples=0,
        parameters=0,
        device=device,
        dtype="",
        made=Made(seed=seed, optimizer=problem.users_loop.optimizer, cost={"seconds": 0.0}),
    )
