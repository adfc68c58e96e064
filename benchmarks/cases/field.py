"""How long every example keeps its loss, at a rate and at a tenth of it: ResNet-18 on CIFAR-10 pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    """One a seed and rate."""
    import torch

    from etastar.core.told import told
    from etastar.problems.cifar import read_cifar
    from etastar.problems.resnet18 import resnet18
    from etastar.verbs.field import read_field

    torch.set_num_threads(1)
    train, test = read_cifar(config["folder"], each=config["each"])
    sizes = {name: config[name] for name in ("width", "side", "noise", "batch_size", "lr")}
    for seed in range(config["seeds"]):
        answer = read_field(resnet18(train, test, **sizes), seed=seed, examples=config["examples"], device="cpu")
        for own in answer.rates:
            yield {"seed": seed, "before": answer.before, **told(own)}


def _summary(rows: list[Row]) -> str:
    rates = list(dict.fromkeys(row["lr"] for row in rows))
    of = {lr: [row for row in rows if row["lr"] == lr] for lr in rates}
    lines = []
    for k, step in enumerate(m["step"] for m in rows[0]["moments"]):
        if step:
            means = [fmean(row["moments"][k][name] for row in of[lr]) for name in ("moved", "turned") for lr in rates]
            lines.append([step, *(f"{mean:.3g}" for mean in means)])
    heads = [f"{what}, {lr:g}" for what in ("moved", "cosine") for lr in rates]
    memory = "; ".join(f"at {lr:g}: {', '.join(map(_steps, of[lr]))}" for lr in rates)
    spread = "; ".join(f"at {lr:g} {fmean(map(_scatter, of[lr])):.2f}" for lr in rates)
    return (
        f"{len(rows[0]['moments'][0]['losses'])} training pictures one by one, after {rows[0]['before']} steps at "
        f"{rates[0]:g}, and from there on at both rates on the same batches; means of {len(of[rates[0]])} seeds. Moved: the "
        "mean of |loss - loss then|. Cosine: of a picture's gradient and its gradient then, the median.\n\n"
        f"{table(['steps', *heads], lines)}\n\n"
        f"Memory, the steps until losses have moved by 63 % of how far they ever move, {memory}.\n\n"
        f"The distribution hardly differs: standard deviation of the losses after {rows[0]['moments'][-1]['step']} steps, "
        f"{spread}."
    )


def _steps(row: Row) -> str:
    return "it still grows" if row["memory"] is None else f"{row['memory']:.3g}"


def _scatter(row: Row) -> float:
    losses = row["moments"][-1]["losses"]
    return (fmean(x * x for x in losses) - fmean(losses) ** 2) ** 0.5


def _chart(rows: list[Row], folder: Path) -> None:
    """Of the first seed."""
    from etastar.reports.field_page import memory_chart
    from etastar.verbs.field import FieldMoment, RateField

    rates = [
        RateField(row["lr"], tuple(FieldMoment(**{**m, "losses": ()}) for m in row["moments"]))
        for row in rows
        if row["seed"] == 0
    ]
    memory_chart(rates, "ResNet-18").save(folder / "memory.svg")


CASE = Case(
    "The loss as a field over examples, at two rates",
    _rows,
    _summary,
    {
        "folder": "data/cifar10",
        "each": 200,
        "width": 16,
        "side": 16,
        "noise": 0.2,
        "batch_size": 32,
        "lr": 0.05,
        "examples": 96,
        "seeds": 3,
    },
    _chart,
)
