"""Fine-tuning: the model factory returns a copy of one pretrained network; the body is frozen, the head has groups."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.problems.digits import load

(images, labels), (valid_images, valid_labels) = load()


def pretrained() -> nn.Sequential:
    """A network trained on the digits 0-4; the head is new."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    known = labels < 5
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(100):
        loss = F.cross_entropy(net(images[known]), labels[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net[2].reset_parameters()
    return net


net = pretrained()


def optimizer(model: nn.Sequential) -> torch.optim.Optimizer:
    """AdamW; body frozen, no weight decay on the bias."""
    groups = [
        {"params": list(model[0].parameters()), "lr": 0.0, "name": "body"},
        {"params": [model[2].weight], "weight_decay": 0.1, "name": "head"},
        {"params": [model[2].bias], "weight_decay": 0.0, "name": "bias"},
    ]
    return torch.optim.AdamW(groups, lr=1e-3)


problem = etastar.Problem(
    model=lambda: copy.deepcopy(net),
    optimizer=optimizer,
    loss=F.cross_entropy,
    train=(images[labels >= 5], labels[labels >= 5]),
    valid=(valid_images[valid_labels >= 5], valid_labels[valid_labels >= 5]),
    batch_size=32,
    steps=300,
)
