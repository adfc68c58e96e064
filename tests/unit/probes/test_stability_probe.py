"""The stability probe on what users bring: names, wrappers, narrow types, compiled and frozen parts, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import ProblemError
from etastar.probes.stability import StabilityProbe, blocks_of
from etastar.problems.resnet18 import ResNet18

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(32, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))


class Body(nn.Module):
    """Something composite."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fc2(torch.relu(self.fc1(x)))


class Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedder = Body()
        self.encoder = nn.Module()
        self.encoder.stages = nn.ModuleList([nn.Sequential(Body(), Body()), nn.Sequential(Body(), Body())])
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


class Wrapped(nn.Module):
    """As trainers hold a network: one child that has no rows."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Body()


def test_blocks_are_found_in_networks_of_every_kind():
    transformer = nn.Transformer(8, 2, 2, 2, 16, batch_first=True)
    assert blocks_of(ResNet18(8)()) == ("conv1", "bn1", *(f"blocks.{i}" for i in range(8)), "fc")
    assert blocks_of(Stages()) == (
        "embedder",
        *(f"encoder.stages.{i}.{j}" for i in (0, 1) for j in (0, 1)),
        "classifier.1",
    )
    assert blocks_of(Wrapped()) == ("net.fc1", "net.fc2") and blocks_of(nn.Linear(2, 2)) == ("",)
    assert blocks_of(transformer)[:3] == ("encoder.layers.0", "encoder.layers.1", "encoder.norm")
    assert blocks_of(nn.Sequential(Body(), nn.Linear(4, 2))) == ("0", "1")
    assert blocks_of(nn.Sequential(*(nn.Linear(2, 2) for _ in range(50))), most=3) == ("0", "24", "49")


def test_blocks_are_named_by_globs_that_do_not_reach_over_dots():
    net = ResNet18(8)()
    assert blocks_of(net, "blocks.[01], fc") == ("blocks.0", "blocks.1", "fc")
    assert blocks_of(net, ["blocks.*"]) == tuple(f"blocks.{i}" for i in range(8))


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ("layer*", r"no module is called 'layer\*'; expected names or globs of 0, 1, 2, 3, 4"),
        (["0", "nine"], "no module is called 'nine'; expected names or globs of 0, 1"),
        (3, "blocks is 3; expected names or globs of modules"),
        ([], r"blocks is \[\]; expected names or globs of modules"),
    ],
)
def test_names_that_match_nothing_are_refused_with_the_names_that_exist(blocks, sentence):
    with pytest.raises(ProblemError, match=sentence):
        StabilityProbe(mlp(), (X, Y), loss=F.cross_entropy, blocks=blocks)


class Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.names, self.fc = Names(), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.names(x)
        return self.fc(x)


class Names(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, int]:
        return {"samples": len(x)}


def test_what_cannot_be_read_is_refused_in_one_sentence():
    with pytest.raises(ProblemError, match="'names' returns a dict without a tensor of floating-point numbers"):
        StabilityProbe(Silent(), (X, Y), loss=F.cross_entropy).look()
    with pytest.raises(
        ProblemError, match=r"the loss has no gradient .* expected a loss with its graph, or gradients=False"
    ):
        StabilityProbe(mlp(), (X, Y), loss=lambda z, y: F.cross_entropy(z.detach(), y)).look()
    with pytest.raises(ProblemError, match="no block was called, of names; expected blocks the loss runs through"):
        StabilityProbe(Silent(), (X, Y), loss_fn=lambda m, b: F.cross_entropy(m.fc(b[0]), b[1]), blocks="names").look()
    with pytest.raises(ProblemError, match="expected exactly one of loss"):
        StabilityProbe(mlp(), (X, Y))
    with pytest.raises(ProblemError, match="no parameters; expected a network whose blocks have weights"):
        StabilityProbe(nn.ReLU(), (X, Y), loss=F.cross_entropy)
    forward = StabilityProbe(mlp(), (X, Y), loss=F.cross_entropy, gradients=False).look()
    probe = StabilityProbe(mlp(), (X, Y), loss=F.cross_entropy)
    with pytest.raises(ProblemError, match="a look has no gradients, and B is asked for; expected looks of a probe with"):
        probe.change(forward, probe.look())


def moved(model: nn.Module, probe: StabilityProbe):
    """What a step of .1 changes."""
    before = probe.look()
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).to(p.dtype)
    return probe.change(before, probe.look())


def test_wrapped_and_autocast_models_are_read_as_the_network_in_single_precision():
    plain, model = mlp(), mlp()
    expected = moved(plain, StabilityProbe(plain, (X, Y), loss=F.cross_entropy))
    probe = StabilityProbe(nn.DataParallel(model), (X, Y), loss=F.cross_entropy)
    with torch.autocast("cpu", torch.bfloat16):
        assert moved(model, probe) == expected


@pytest.mark.slow  # 5 s, to import the compiler
def test_compiled_models_and_parts_are_read_as_they_are_written():
    plain, whole, part = mlp(), mlp(), mlp()
    expected = moved(plain, StabilityProbe(plain, (X, Y), loss=F.cross_entropy))
    compiled = torch.compile(whole, backend="eager")
    assert moved(whole, StabilityProbe(compiled, (X, Y), loss=F.cross_entropy)) == expected
    part[2] = torch.compile(part[2], backend="eager")
    with torch.no_grad():
        part(X)
    found = moved(part, StabilityProbe(part, (X, Y), loss=F.cross_entropy))
    assert [b.forward for b in found.blocks] == [b.forward for b in expected.blocks]


def test_narrow_weights_are_read_in_single_precision_and_stay_where_they_are():
    model = mlp().bfloat16()
    probe = StabilityProbe(model, (X.bfloat16(), Y), loss=F.cross_entropy, split=True)
    places = [p.data_ptr() for p in model.parameters()]
    before = probe.look()
    assert before.passes[0].output.dtype == torch.float32
    with torch.no_grad():
        model[4].bias += 2**-9
    change = probe.change(before, probe.look())
    assert [b.forward for b in change.blocks][:2] == [0, 0] and 0 < change["4"].forward < 0.01
    assert [p.data_ptr() for p in model.parameters()] == places and model[0].weight.dtype == torch.bfloat16


def test_a_frozen_stem_has_a_signal_and_without_gradients_there_is_only_a():
    model = mlp()
    model[0].requires_grad_(False)
    full = moved(model, StabilityProbe(model, (X, Y), loss=F.cross_entropy))
    assert all(block.backward > 0 for block in full.blocks) and math.isnan(full["0"].gradient_cosine)
    model = mlp()
    forward = moved(model, StabilityProbe(model, (X, Y), loss=F.cross_entropy, gradients=False))
    assert [b.forward for b in forward.blocks] == [b.forward for b in full.blocks]
    assert all(math.isnan(block.backward) for block in forward.blocks)


class Ids(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(5, 4), nn.Linear(4, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.fc(self.embed(ids)).movedim(-1, 1)


def test_a_block_fed_with_ids_splits_forward_only_and_kl_is_over_classes():
    torch.manual_seed(0)
    model, ids = Ids(), torch.arange(24).reshape(4, 6) % 5
    probe = StabilityProbe(model, (ids, ids), loss=F.cross_entropy, split=True)
    q = F.log_softmax(model(ids).detach().double(), 1)
    change = moved(model, probe)
    p = F.log_softmax(model(ids).detach().double(), 1)
    assert change.kl == pytest.approx(float((p.exp() * (p - q)).sum(1).mean())) and change.kl > 0
    split = change["embed"].split
    assert split.own == change["embed"].forward > 0 and math.isnan(split.back_own) and change["fc"].split.back_above > 0


class Cache:
    """What a block writes to."""

    def __init__(self) -> None:
        self.keys: list[torch.Tensor] = []


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, cache: Cache) -> torch.Tensor:
        cache.keys.append(x)
        return self.fc(torch.stack(cache.keys).sum(0))


class Cached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Remembers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, Cache())


def test_a_block_that_is_given_what_it_writes_to_has_no_split():
    """Asked again it would say something else."""
    probe = StabilityProbe(Cached(), (X, Y), loss=F.cross_entropy, split=True, blocks="body, body.fc")
    change = probe.change(probe.look(), probe.look())
    assert change["body"].split is None and change["body"].forward == 0
    assert change["body.fc"].split.own == change["body.fc"].split.back_above == 0
