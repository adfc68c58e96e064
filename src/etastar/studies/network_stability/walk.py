"""A network that trains by a policy step by step, from the state that another arm left behind where the two begin alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.policies.compose import rate_of
from etastar.policies.policy import Policy, rates_over
from etastar.policies.trunk import chain_of
from etastar.studies.network_stability.networks import Halves, cross_entropy

DECAYS = (0.98, 0.99, 0.995)
"""Of the averages of the weights; 0.99 is the declared one, its horizon of 100 steps is at most a third of an arm."""
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Led:
    """How a lane of the study is led.

    Args:
        policy: its rates, of the halves "early" and "late".
        steps: its length.
        burn: the step from which it differs from the trunk.
        weight_decay: times the problem's own, from `burn` on.
        noise: share of labels drawn anew, from `burn` on; None is the problem's own.
        held: the late half stands, by turns of so many steps, at its weights of the trunk's steps `held_at`.
    """

    policy: Policy
    steps: int
    burn: int
    weight_decay: float = 1.0
    noise: float | None = None
    dwell: int = 0
    held_at: tuple[int, ...] = ()

    @property
    def trunk(self) -> Policy:
        """What leads it until `burn`."""
        return chain_of(self.policy, self.steps)[0][0]

    @property
    def links(self) -> list[tuple[str, int]]:
        """(what led it there, step) of the trunk's end and of every change of policy after it; the last is its own end."""
        own = (self.weight_decay, self.noise, self.dwell, self.held_at)
        said = "" if own == (1.0, None, 0, ()) else f" {own}"
        chain = chain_of(self.policy, self.steps)
        return [(repr(chain[0][0]), self.burn), *((f"{p!r}{said}", end) for p, end in chain if end > self.burn)]


@dataclass
class State:
    """A network under way.

    Args:
        step: optimizer steps taken.
        weights, buffers, optimizer: as they are.
        averages: decay -> the average of the weights since `burn`.
        objective: of every step's batch since the trunk's end, before the update; `averaged`: the same with the averages.
    """

    step: int
    weights: Weights
    buffers: Weights
    optimizer: dict[str, Any]
    averages: dict[float, Weights] = field(default_factory=dict)
    objective: list[float] = field(default_factory=list)
    averaged: dict[float, list[float]] = field(default_factory=dict)


class States:
    """States by what led to them: in a folder, so that a study that is stopped goes on, and arms share their trunks.

    Args:
        folder: where they lie; None keeps them in memory.
        named: what they are of: data, problem, sizes, versions.
    """

    def __init__(self, folder: Path | None, named: str) -> None:
        self.folder, self.named = folder, named
        self._memory: dict[str, State] = {}

    def find(self, seed: int, link: tuple[str, int]) -> State | None:
        """The state, if there is one that can be read."""
        key = self._key(seed, link)
        if self.folder is None:
            return self._memory.get(key)
        try:
            return State(**torch.load(self.folder / f"{key}.pt", weights_only=True))
        except (OSError, RuntimeError, EOFError, TypeError, ValueError, KeyError):
            return None

    def keep(self, seed: int, link: tuple[str, int], state: State) -> None:
        """Keep it."""
        key = self._key(seed, link)
        if self.folder is None:
            self._memory[key] = state
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f".{key}.part"
        torch.save(vars(state), half)
        half.replace(self.folder / f"{key}.pt")

    def _key(self, seed: int, link: tuple[str, int]) -> str:
        return hashlib.blake2b(repr((self.named, seed, link)).encode(), digest_size=12).hexdigest()


class Walk:
    """A network under way, with its optimizer.

    Args:
        halves: what is trained.
        seed: of weights, batches, noise and moves.
    """

    def __init__(self, halves: Halves, seed: int) -> None:
        self.halves, self.seed, self.step = halves, seed, 0
        self.begun = 0
        """The step from which it was trained here, and not by another arm."""
        with isolated_randomness():
            seed_everything(derive_seed(seed, "network"))
            self.net = halves.network().train()
        self.optimizer = halves.optimizer(halves.groups(self.net), 1.0)
        self._decays = [group["weight_decay"] for group in self.optimizer.param_groups]
        self.averages: dict[float, Weights] = {}
        self.objective: list[float] = []
        self.averaged: dict[float, list[float]] = {}
        self.angle: float | None = None

    @property
    def weights(self) -> Weights:
        """The parameters as they are, by name."""
        return {name: p.detach() for name, p in self.net.named_parameters()}

    def advance(self, rates: Any, noise: float, *, log: bool = False, read: bool = False, turned: bool = False) -> None:
        """One optimizer step at these rates.

        Args:
            log: keep the objective of the batch, which is the loss expected over the noise of its labels.
            read: and that of the averages, on the same batch.
            turned: measure the angle by which the matrices turn, on average.
        """
        x, noisy, labels = self.halves.batch_of(self.seed, self.step, noise)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_of(rates, group["name"]) if isinstance(rates, dict) else rates
        with torch.autocast("cpu", torch.bfloat16, enabled=self.halves.bf16):
            scores = self.net(x)
        if log:
            self.objective.append(float(cross_entropy(scores.detach(), labels, noise)))
        if read:
            for decay, own in self.averages.items():
                self.averaged.setdefault(decay, []).append(self._read(own, x, labels, noise))
        self.optimizer.zero_grad(set_to_none=True)
        cross_entropy(scores, noisy).backward()
        matrices = [p for p in self.net.parameters() if p.dim() > 1] if turned else []
        before = [p.detach().clone() for p in matrices]
        self.optimizer.step()
        if turned:
            self.angle = sum(map(_angle, before, matrices)) / len(matrices)
        for decay, own in self.averages.items():
            for name, p in self.weights.items():
                own[name].lerp_(p, 1 - decay)
        self.step += 1

    def scale_weight_decay(self, times: float) -> None:
        """Weight decay of so many times the problem's own, from here on."""
        for group, own in zip(self.optimizer.param_groups, self._decays, strict=True):
            group["weight_decay"] = times * own

    def average(self) -> None:
        """Begin the averages here."""
        self.averages = {decay: {name: p.clone() for name, p in self.weights.items()} for decay in DECAYS}

    @torch.no_grad()
    def put(self, weights: Weights) -> None:
        """Overwrite these parameters."""
        for name, p in self.net.named_parameters():
            if name in weights:
                p.copy_(weights[name])

    @torch.no_grad()
    def _read(self, weights: Weights, x: torch.Tensor, labels: torch.Tensor, noise: float) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.halves.bf16):
            return float(cross_entropy(scores_of(self.net, weights, x), labels, noise))

    def state(self) -> State:
        """As it is now."""
        copied = lambda tensors: {name: t.detach().clone() for name, t in tensors}
        optimizer = self.optimizer.state_dict()
        slots = {i: {k: _copied(v) for k, v in own.items()} for i, own in optimizer["state"].items()}
        return State(
            self.step,
            copied(self.net.named_parameters()),
            copied(self.net.named_buffers()),
            {"state": slots, "param_groups": optimizer["param_groups"]},
            {decay: copied(own.items()) for decay, own in self.averages.items()},
            list(self.objective),
            {decay: list(own) for decay, own in self.averaged.items()},
        )

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go on from there."""
        self.put(state.weights)
        for name, buffer in self.net.named_buffers():
            buffer.copy_(state.buffers[name])
        self.optimizer.load_state_dict(state.optimizer)  # which copies
        self.averages = {decay: {k: v.clone() for k, v in own.items()} for decay, own in state.averages.items()}
        self.step = self.begun = state.step
        self.objective = list(state.objective)
        self.averaged = {decay: list(own) for decay, own in state.averaged.items()}


def scores_of(net: nn.Module, weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """What the network says with other weights, with the statistics of this batch; its own buffers stay as they are."""
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    return functional_call(net, {**weights, **buffers}, (x,))


Looks = Mapping[int, Callable[["Walk"], None]]


def led(
    halves: Halves,
    seed: int,
    path: Led,
    states: States,
    shared: Collection[tuple[str, int]],
    *,
    check: Callable[[], None] = lambda: None,
    read: range = range(0),
    looks: Looks = MappingProxyType({}),
) -> Walk:
    """The network at the end of a path, from the last state that another path left on it.

    Args:
        shared: (what led there, step) of states that others go on from, too: they are kept.
        check: called at every step; raises where the time is over.
        read: steps at which averages of the weights are read, which begin at the trunk's end.
        looks: step -> what looks at the network before it.
    """
    kept = _kept_on(path, shared)
    walk = _begun(halves, seed, kept, states, before=min([path.steps - 1, *looks]))
    held = [_late(halves, state_at(halves, seed, Led(path.trunk, at, at), states).weights) for at in path.held_at]
    for step, rate in enumerate(rates_over(path.policy, halves.rate, path.steps)):
        if step < walk.step:
            continue
        check()
        forked = step >= path.burn
        if step == path.burn:
            walk.scale_weight_decay(path.weight_decay)
            if read:
                walk.average()
        if held and forked:
            walk.put(held[(step - path.burn) // path.dwell % len(held)])
        if step in looks:
            looks[step](walk)
        noise = path.noise if forked and path.noise is not None else halves.noise
        walk.advance(rate, noise, log=forked, read=step in read, turned=step == path.steps - 1)
        if step + 1 in kept:
            states.keep(seed, kept[step + 1], walk.state())
    return walk


def _kept_on(path: Led, shared: Collection[tuple[str, int]]) -> dict[int, tuple[str, int]]:
    """step -> the link of a state that is kept there."""
    first, kept = 0, {}
    for name, end in path.links:
        kept |= {step: (name, step) for own, step in shared if own == name and first < step <= end}
        first = end
    return kept


def _begun(halves: Halves, seed: int, kept: dict[int, tuple[str, int]], states: States, before: int) -> Walk:
    """From the last state that is there, not after step `before`."""
    walk = Walk(halves, seed)
    for step in sorted((step for step in kept if step <= before), reverse=True):
        if (state := states.find(seed, kept[step])) is not None:
            walk.restore(state)
            break
    return walk


def state_at(halves: Halves, seed: int, path: Led, states: States, *, read: range = range(0)) -> State:
    """The state at the end of a path, which is walked again where it is gone."""
    return states.find(seed, path.links[-1]) or led(halves, seed, path, states, (), read=read).state()


def _late(halves: Halves, weights: Weights) -> Weights:
    return {name: w for name, w in weights.items() if halves.is_late(name)}


def _angle(before: torch.Tensor, after: torch.Tensor) -> float:
    """Between two tensors, in radians; from the chord, which is exact where it is small."""
    a, b = (t.detach().flatten().double() for t in (before, after))
    a, b = a / a.norm().clamp_min(1e-30), b / b.norm().clamp_min(1e-30)
    return float(2 * torch.asin(((a - b).norm() / 2).clamp_max(1)))


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def by_tens(values: Sequence[float], each: int = 10) -> list[float]:
    """Means of every `each` values, one after the other.

    >>> by_tens([1.0, 3.0, 5.0, 7.0], each=2)
    [2.0, 6.0]
    """
    return [round(sum(values[i : i + each]) / each, 6) for i in range(0, len(values) - each + 1, each)]
