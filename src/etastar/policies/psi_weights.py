"""Weights of `PsiNetwork` in a file, with the version of the network that they are for and the evolutions they came from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etastar.errors import ProblemError

AGAIN = "etastar psi train --weights"


@dataclass
class PsiWeights:
    """What a file of weights holds.

    Args:
        version: of the network that the weights are for.
        numbers: of the network; () while its evolutions are under way.
        evolutions: name -> what is known of each, as far as it went.
    """

    version: str
    numbers: tuple[float, ...] = ()
    evolutions: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str], version: str) -> PsiWeights:
        """The file's.

        Raises:
            ProblemError: there is no such file, it holds no weights, or those of another version.
        """
        try:
            content = json.loads(Path(path).read_text())
        except FileNotFoundError:
            raise ProblemError(f"psi-network: there is no file {path}; expected weights, as {AGAIN} {path} makes") from None
        except (OSError, ValueError) as fault:
            raise ProblemError(
                f"psi-network: {path} holds no weights ({fault}); expected a file that psi train made"
            ) from None
        theirs = content.get("version") if isinstance(content, Mapping) else None
        if theirs is None:
            raise ProblemError(f"psi-network: {path} holds no weights; expected a file that psi train made")
        if theirs != version:
            raise ProblemError(
                f"psi-network: {path} holds weights of version {theirs}, and this one, {version}, sees other features; "
                f"train them again: {AGAIN} OTHER_FILE"
            )
        return cls(version, tuple(content["numbers"]), content["evolutions"])

    def write(self, path: str | os.PathLike[str]) -> None:
        """As a whole or not at all: a killed training goes on from what is there.

        Raises:
            ProblemError: it cannot be written.
        """
        own = Path(path)
        beside = own.with_name(f"{own.name}.{os.getpid()}")
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps({"version": self.version, "numbers": self.numbers, "evolutions": self.evolutions}))
            beside.replace(own)
        except OSError as fault:
            raise ProblemError(f"the weights cannot be written to {path} ({fault}); expected a place for a file") from None
