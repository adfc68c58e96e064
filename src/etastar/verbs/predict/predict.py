"""`predict`: what the architecture and one batch say about the learning rate before any training, from safe to near."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch

from etastar import arguments
from etastar.core.estimate import Estimate, Status
from etastar.core.kept import undisturbed
from etastar.core.kinds import is_plain_sgd
from etastar.core.numerics import steady_numerics
from etastar.core.optimizers import optimizer_name
from etastar.core.problem import Problem
from etastar.engine.first_batches import input_flags
from etastar.errors import DoesNotApply, attributed
from etastar.probes.convention import convention
from etastar.probes.point import Point
from etastar.probes.relu_chain import ReluChain, relu_chain
from etastar.probes.start import starting_point
from etastar.verbs.answer import Answer, Made, Yours
from etastar.verbs.options import Options, asked
from etastar.verbs.predict.expected_rate import expected_eta_star
from etastar.verbs.predict.predictions import NAMES, SAFE_START, Prediction, all_rungs, refused, scaled
from etastar.verbs.predict.threshold import Threshold, descending, threshold
from etastar.verbs.probe import OWN_LOOP, SAMPLES


@dataclass(frozen=True, kw_only=True)
class PredictAnswer(Answer):
    """What `predict` says; `answer["kernel"]` is one rung.

    Args:
        lr: the rate to start from: the lowest of the safe starts, lower still if gradient descent does not descend at it.
        start: the rung it comes from; "" if there is none.
        eta_star: where eta* is expected, before it is measured.
        rungs: from widths alone to forward passes, also those that do not apply.
        threshold: a check of the predicted sharpness by a few steps of gradient descent that are taken back, or None.
        widths: of the plain ReLU chain; None where the network is none.
        yours: the rate in use: below, inside or above where eta* is expected, or unknown.
        loss, samples, parameters, device: of the measurement.
    """

    command = "predict"
    TOLD = (
        "lr", "start", "eta_star", "rungs", "threshold", "widths", "yours", "loss", "samples", "parameters", "device"
    )  # fmt: skip

    lr: Estimate
    start: str
    eta_star: Estimate
    rungs: tuple[Prediction, ...]
    threshold: Threshold | None
    widths: tuple[int, ...] | None
    yours: Yours | None
    loss: str
    samples: int
    parameters: int
    device: str

    def __getitem__(self, name: str) -> Prediction:
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise KeyError(f"no rung {name!r}; there are {', '.join(r.name for r in self.rungs)}")

    @property
    def ok(self) -> bool:
        """Whether there is a rate to start from."""
        return self.lr.ok

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if not self.lr.ok:
            return f"no rate to start from ({self.lr.status.value}): {self.lr.reason}"
        text = f"start from {self.lr.value:.3g} ({self.start})"
        e = self.eta_star
        if e.ok:
            text += f"; eta* is expected in {e.low:.2g} .. {e.high:.2g}, the best rate below it: etastar find measures both"
        return text

    @property
    def without_rate(self) -> dict[str, list[str]]:
        """{reason: names of the rungs that do not apply because of it}."""
        found: dict[str, list[str]] = {}
        for rung in self.rungs:
            if not rung.lr.ok and (rung.quantity is None or not rung.quantity.ok):
                found.setdefault(rung.lr.reason, []).append(rung.name)
        return found


@attributed
def predict(problem: Problem, *, seed: int | None = None, samples: int = SAMPLES, device: str = "auto") -> PredictAnswer:
    """Climb the ladder at the initialisation of `seed`, on the first `samples` training samples; nothing is trained.

    1. closed form from the widths; 2. the kernel of the inputs; 3. lambda1 as the optimizer sees it, and the curvature along
    its first update; 4. eta_c by forward passes; 5. Adam's one-shot rate; 6. the Cauchy step of gradient descent and, for
    contrast, one damped Newton-CG step. Groups' multipliers enter all of them. A rung that does not apply says why.

    Args:
        problem: any; the caller's objects and random state are as before.
        seed: None: the problem's own.
        samples: training samples, or all there are in one epoch.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ProblemError: the problem or an argument cannot be used.
    """
    started = time.monotonic()
    seed, options = asked(problem, seed, Options(device=device))
    arguments.SAMPLES("samples", samples)
    place = options.device
    if problem.is_loop:
        return _of_loop(problem, seed, place)
    if place.startswith("cuda"):
        torch.cuda.init()  # before random state is saved, so that CUDA's is, too
    with undisturbed(problem), steady_numerics():
        point = starting_point(problem, seed, samples=samples, device=place)
        loss = convention(point)
        try:
            chain: ReluChain | str = relu_chain(point)
        except DoesNotApply as why:
            chain = str(why)
    rungs = all_rungs(point, chain)
    checked = _to_check(point, rungs)
    check = threshold(point, checked) if checked else None
    lr, start = _settled(point, check, *safest(rungs))
    eta_star = expected_eta_star(point, chain, rungs, safest(rungs)[0].value)
    return PredictAnswer(
        problem=problem.title,
        lr=lr,
        start=start,
        eta_star=eta_star,
        rungs=rungs,
        threshold=check,
        widths=None if isinstance(chain, str) else chain.widths,
        yours=_judge(point.lr, lr, eta_star),
        loss=loss,
        samples=point.samples,
        parameters=sum(p.numel() for p in point.parameters),
        device=place,
        made=Made(
            seed=seed,
            optimizer=optimizer_name(point.optimizer),
            cost={"seconds": time.monotonic() - started},
            flags=tuple(input_flags(point.batch)),
        ),
    )


def _judge(lr: float | None, start: Estimate, eta_star: Estimate) -> Yours | None:
    """The rate in use against the start and the expected eta*."""
    if lr is None:
        return None
    if start.value is None:
        return Yours(lr, "unknown", "")
    of_start, text = lr / start.value, f"{lr / start.value:.2g} of the start"
    if eta_star.value is None or eta_star.low is None or eta_star.high is None:
        return Yours(lr, "unknown", text, of_start)
    verdict = "above" if lr > eta_star.high else "below" if lr < eta_star.low else "inside"
    return Yours(lr, verdict, f"{text}, {verdict} where eta* is expected", of_start, lr / eta_star.value)


def safest(rungs: tuple[Prediction, ...]) -> tuple[Estimate, str]:
    """The lowest of the safe starts and its rung: a network that starts flat does not stay so. At most half of eta_c."""
    found = [rung for rung in rungs if rung.role == SAFE_START and rung.lr.value]
    if not found:
        reasons = dict.fromkeys(rung.lr.reason for rung in rungs if rung.role == SAFE_START)
        return Estimate.none(Status.NOT_MEASURED, "; ".join(reasons)), ""
    lowest = min(found, key=lambda rung: rung.lr.value or math.inf)
    critical = next((rung.lr for rung in rungs if rung.name == "eta_c"), None)
    if critical is not None and critical.value and lowest.lr.value and critical.value < 2 * lowest.lr.value:
        return scaled(critical, 0.5, f"{critical.method}, halved", critical.n), "half of eta_c"
    return lowest.lr, lowest.name


def _settled(point: Point, check: Threshold | None, lr: Estimate, start: str) -> tuple[Estimate, str]:
    """The safest start, lowered where even a few steps of plain gradient descent at it raise the loss."""
    if lr.value is None or lr.low is None or check is None or check.below_descends:
        return lr, start
    value, halvings = descending(point, lr.value)
    text = f"halved {halvings} x until {check.steps} steps of gradient descent descend"
    return replace(lr, value=value, low=min(lr.low, value), method=f"{lr.method}; {text}"), f"{start}, {text}"


def _to_check(point: Point, rungs: tuple[Prediction, ...]) -> Prediction | None:
    """The rung whose sharpness is to be shown to be a threshold of gradient descent: that of the safest start."""
    _, start = safest(tuple(rung for rung in rungs if rung.role == SAFE_START))
    return next((r for r in rungs if r.name == start), None) if is_plain_sgd(point.optimizer) else None


def _of_loop(problem: Problem, seed: int, device: str) -> PredictAnswer:
    none = Estimate.none(Status.NOT_MEASURED, OWN_LOOP)
    return PredictAnswer(
        problem=problem.title,
        lr=none,
        start="",
        eta_star=none,
        rungs=tuple(refused(name, OWN_LOOP) for name in NAMES),
        threshold=None,
        widths=None,
        yours=_judge(problem.users_loop.lr, none, none),
        loss="",
        samples=0,
        parameters=0,
        device=device,
        made=Made(seed=seed, optimizer=problem.users_loop.optimizer, cost={"seconds": 0.0}),
    )
