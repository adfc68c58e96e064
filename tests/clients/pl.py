"""A real LightningModule and Trainer, small; its data in order, so that a lane reads the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(80, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)
VALID = torch.randn(40, 6, generator=GENERATOR)


def loader(rows: int = 80, shuffle: bool = False) -> DataLoader[Any]:
    """Batches of eight."""
    return DataLoader(TensorDataset(X[:rows], Y[:rows]), batch_size=8, shuffle=shuffle)


class Net(lightning.LightningModule):
    """A classifier with two groups; `configured` says what configure_optimizers returns."""

    def __init__(self, lr: float = 0.02, configured: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        torch.manual_seed(3)
        self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 3)
        self.lr, self.configured = lr, configured
        self.seen: list[float] = []
        self.rates: list[float] = []

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.seen.append(float(loss.detach()))
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def on_before_optimizer_step(self, optimizer):
        self.rates.append(optimizer.param_groups[-1]["lr"])

    def configure_optimizers(self):
        body = {"params": self.body.parameters(), "lr": self.lr / 4, "name": "body"}
        groups = [body, {"params": self.head.parameters(), "name": "head"}]
        optimizer = torch.optim.AdamW(groups, lr=self.lr)
        return optimizer if self.configured is None else self.configured(self, optimizer)


def trainer(folder: Path, *callbacks: Any, **settings: Any) -> lightning.Trainer:
    """A Trainer of 12 steps that logs each."""
    usual = {
        "max_steps": 12, "callbacks": list(callbacks), "logger": CSVLogger(folder, version=0), "log_every_n_steps": 1,
        "default_root_dir": folder, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu",
        "enable_checkpointing": False, "num_sanity_val_steps": 0,
    }  # fmt: skip
    return lightning.Trainer(**(usual | settings))
