"""ResNet-18 for small pictures: He et al. (2016), with a 3x3 stem in place of 7x7 and pooling, at any width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from etastar import arguments
from etastar.core.problem import Problem
from etastar.problems.cifar import Pictures, augmented, standardised, with_label_noise

STAGES = (1, 2, 4, 8)
"""Channels of the four stages, in widths; the second to fourth halve the picture. Two blocks each."""

ACTIVATIONS = {"relu": torch.relu, "gelu": F.gelu, "silu": F.silu}


class BasicBlock(nn.Module):
    """f(x' + BN(W2 f(BN(W1 x)))), where x' is x, or BN(W x) by 1x1 where the shape changes, and f is the activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: str = "relu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        shape = [] if same else [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Sequential(*shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, S, S] -> [B, outputs, S / stride, S / stride]."""
        inner = self.activation(self.bn1(self.conv1(x)))
        return self.activation(self.shortcut(x) + self.bn2(self.conv2(inner)))


class ResNet(nn.Module):
    """Stem, four stages of two blocks, mean over the picture, readout."""

    def __init__(self, width: int, classes: int, activation: str = "relu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks, inputs = [], width
        for stage in STAGES:
            stride = 1 if stage == 1 else 2
            first = BasicBlock(inputs, stage * width, stride, activation)
            blocks += [first, BasicBlock(stage * width, stage * width, 1, activation)]
            inputs = stage * width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, S, S] -> [B, classes]."""
        x = self.blocks(self.activation(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


@dataclass(frozen=True)
class ResNet18:
    """Makes the network; a factory for `Problem`.

    Args:
        width: channels of the first stage; 64 is the network of the paper.
        classes: outputs.
        activation: "relu", or one of the smooth "gelu" and "silu".

    Raises:
        ProblemError: a size is not a whole number of at least 1, or there is no such activation.

    >>> [sum(p.numel() for p in ResNet18(width)().parameters()) for width in (64, 16, 8)]
    [11173962, 701466, 176402]
    """

    width: int = 64
    classes: int = 10
    activation: str = "relu"

    def __post_init__(self) -> None:
        arguments.word("activation", self.activation, ACTIVATIONS)
        for name in ("width", "classes"):
            arguments.UNITS(name, getattr(self, name))

    def __call__(self) -> ResNet:
        """A network with fresh weights."""
        return ResNet(self.width, self.classes, self.activation)


class Augmented(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pictures mirrored and moved, and their labels with noise, anew at every draw from a generator of its own.

    Args:
        images: [N, 3, S, S].
        labels: [N].
        classes: how many there are.
        noise: share of the labels that are drawn anew.
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, classes: int, noise: float = 0.0) -> None:
        self.images, self.labels, self.classes, self.noise = images, labels, classes, noise
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        seed = int(torch.randint(2**62, (), generator=self.generator))
        labels = with_label_noise(self.labels[index : index + 1], self.classes, self.noise, seed, 0)
        return augmented(self.images[index : index + 1], seed, 0)[0], labels[0]


def resnet18(
    train: Pictures,
    test: Pictures,
    *,
    width: int = 64,
    side: int = 32,
    noise: float = 0.0,
    batch_size: int = 128,
    steps: int = 7800,
    lr: float = 0.1,
) -> Problem:
    """ResNet-18 on such pictures as it is usually trained: SGD, momentum .9, weight decay 5e-4, cosine.

    Args:
        train, test: pictures; the lanes are scored on the second.
        width: channels of the first stage.
        side: of the pictures, 8, 16 or 32 pixels.
        noise: share of the labels that are drawn anew at every step.
        batch_size, steps: 7,800 steps of 128 are 20 passes over 50,000 pictures.
        lr: in use.
    """
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    images, valid = standardised(train.sized(side), test.sized(side))
    return Problem(
        model=ResNet18(width, classes),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4),
        loss=F.cross_entropy,
        train=Augmented(images, train.labels, classes, noise),
        valid=(valid, test.labels),
        batch_size=batch_size,
        steps=steps,
        schedule="cosine",
        name=f"resnet18-{width}-{side}px",
    )
