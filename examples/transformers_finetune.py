"""Transformers: a Trainer that fine-tunes by LoRA, as it stands. `etastar find transformers_finetune.py:trainer` asks for
its rate; run as a script it applies the answer and lets a policy drive the training.
"""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from etastar.problems.digits import load

(images, labels), (valid_images, valid_labels) = load()


def rows(pixels: torch.Tensor, digits: torch.Tensor, known: bool) -> list[dict[str, torch.Tensor]]:
    """Images as sequences of 16 tokens, for the digits 0-4 (known) or 5-9."""
    tokens = pixels.reshape(-1, 16, 4).sum(2).mul(4).round().long().clamp(-32, 31) + 32
    kept = (digits < 5) == known
    return [{"input_ids": ids, "labels": label} for ids, label in zip(tokens[kept], digits[kept], strict=True)]


def trainer_of(model: torch.nn.Module, known: bool, **settings) -> Trainer:
    """A Trainer as one has it."""
    arguments = TrainingArguments(
        output_dir="out/transformers", per_device_train_batch_size=16, gradient_accumulation_steps=2, report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    parts = rows(images, labels, known), rows(valid_images, valid_labels, known)
    return Trainer(model=model, args=arguments, train_dataset=parts[0], eval_dataset=parts[1])


def pretrained() -> torch.nn.Module:
    """A small BERT that knows the digits 0-4."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16, num_labels=10,
    )  # fmt: skip
    trainer = trainer_of(BertForSequenceClassification(config), True, max_steps=150, learning_rate=3e-3)
    trainer.train()
    return trainer.model


lora = LoraConfig(r=4, target_modules=["query", "value"], modules_to_save=["classifier"])
trainer = trainer_of(get_peft_model(pretrained(), lora), False, max_steps=120, learning_rate=5e-5)

if __name__ == "__main__":
    import etastar
    from etastar.adapters.transformers import apply, drive, problem_from

    usual = trainer_of(get_peft_model(pretrained(), lora), False, max_steps=120, learning_rate=5e-5)
    drive(trainer, "wsd")
    apply(etastar.find(problem_from(trainer), effort="glance"), trainer)
    for one in (usual, trainer):
        one.train()
        print(f"peak {one.args.learning_rate:.2g}: eval loss {one.evaluate()['eval_loss']:.3f}")
