"""ResNet-18 on CIFAR-10 pictures, 20 passes: hours of training, and a rate for it within minutes.

    CIFAR=folder etastar find examples/resnet18_cifar.py:problem --max-seconds 600
    CIFAR=folder etastar find examples/resnet18_cifar.py:problem --set width=16,side=16 --max-seconds 600

The folder holds data_batch_1 .. 5 and test_batch of cifar-10-python or cifar-10-binary, or an .npz of JPEG pictures (which
need Pillow). How long a step takes is said after the first one.
"""

from __future__ import annotations

import os

import etastar
from etastar.problems.cifar import read_cifar
from etastar.problems.resnet18 import resnet18

FOLDER = os.environ.get("CIFAR", "data/cifar10")


def problem(width: int = 64, side: int = 32, most: int = 50_000, data: str = FOLDER) -> etastar.Problem:
    """The problem; `--set width=16,side=16,most=5000` makes it smaller, `--set data=FOLDER` says where the pictures are."""
    train, test = read_cifar(data, most=most)
    return resnet18(train, test, width=width, side=side)
