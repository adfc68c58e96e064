"""What is trained: a network in two halves, its data, and batches, noise and moves that are functions of (seed, step)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.randomness import generator
from etastar.errors import ProblemError
from etastar.problems import cifar, digits
from etastar.problems.resnet18 import ResNet18
from etastar.studies.data import StudyData, digest_of

BLOCKS: dict[str, dict[str, tuple[str, ...]]] = {
    "resnet18": {
        "early.stem": ("conv1", "bn1"),
        "early.layer1": ("blocks.0", "blocks.1"),
        "early.layer2": ("blocks.2", "blocks.3"),
        "late.layer3": ("blocks.4", "blocks.5"),
        "late.layer4": ("blocks.6", "blocks.7"),
        "late.fc": ("fc",),
    },
    "letters": {
        "early.embedding": ("embed", "position"),
        "early.layer1": ("layers.0",),
        "early.layer2": ("layers.1",),
        "late.layer3": ("layers.2",),
        "late.layer4": ("layers.3",),
        "late.out": ("norm", "out"),
    },
    "digits-mlp": {"early.layer1": ("0",), "early.layer2": ("1",), "late.layer3": ("2",), "late.out": ("3",)},
}
"""problem -> half.block -> prefixes of the names of its parameters, in the order of the forward pass."""
PROBLEMS = tuple(BLOCKS)
EACH = 100
"""Pictures of each class in a subset, and in what is tested on."""
SUBSETS = 2
LONG, WINDOWS = 16, 2000
"""Letters of a window, and windows drawn from a text."""
LETTERS = 64
"""Code points from 33, capital letters among them; all others are one."""


@dataclass(frozen=True)
class Halves:
    """A network to train, and how; a batch is a pure function of (seed, step).

    Args:
        network: makes it.
        blocks: half.block -> prefixes of the names of its parameters; each is a parameter group.
        train, test: (inputs, labels).
        subsets: into so many parts, one after the other, the training samples are cut; a seed trains on one of them.
        rate: the high one.
        optimizer: of the parameter groups, with its weight decay.
        batch: samples.
        noise: share of the labels that are drawn anew at every step.
        moved: pictures are mirrored and moved at every step.
        bf16: training under autocast.
    """

    network: Callable[[], nn.Module]
    blocks: Mapping[str, tuple[str, ...]]
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    classes: int
    rate: float
    optimizer: Callable[[list[dict[str, Any]], float], torch.optim.Optimizer]
    subsets: int = 1
    batch: int = 32
    noise: float = 0.2
    moved: bool = False
    bf16: bool = False

    def part(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The training samples of a seed."""
        inputs, labels = self.train
        each, own = len(labels) // self.subsets, seed % self.subsets
        return inputs[own * each : (own + 1) * each], labels[own * each : (own + 1) * each]

    def batch_of(self, seed: int, step: int, noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(inputs, labels with noise, labels) of a step."""
        inputs, labels = self.part(seed)
        index = torch.randperm(len(labels), generator=generator(seed, "batch", step))[: self.batch]
        x, y = inputs[index], labels[index]
        if self.moved:
            x = cifar.augmented(x, seed, step)
        return x, cifar.with_label_noise(y, self.classes, noise, seed, step), y

    def block_of(self, name: str) -> str:
        """The block that a parameter is in."""
        return next(b for b, own in self.blocks.items() if any(name == at or name.startswith(f"{at}.") for at in own))

    def is_late(self, name: str) -> bool:
        """Whether a parameter is in the late half."""
        return self.block_of(name).startswith("late.")

    def groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """The blocks as parameter groups; a rate of "late" is that of all blocks whose names begin with it."""
        named = [(self.block_of(name), p) for name, p in net.named_parameters()]
        return [{"params": [p for own, p in named if own == block], "name": block} for block in self.blocks]


def cross_entropy(scores: torch.Tensor, labels: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    """The mean cross-entropy expected over labels of which a share `noise` is drawn anew, from the scores [..., classes].

        (1 - s) CE(y) + s / C x sum over c of CE(c)

    >>> scores, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    >>> one, other = F.cross_entropy(scores, labels), F.cross_entropy(scores, 1 - labels)
    >>> torch.allclose(cross_entropy(scores, labels, 0.2), 0.9 * one + 0.1 * other)
    True
    """
    return F.cross_entropy(scores.flatten(0, -2).float(), labels.flatten(), label_smoothing=noise)


# -- data --------------------------------------------------------------------------------------------------------------


def load(folder: str | os.PathLike[str] | None, problem: str) -> StudyData:
    """What `problem` trains on.

    Raises:
        ProblemError: it needs a folder, or the folder does not hold what it should.
    """
    if problem == "resnet18":
        return _pictures(folder)
    if problem == "letters":
        return _letters(folder)
    if folder is not None:
        raise ProblemError(f"--problem {problem} trains on scikit-learn's digits; drop --data")
    train, test = digits.load()
    return StudyData("scikit-learn's digits", train, test, digest_of(train))


def _pictures(folder: str | os.PathLike[str] | None) -> StudyData:
    if folder is None:
        raise ProblemError(
            "--problem resnet18 trains on CIFAR-10's pictures; pass --data FOLDER with data_batch_1 .. 5 and test_batch "
            "(pickles, or .bin), or with an .npz of JPEG pictures"
        )
    train, test = cifar.read_cifar(folder, each=EACH * SUBSETS)
    shown = test.at(torch.arange(len(test.labels) // SUBSETS))
    return StudyData(
        f"CIFAR-10 pictures, {SUBSETS} class-balanced subsets",
        (train.images, train.labels),
        (shown.images, shown.labels),
        digest_of((train.images.float() / 255, train.labels)),
    )


def _letters(folder: str | os.PathLike[str] | None) -> StudyData:
    name, text = ("scikit-learn's descriptions of its data", _described()) if folder is None else _text_of(Path(folder))
    codes = torch.tensor([ord(c) - 32 for c in text.upper()], dtype=torch.int64)
    codes = torch.where((codes > 0) & (codes < LETTERS), codes, torch.zeros_like(codes))
    cut = len(codes) * 9 // 10
    if len(codes) - cut <= LONG:
        raise ProblemError(f"{name} has {len(codes):,} letters; expected at least {11 * LONG:,}: pass a longer text")
    train, test = (_windows(part, n) for part, n in ((codes[:cut], WINDOWS), (codes[cut:], WINDOWS // 4)))
    return StudyData(name, train, test, digest_of((train[0].float() / 100, train[1])))


def _windows(codes: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(letters [n, LONG], each one's next [n, LONG])."""
    windows = codes.unfold(0, LONG + 1, 1)
    windows = windows[torch.randint(len(windows), (n,), generator=generator(len(codes), "windows"))]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def _described() -> str:
    from sklearn import datasets

    made: Any = (
        datasets.load_breast_cancer, datasets.load_diabetes, datasets.load_digits, datasets.load_iris, datasets.load_wine
    )  # fmt: skip
    return "".join(load().DESCR for load in made)


def _text_of(folder: Path) -> tuple[str, str]:
    found = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not found:
        raise ProblemError(f"{folder} holds no text; expected a folder with a .txt file")
    try:
        return found[0].name, found[0].read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ProblemError(f"{found[0]} cannot be read ({error.strerror or error}); expected a text: get it again") from None


# -- networks ----------------------------------------------------------------------------------------------------------


def halves(problem: str, data: StudyData, *, width: int, side: int, bf16: bool = False) -> Halves:
    """The network of a problem in its halves.

    Args:
        width, side: of the ResNet: channels of its first stage, and pixels of its pictures.
        bf16: training under autocast.
    """
    if problem == "resnet18":
        pictures = [cifar.Pictures(*part).sized(side) for part in (data.train, data.valid)]
        train, test = cifar.standardised(*pictures)
        return Halves(
            ResNet18(width, data.classes),
            BLOCKS[problem],
            (train, data.train[1]),
            (test, data.valid[1]),
            data.classes,
            0.05,
            partial(_sgd, 0.05),
            SUBSETS,
            moved=True,
            bf16=bf16,
        )
    if problem == "letters":
        return Halves(Writer, BLOCKS[problem], data.train, data.valid, LETTERS, 0.003, partial(_adamw, 0.003), SUBSETS)
    net = partial(normed_mlp, (64, 128, 128, 128, 10))
    return Halves(net, BLOCKS[problem], data.train, data.valid, 10, 0.1, partial(_sgd, 0.1), SUBSETS)


def _sgd(lr: float, groups: list[dict[str, Any]], decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=5e-4 * decay)


def _adamw(lr: float, groups: list[dict[str, Any]], decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr, weight_decay=0.01 * decay)


def normed_mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Blocks of linear, LayerNorm, ReLU; the last one is linear alone.

    >>> [len(block) for block in normed_mlp((64, 128, 128, 10))]
    [3, 3, 1]
    """
    wide = [nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()) for a, b in pairwise(sizes[:-1])]
    return nn.Sequential(*wide, nn.Sequential(nn.Linear(sizes[-2], sizes[-1])))


class Writer(nn.Module):
    """Letters -> embedding + learned position -> 4 causal pre-LayerNorm layers -> the scores of each one's next."""

    def __init__(self, depth: int = 4, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(LETTERS, width)
        self.position = nn.Parameter(0.02 * torch.randn(LONG, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, LETTERS)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, LONG] indices -> [B, LONG, LETTERS] scores."""
        x = self.embed(letters) + self.position[: letters.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(letters.shape[1], dtype=x.dtype)
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return self.out(self.norm(x))
