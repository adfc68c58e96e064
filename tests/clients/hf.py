"""A real Trainer, small: GPT-2 of one layer on sequences of unequal length, so that micro-batches count other tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

VOCABULARY, LENGTH, SEQUENCES = 13, 8, 20


def data() -> list[dict[str, torch.Tensor]]:
    """Sequences that count upwards; label -100 from a random place on."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(SEQUENCES):
        start, length = (
            torch.randint(0, VOCABULARY, (), generator=generator),
            torch.randint(3, LENGTH + 1, (), generator=generator),
        )
        ids = (start + torch.arange(LENGTH)) % VOCABULARY
        rows.append({"input_ids": ids, "labels": torch.where(torch.arange(LENGTH) < length, ids, -100)})
    return rows


def net() -> nn.Module:
    """The network, the same every time."""
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=16, n_layer=1, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    made = GPT2LMHeadModel(config)
    made.loss_type = "ForCausalLM"  # so that the Trainer counts labels as the loss does: the first of a row is no target
    return made


def trainer(folder: Path, kind: type[Trainer] = Trainer, model: Any = None, **settings: Any) -> Trainer:
    """A Trainer of 12 steps; its data in order, so that a lane reads the same."""
    known = {"optimizers": settings.pop("optimizers", (None, None)), "model_init": settings.pop("model_init", None)}
    usual = {
        "output_dir": str(folder), "max_steps": 12, "per_device_train_batch_size": 2, "learning_rate": 3e-3,
        "weight_decay": 0.1, "train_sampling_strategy": "sequential", "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "use_cpu": True, "dataloader_pin_memory": False, "warmup_steps": 2,
    }  # fmt: skip
    arguments = TrainingArguments(**(usual | settings))
    given = net() if model is None and known["model_init"] is None else model
    return kind(model=given, args=arguments, train_dataset=data(), eval_dataset=data()[:5], **known)


def losses(trained: Trainer) -> list[float]:
    """The loss of every step, as the Trainer logged it."""
    return [row["loss"] for row in trained.state.log_history if "loss" in row]


def rates(trained: Trainer) -> list[float]:
    """The rate of every step, as the Trainer logged it."""
    return [row["learning_rate"] for row in trained.state.log_history if "learning_rate" in row]
