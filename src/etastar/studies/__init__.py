"""Studies: published claims about learning rates, measured here, each with a conclusion by a rule stated beforehand.

`study` (the contract), `claim` (a statement and its rule), `run` (one study), `bench` (what it measures with), `data`,
`record` (rows as they are measured), `fits` (what is computed from them), `charts`, `page`. The studies:
`chen2024architecture`, `deeper_prefers_lower`, `haas2025width`, `iyer2023maximal` with `iyer2023maximal_findings`,
`jelassi2023depth`, and in folders of their own `network_stability/` and `psi/`.

It offers `StudyAnswer`, `run_study`.
"""

from __future__ import annotations

import lazy_loader

STUDIES: dict[str, str] = {
    "chen2024architecture": "eta* of branched networks against the sum over their paths",
    "deeper_prefers_lower": "best and maximal rate against depth: SGD, Adam, residual connections, normalisation",
    "haas2025width": "eta* against width: cross-entropy and squared error",
    "iyer2023maximal": "eta* against depth x width, input-layer rate and sharpness, with the conditions tested as such",
    "jelassi2023depth": "the change of activations in one step: eta^2 L^3, whatever the width",
    "network_stability": "what a decayed rate gains and how: stability, settling, averaging; two halves of a ResNet-18",
    "psi": "the ideal rate Psi(eps, i): learnt from logs, forks and evolution, driven on tasks it has not seen",
}
"""name -> one line; the study itself is `etastar.studies.NAME.STUDY`."""

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
