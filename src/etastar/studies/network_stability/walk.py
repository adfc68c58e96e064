"""A network that trains by a policy step by step, from the state that another arm left behind where the two begin alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.policies.compose import rate_of
from etastar.policies.policy import rates_over
from etastar.studies.network_stability.networks import Halves, cross_entropy
from etastar.studies.network_stability.states import Led, State, States, Weights

DECAYS = (0.98, 0.99, 0.995)
"""Of the averages of the weights; 0.99 is the declared one, its horizon of 100 steps is at most a third of an arm."""


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


Shared = Collection[tuple[str, int]]
"""(what led there, step) of states that others go on from, too."""
Looks = Mapping[int, Callable[["Walk"], None]]


def led(
    halves: Halves,
    seed: int,
    path: Led,
    states: States,
    shared: Shared,
    *,
    check: Callable[[], None] = lambda: None,
    read: range = range(0),
    looks: Looks = MappingProxyType({}),
) -> Walk:
    """The network at the end of a path, from the last state that another path left on it.

    Args:
        shared: states that are kept.
        check: called at every step; raises where the time is over.
        read: steps at which averages of the weights are read, which begin at the trunk's end.
        looks: step -> what looks at the network before it.
    """
    kept = _kept_on(path, shared)
    trunks = [Led(path.trunk, at, at) for at in sorted(path.held_at)]  # each goes on from the one before
    late = {own.steps: _late(halves, state_at(halves, seed, own, states, shared).weights) for own in trunks}
    held = [late[at] for at in path.held_at]
    walk = _begun(halves, seed, kept, states, before=min([path.steps - 1, *looks]))
    for step, rate in enumerate(rates_over(path.policy, halves.rate, path.steps)):
        if step < walk.step:
            continue
        check()
        forked = step >= path.burn
        if step == path.burn:
            walk.scale_weight_decay(path.weight_decay)
            if path.forgotten:
                walk.optimizer.state.clear()
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


def _kept_on(path: Led, shared: Shared) -> dict[int, tuple[str, int]]:
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


def state_at(halves: Halves, seed: int, path: Led, states: States, shared: Shared = (), *, read: range = range(0)) -> State:
    """The state at the end of a path, which is walked again where it is gone."""
    return states.find(seed, path.links[-1]) or led(halves, seed, path, states, shared, read=read).state()


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
