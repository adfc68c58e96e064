"""Lightning: a callback finds the rate before training, another drives a policy from it, step by step."""

from __future__ import annotations

import lightning
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from etastar.adapters.lightning import DrivePolicy, FindRate
from etastar.problems.digits import load


class Digits(lightning.LightningModule):
    """A classifier as one has it."""

    def __init__(self, lr: float = 1e-4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(self.net(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        self.log("val_loss", F.cross_entropy(self.net(images), labels))
        self.log("accuracy", (self.net(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


def train(callbacks: list[lightning.Callback], steps: int = 300) -> lightning.Trainer:
    """An ordinary training; what is special are its callbacks."""
    torch.manual_seed(0)
    train, valid = (TensorDataset(*split) for split in load())
    trainer = lightning.Trainer(
        max_steps=steps, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(Digits(), DataLoader(train, batch_size=64, shuffle=True), DataLoader(valid, batch_size=256))
    return trainer


if __name__ == "__main__":
    for callbacks in ([], [DrivePolicy("wsd"), FindRate(effort="glance")]):
        trainer = train(callbacks)
        metrics, lr = trainer.callback_metrics, trainer.lightning_module.hparams["lr"]
        print(f"peak {lr:.2g}: accuracy {metrics['accuracy']:.3f}, validation loss {metrics['val_loss']:.3f}")
