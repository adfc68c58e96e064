"""The data of a study: an IDX folder the user gives, or scikit-learn's digits."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from etastar.problems.mlp import Samples

INPUTS_DIGESTED = 1000
FASHION_MNIST = "dfc76fbb7be8a7ca"
"""`digest` of Fashion-MNIST's training images and labels."""


@dataclass(frozen=True)
class StudyData:
    """Training and validation samples, inputs with mean 0 and variance 1 over all training inputs.

    Args:
        name: what pages call it.
        train, valid: (inputs [N, features], labels [N]).
        digest: of the training samples.
    """

    name: str
    train: Samples
    valid: Samples
    digest: str

    @property
    def is_fashion_mnist(self) -> bool:
        """Whether these are Fashion-MNIST's 60,000 training images."""
        return self.digest == FASHION_MNIST

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train[1].max()) + 1

    def in_words(self) -> str:
        """Name and size."""
        x = self.train[0]
        return f"{self.name}, {len(x):,} training samples of {x[0].numel():,} inputs"


def load_data(folder: str | os.PathLike[str] | None) -> StudyData:
    """The IDX set in `folder`; digits without one.

    Raises:
        ProblemError: a file is missing, truncated or not IDX.
    """
    if folder is None:
        from etastar.problems.digits import load

        train, valid = load()
        return StudyData("scikit-learn's digits", train, valid, digest_of(train))
    from etastar.problems.idx import load_idx_images

    train, valid = load_idx_images(folder)
    digest = digest_of(train)
    name = "Fashion-MNIST" if digest == FASHION_MNIST else f"IDX images of {Path(folder).resolve().name}"
    return StudyData(name, train, valid, digest)


def digest_of(samples: Samples) -> str:
    """What samples are known by: all labels and the first inputs, rounded, so that it is the same on every machine."""
    inputs, labels = samples
    found = hashlib.blake2b(repr(tuple(inputs.shape)).encode(), digest_size=8)
    found.update((1000 * inputs[:INPUTS_DIGESTED]).round().to(torch.int32).numpy().tobytes())
    found.update(labels.numpy().tobytes())
    return found.hexdigest()
