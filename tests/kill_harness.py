"""A real `etastar` process to be stopped at any moment: how it is started, found, watched, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PACE = "ETASTAR_TEST_SECONDS_A_LOSS"
PROBLEM = """
import os
import select
import torch
import torch.nn.functional as F
import etastar
from torch import nn

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def loss(outputs, targets):
    select.select([], [], [], float(os.environ.get("ETASTAR_TEST_SECONDS_A_LOSS", 0)))
    LOOK
    return F.cross_entropy(outputs, targets)


problem = etastar.Problem(
    model=lambda: nn.Linear(4, 2),
    optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
    loss=loss,
    train=(X, Y),
    batch_size=16,
    steps=30,
)
"""
"""Slow where `PACE` says so, in a process that is to be stopped; at once where nobody stops it. It waits without the module
`time`: lanes of code that may read a clock never train together."""


def interruptible() -> None:
    """Take SIGINT as a terminal's process does, even where whoever runs the tests in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, mark: str, *arguments: str, pace: float = 0.0) -> subprocess.Popen[str]:
    """`etastar ARGUMENTS` in `folder`, `pace` seconds a loss, in a process that carries `mark` in its environment."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("etastar")), *arguments],
        cwd=folder,
        env={**os.environ, "ETASTAR_KILL_TEST": mark, PACE: str(pace)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
