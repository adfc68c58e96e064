"""The checks of policies, probes and monitors fail on classes that are broken, each in its own way, and say how."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest
import torch

from etastar import Estimate, Sharpness
from etastar.errors import DoesNotApply
from etastar.policies.policy import Constant, Every
from etastar.probes.reading import Probe
from etastar.probes.start import starting_point
from etastar.problems import builder
from etastar.testing import check_monitor, check_policy, check_probe

# -- policies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """A reactive rule that keeps the contract; the classes below break it in one place each."""

    reads = ("loss",)

    def init(self, lr):
        return {"lr": lr, "lowest": torch.full_like(lr, torch.inf)}

    def step(self, seen, state):
        lowest = torch.minimum(state["lowest"], seen["loss"].nan_to_num(torch.inf))
        rate = torch.where(seen["loss"] > 1.2 * lowest, 0.5 * state["lr"], state["lr"])
        return rate, {"lr": state["lr"], "lowest": lowest}


class NotAValue(Good):
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


class NotFrozen(Good):
    __hash__ = None  # type: ignore[assignment]


class ForgetfulName(Good):
    def __repr__(self):
        return f"<policy at 0x{id(self):012x}>"


class ReadsTheSky(Good):
    reads = ("weather",)


class ReadsTooOften(Good):
    reads = (Every("loss", 0),)


class InPlace(Good):
    def step(self, seen, state):
        rate, new = super().step(seen, state)
        state["lowest"].copy_(new["lowest"])
        return rate, state


class Counts(Good):
    asked = itertools.count()

    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate * (1 + 1e-6 * next(self.asked)), new


class MixesLanes(Good):
    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate * (1 + 0.1 * (seen["loss"].nan_to_num(0).mean() > 1)), new


class OneForAll(Good):
    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate.reshape(-1)[:2], new


class Negative(Good):
    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate - 10.0, new


class Keeps(list):
    """No plain list, for one."""


class OddState(Good):
    def init(self, lr):
        return {**super().init(lr), "own": Sharpness()}

    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate, {**new, "own": state["own"]}


class ByPlace(Good):
    """Knows lanes by their place: those that are left are others'."""

    def step(self, seen, state):
        rate, new = super().step(seen, state)
        return rate * (1 + 0.01 * torch.arange(rate.numel()).reshape(rate.shape)), new


class SaysOtherwise(Constant):
    def rate(self, t, lr):
        return lr * (1 + 0.01 * t)


class NoPolicyOver(Constant):
    def over(self, steps):
        return steps  # type: ignore[return-value]


BROKEN_POLICIES = {
    NotAValue: "is not equal to it",
    NotFrozen: "cannot be hashed",
    ForgetfulName: "names an address",
    ReadsTheSky: "reads 'weather'; expected signals of loss",
    ReadsTooOften: "every 0 steps; expected an integer >= 1",
    InPlace: "changed the state it was given at step 0",
    Counts: "gave two rates for the same observation and state",
    MixesLanes: "gave a lane another rate among others than alone",
    OneForAll: r"gave rates of shape \(2,\)",
    Negative: "expected finite numbers >= 0",
    OddState: "holds a Sharpness",
    ByPlace: "gave a lane another rate among others than alone|once its lanes were reordered",
    SaysOtherwise: r"rate\(1, 0.1\) of .* is 0.101 and step gives 0.1",
    NoPolicyOver: "gave 80; expected a policy",
}


def test_a_policy_that_keeps_the_contract_passes():
    check_policy(Good())


@pytest.mark.parametrize(("broken", "how"), BROKEN_POLICIES.items(), ids=[broken.__name__ for broken in BROKEN_POLICIES])
def test_a_broken_policy_fails(broken, how):
    with pytest.raises(AssertionError, match=how):
        check_policy(broken())


def test_no_policy_at_all_fails():
    with pytest.raises(AssertionError, match="3 is no policy; expected `reads`"):
        check_policy(3)  # type: ignore[arg-type]


# -- probes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fine(Probe):
    """The norm of the gradient."""

    name = "fine"
    unit = "loss per parameter"
    meaning = "how long the gradient is"
    caveat = "it is only a norm"

    def read(self, point):
        value = float(point.gradient().norm())
        return self.found(value, value, value, n=point.samples, method="autograd")


class Moves(Fine):
    def read(self, point):
        with torch.no_grad():
            point.parameters[0].add_(1e-3)
        return super().read(point)


class LeavesGradients(Fine):
    def read(self, point):
        point.parameters[0].grad = None
        return super().read(point)


class SwitchesMode(Fine):
    def read(self, point):
        point.model.eval()
        return super().read(point)


class Wanders(Fine):
    calls = itertools.count()

    def read(self, point):
        value = float(next(self.calls))
        return self.found(value, value, value, n=point.samples, method="counting")


class Mute(Fine):
    def read(self, point):
        return self.refuse("no", n=point.samples)


class OtherSamples(Fine):
    def read(self, point):
        return replace(super().read(point), estimate=Estimate(1.0, 1.0, 1.0, n=1))


class Nameless(Fine):
    caveat = ""


BROKEN_PROBES = {
    Moves: "changed a parameter",
    LeavesGradients: "changed",
    SwitchesMode: "changed the modes of the model",
    Wanders: "read another value the second time",
    Mute: "the reason 'no'; expected a sentence",
    OtherSamples: "says n = 1; expected the point's",
    Nameless: "has no caveat",
}


def start():
    return starting_point(builder("digits-mlp")(width=4), 0, samples=16)


def test_a_probe_that_keeps_the_contract_passes():
    check_probe(Fine(), start)


@pytest.mark.parametrize(("broken", "how"), BROKEN_PROBES.items(), ids=[broken.__name__ for broken in BROKEN_PROBES])
def test_a_broken_probe_fails(broken, how):
    with pytest.raises((AssertionError, ValueError), match=how):
        check_probe(broken(), start)


# -- monitors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """How long every parameter is, and at which look."""

    every: int = 2
    name = "lengths"

    def init(self, setup, batch):
        return [0]

    def look(self, step, setup, state):
        rows = [(name, "length", float(p.detach().norm())) for name, p in setup.model.named_parameters()]
        return [*rows, ("", "looks", float(state[0]))], [state[0] + 1]


class Shrinks(Lengths):
    def look(self, step, setup, state):
        with torch.no_grad():
            next(setup.model.parameters()).mul_(0.99)
        return super().look(step, setup, state)


class BeginsWithEval(Lengths):
    def init(self, setup, batch):
        setup.model.eval()
        return [0]


class LeavesAHook(Lengths):
    def look(self, step, setup, state):
        setup.model.register_forward_hook(lambda module, args, z: None)
        return super().look(step, setup, state)


class Draws(Lengths):
    def look(self, step, setup, state):
        torch.rand(1)
        return super().look(step, setup, state)


class WritesToItsState(Lengths):
    def look(self, step, setup, state):
        rows, _ = super().look(step, setup, state)
        state[0] += 1
        return rows, state


class Recalls(Lengths):
    calls = itertools.count()

    def look(self, step, setup, state):
        return [("", "calls", float(next(self.calls)))], state


class SaysItTwice(Lengths):
    def look(self, step, setup, state):
        rows, state = super().look(step, setup, state)
        return [*rows, rows[0]], state


class ReadsTensors(Lengths):
    def look(self, step, setup, state):
        return [("", "zero", torch.zeros(()))], state


class SaysNotWhy(Lengths):
    def look(self, step, setup, state):
        raise DoesNotApply("no")


@dataclass(frozen=True)
class HidesASetting(Lengths):
    power: float = field(default=2.0, repr=False)


@dataclass(unsafe_hash=True)
class CanBeWrittenTo:
    every: int = 2
    name = "lengths"
    init, look = Lengths.init, Lengths.look


class NoLook:
    name, every = "none", 2

    def init(self, setup, batch):
        return None


BROKEN_MONITORS = {
    Shrinks: "changed a parameter",
    BeginsWithEval: "changed the modes of the model",
    LeavesAHook: "changed the hooks of the model",
    Draws: "changed torch's random state",
    WritesToItsState: "read other values the second time",
    Recalls: "read other values the second time",
    SaysItTwice: "read a quantity of a block twice",
    ReadsTensors: "two words and a float",
    SaysNotWhy: "says 'no'; expected a sentence that says why",
    CanBeWrittenTo: r"can be written to; expected @dataclass\(frozen=True\)",
    HidesASetting: r"the repr HidesASetting.* is not all its settings",
    NoLook: "expected objects with name, every, init and look",
}


def test_a_monitor_that_keeps_the_contract_passes():
    check_monitor(Lengths(), builder("digits-mlp")(width=4, batch_size=16))


@pytest.mark.parametrize(("broken", "how"), BROKEN_MONITORS.items(), ids=[broken.__name__ for broken in BROKEN_MONITORS])
def test_a_broken_monitor_fails(broken, how):
    with pytest.raises(AssertionError, match=how):
        check_monitor(broken(), builder("digits-mlp")(width=4, batch_size=16))
