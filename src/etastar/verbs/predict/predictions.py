"""The ladder of predictions, from widths alone to forward passes: each rung a rate, what it is for, when it holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from etastar.core.estimate import Estimate, Status
from etastar.core.kinds import is_plain_adam, is_plain_sgd
from etastar.core.numerics import steady_numerics
from etastar.errors import DoesNotApply
from etastar.probes.adam_one_shot import AdamOneShot
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.directional import UpdateCurvature
from etastar.probes.edge import edge_of
from etastar.probes.newton_step import CauchyStep, NewtonStep
from etastar.probes.point import Point
from etastar.probes.reading import Reading
from etastar.probes.relu_chain import ReluChain
from etastar.probes.sharpness import PreconditionedSharpness
from etastar.theory.kaiming import kaiming_sharpness, width_spread
from etastar.theory.kernel import relu_kernel, sharpness_of

SAFE_START, ONE_STEP, CONTRAST = "safe-start", "one-step-limit", "contrast"
MEANING = {
    SAFE_START: "a safe start as far as this rung sees; the lowest is used",
    ONE_STEP: "where one step stops helping; eta* may be far from it",
    CONTRAST: "for contrast with gradient descent",
}
KERNEL_SAMPLES = 512


@dataclass(frozen=True)
class Prediction:
    """One prediction.

    Args:
        name: of the rung.
        lr: the learning rate it gives, or the reason why there is none.
        role: "safe-start", "one-step-limit" or "contrast"; `MEANING` has the sentence.
        quantity: the number behind the rate, e.g. the sharpness; None where it is the rate itself.
        validity: when it holds, and how well.
        parts: further numbers by name, e.g. the loss before and after the step.
    """

    TOLD: ClassVar = ("name", "lr", "role", "says", "quantity", "validity", "parts")

    name: str
    lr: Estimate
    role: str
    validity: str
    quantity: Estimate | None = None
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """What it is good for."""
        return MEANING[self.role]


CLOSED_FORM, KERNEL, SHARPNESS = "closed form", "kernel", "lambda1"
VALIDITY = {
    CLOSED_FORM: "plain ReLU networks under SGD, He's initialisation; it does not know the inputs' alignment, 1/4 to 1",
    KERNEL: "plain ReLU networks under SGD; measured / predicted 0.75 - 1.5 at width >= 32 x depth, more when narrower",
    SHARPNESS: "any network, this initialisation; torch's default starts flat and sharpens many-fold in the first steps",
    "curvature along update": "any network and optimizer; exact on a quadratic, optimistic elsewhere",
    "eta_c": "any network and optimizer; the loss itself, not a model of it; one step only",
    "Adam one-shot": "Adam and AdamW; within 25 % of eta_c under squared error and width >= 256, 0.2 - 4 times it otherwise",
    "Cauchy step": "gradient descent, whatever your optimizer is; greedy, so not a rate to train with",
    "Newton step": "not a rate: how much further down one step of damped Newton-CG gets on the same batch",
}
NAMES = tuple(VALIDITY)
ROLES = {
    **dict.fromkeys((CLOSED_FORM, KERNEL, SHARPNESS), SAFE_START),
    **dict.fromkeys(("curvature along update", "eta_c", "Adam one-shot"), ONE_STEP),
    **dict.fromkeys(("Cauchy step", "Newton step"), CONTRAST),
}


def refused(name: str, reason: str, status: Status = Status.NOT_MEASURED) -> Prediction:
    """A rung that does not apply."""
    return Prediction(name, Estimate.none(status, reason), ROLES[name], VALIDITY[name])


def all_rungs(point: Point, chain: ReluChain | str) -> tuple[Prediction, ...]:
    """Every rung at `point`; `chain` is the plain ReLU chain there, or the sentence that says why there is none."""
    formulas = _formulas(point, chain)
    sharpness = _sharpness(point, PreconditionedSharpness()(point))
    along = UpdateCurvature()(point)
    critical = CriticalRate(guess=along.rate or point.lr)(point)
    return (
        *formulas,
        sharpness,
        _from_reading(along, along.rate),
        _from_reading(critical, critical.value),
        *(_from_reading(r, r.value) for r in (AdamOneShot()(point), CauchyStep()(point))),
        _newton(NewtonStep()(point)),
    )


def _formulas(point: Point, chain: ReluChain | str) -> tuple[Prediction, Prediction]:
    if not is_plain_sgd(point.optimizer):
        why = f"for SGD, whose steps the Hessian limits; those of {type(point.optimizer).__name__} have another metric"
        return refused(CLOSED_FORM, why), refused(KERNEL, why)
    if isinstance(chain, str):
        status = Status.OUTSIDE_THE_LAW
        return refused(CLOSED_FORM, chain, status), refused(KERNEL, chain, status)
    return _guarded(CLOSED_FORM, lambda: closed_form(chain)), _guarded(KERNEL, lambda: kernel(chain))


def closed_form(chain: ReluChain) -> Estimate:
    """lambda1 from widths, inputs' second moment, readout gain, the input layer's multiplier and the loss's curvature."""
    first, last = chain.layers[0], chain.layers[-1]
    others = {layer.multiplier for layer in chain.layers[1:]} or {first.multiplier}
    if len(others) > 1 or others == {0.0}:
        raise DoesNotApply(
            "layers behind the first have different rates, or none: the closed form knows the first layer's only"
        )
    rate = others.pop()
    gain = last.gain if chain.is_he else 2.0
    e = kaiming_sharpness(
        chain.widths,
        "mse_half",
        readout_gain=gain,
        input_multiplier=first.multiplier / rate if len(chain.layers) > 1 else 1.0,
        second_moment=chain.second_moment,
    )
    note = f"readout gain {gain:.2g}" if chain.is_he else "of He's network: the weights here are smaller or larger"
    return scaled(e, chain.curvature * rate, f"{e.method}; {note}", len(chain.inputs))


def kernel(chain: ReluChain) -> Estimate:
    """lambda1 (seen through the groups' multipliers) from the inputs' Gram matrix and the layers' own scales."""
    x = chain.inputs[:KERNEL_SAMPLES].double().cpu().numpy()
    with steady_numerics():
        return sharpness_of(relu_kernel(x, chain.layers), chain.curvature, width_spread(chain.widths))


def scaled(e: Estimate, factor: float, method: str, n: int) -> Estimate:
    """The estimate times a factor > 0."""
    value, low, high = (factor * x if x is not None else None for x in (e.value, e.low, e.high))
    return replace(e, value=value, low=low, high=high, method=method, n=n)


def _guarded(name: str, make: Callable[[], Estimate]) -> Prediction:
    try:
        quantity = make()
    except DoesNotApply as why:
        return refused(name, str(why), Status.OUTSIDE_THE_LAW)
    return Prediction(name, inverse(quantity), ROLES[name], VALIDITY[name], quantity)


def inverse(quantity: Estimate, factor: float = 1.0) -> Estimate:
    """factor / quantity as a learning rate; no value where the quantity is not positive."""
    if quantity.value is None:
        return replace(quantity, unit="learning rate", low=None, high=None)
    if not quantity.value > 0 or not math.isfinite(factor / quantity.value):
        return Estimate.none(Status.FLAT, "no direction curves upwards: no limit", n=quantity.n)
    if quantity.low is None or quantity.high is None or quantity.low <= 0:
        return Estimate.none(Status.FLAT, "its curvature is not told apart from zero: no limit", n=quantity.n)
    return Estimate(
        factor / quantity.value,
        factor / quantity.high,
        factor / quantity.low,
        quantity.level,
        "learning rate",
        quantity.n,
        quantity.method,
        cost=quantity.cost,
    )


def _sharpness(point: Point, reading: Reading) -> Prediction:
    """Half of the optimizer's edge: 1 / lambda1 for gradient descent; for momentum 1 / lambda1, too, since it builds up."""
    edge = edge_of(point.optimizer)
    if edge.factor is None:
        rung = refused(SHARPNESS, edge.formula)
        return replace(rung, quantity=reading.estimate)
    factor = edge.factor / 2 if is_plain_adam(point.optimizer) else 1.0
    return Prediction(SHARPNESS, inverse(reading.estimate, factor), SAFE_START, VALIDITY[SHARPNESS], reading.estimate)


def _from_reading(reading: Reading, rate: float | None) -> Prediction:
    name, e = reading.name, reading.estimate
    if e.value is None or rate is None:
        reason = e.reason or reading.says or "it gives no rate here"
        return refused(name, reason, e.status if e.value is None else Status.FLAT)
    if rate == e.value:
        return Prediction(name, e, ROLES[name], VALIDITY[name], None, dict(reading.parts))
    return Prediction(name, inverse(e, rate * e.value), ROLES[name], VALIDITY[name], e, dict(reading.parts))


def _newton(reading: Reading) -> Prediction:
    if not reading.ok:
        return refused(reading.name, reading.estimate.reason, reading.estimate.status)
    rung = refused(reading.name, reading.says)
    return replace(rung, quantity=reading.estimate, parts=dict(reading.parts))
