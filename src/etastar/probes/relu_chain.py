"""Whether a problem's network is one that the closed forms know: a plain chain of linear layers and ReLU, freshly drawn."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import geometric_mean

import torch
from torch import nn

from etastar.core.chain import chain_of
from etastar.core.objective import split
from etastar.core.randomness import generator
from etastar.errors import DoesNotApply, call
from etastar.probes.point import Point
from etastar.theory.kernel import LayerScale

CHECKED_SAMPLES = 8
AGREEMENT = 1e-4
RANDOM_WITHIN = 1.4
"""A random matrix's largest singular value is at most about rms x (sqrt(rows) + sqrt(columns)); a trained one's is above."""
MOST_OUTPUTS = 256
MOST_EIGENVALUES = 8192
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "a convolution, whose weights are shared over positions": (nn.modules.conv._ConvNd,),
    "a normalisation, which changes how sharpness depends on the weights": (
        nn.modules.batchnorm._NormBase,
        nn.LayerNorm,
        nn.GroupNorm,
        nn.RMSNorm,
    ),
    "attention": (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
    "a recurrent layer": (nn.RNNBase, nn.RNNCellBase),
    "an embedding": (nn.Embedding, nn.EmbeddingBag),
    "dropout": (nn.modules.dropout._DropoutNd,),
}


@dataclass(frozen=True)
class ReluChain:
    """What the closed forms need of a plain ReLU network.

    Args:
        widths: inputs, hidden units, outputs.
        layers: initialisation and rate of each weight layer, measured from the weights.
        inputs: [N, n_0], flattened.
        curvature: kappa, of the user's own loss at the network's first outputs.
        saturates: whether large outputs flatten the loss, as they do cross-entropy.
        targets: root mean square of the outputs at which the loss is lowest, one Newton step away; exact for squared error.
        he_curvature: kappa at outputs as large as He's network would have, Gaussian of variance 2 q.
    """

    widths: tuple[int, ...]
    layers: tuple[LayerScale, ...]
    inputs: torch.Tensor
    curvature: float
    he_curvature: float
    saturates: bool
    targets: float = 0.0

    @property
    def width(self) -> float:
        """Geometric mean of the hidden widths; of the inputs where there is no hidden layer."""
        return geometric_mean(self.widths[1:-1] or self.widths[:1])

    @property
    def second_moment(self) -> float:
        """Mean square of the inputs' entries."""
        return float(self.inputs.double().square().mean())

    @property
    def is_he(self) -> bool:
        """Whether the hidden layers are initialised as He says, within a factor of two."""
        return all(1 <= layer.gain <= 4 for layer in self.layers[:-1])


def relu_chain(point: Point) -> ReluChain:
    """The plain ReLU chain at `point`, verified against its own forward pass.

    Raises:
        DoesNotApply: it is none; the sentence says why.
    """
    if point.loss is None:
        raise DoesNotApply("loss_fn hides the outputs from the closed forms; give loss(outputs, targets)")
    linears, inputs = _linears(point), _inputs(point)
    if inputs.shape[1] != linears[0].in_features:
        raise DoesNotApply(
            f"the first layer is applied along the inputs of shape {tuple(inputs.shape[1:])}, not to all of them"
        )
    with torch.no_grad():
        outputs = call("the model", point.model, split(point.batch)[0])
        by_hand = inputs[:CHECKED_SAMPLES]
        for i, linear in enumerate(linears):
            by_hand = linear(torch.relu(by_hand) if i else by_hand)
    if not isinstance(outputs, torch.Tensor) or outputs.shape[1:] != by_hand.shape[1:]:
        raise DoesNotApply("its outputs are not [samples, outputs]")
    difference = float((outputs[:CHECKED_SAMPLES] - by_hand).abs().max())
    if not difference <= AGREEMENT * float(by_hand.abs().max()) + 1e-12:
        raise DoesNotApply("its forward pass is not that of its linear layers with ReLU between them")
    for linear in linears:
        if not _looks_random(linear.weight.detach()):
            raise DoesNotApply("the weights do not look freshly drawn (fine-tuning?): the closed forms are for random ones")
    widths = (linears[0].in_features, *(linear.out_features for linear in linears))
    size = (2 * float(inputs.double().square().mean())) ** 0.5
    at_he = size * torch.randn(outputs.shape, generator=generator(0, "outputs"), dtype=torch.float64).to(outputs)
    he, huge = output_curvature(point, at_he), output_curvature(point, 1e3 * at_he)
    layers = tuple(_scale(point, linear) for linear in linears)
    saturates = huge <= 0.5 * he
    wanted = 0.0 if saturates else _wanted_outputs(point, outputs)
    return ReluChain(widths, layers, inputs, output_curvature(point, outputs), he, saturates, wanted)


def output_curvature(point: Point, outputs: torch.Tensor) -> float:
    """kappa of the problem's loss: N x the largest eigenvalue of its second derivative by a sample's outputs, sample mean.

    Raises:
        DoesNotApply: the loss couples samples' outputs, has no second derivative, or there are too many outputs.
    """
    _, blocks = _second_order(point, outputs)
    return float(len(outputs) * torch.linalg.eigvalsh(blocks)[:, -1].mean())


def _wanted_outputs(point: Point, outputs: torch.Tensor) -> float:
    """Root mean square of z - H^-1 g, g and H the loss's derivatives by a sample's outputs z."""
    slope, blocks = _second_order(point, outputs)
    step = torch.linalg.pinv(blocks, hermitian=True) @ slope.unsqueeze(2)
    return float((outputs[: len(blocks)].double() - step.squeeze(2)).square().mean().sqrt())


def _second_order(point: Point, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First [n, C] and second [n, C, C] derivatives of the loss by the outputs of the first samples, float64."""
    count = outputs.shape[1]
    assert point.loss is not None
    if count > MOST_OUTPUTS:
        raise DoesNotApply(f"{count} outputs are more than the {MOST_OUTPUTS} whose curvature is computed here")
    leaf, targets = outputs.detach().clone().requires_grad_(True), split(point.batch)[1]
    kept = max(MOST_EIGENVALUES // count, 8)
    with torch.enable_grad():
        value = call("the loss", point.loss, leaf, targets)
        (slope,) = torch.autograd.grad(value.reshape(()), leaf, create_graph=True)
        if not slope.requires_grad:
            raise DoesNotApply("the loss has no curvature in the outputs: no closed form")
        columns = [torch.autograd.grad(slope[:, c].sum(), leaf, retain_graph=True)[0][:kept] for c in range(count)]
    blocks = torch.stack(columns, dim=2).double()
    return slope[:kept].detach().double(), (blocks + blocks.mT) / 2


def _linears(point: Point) -> list[nn.Linear]:
    for module in point.model.modules():
        for what, kinds in KINDS.items():
            if isinstance(module, kinds):
                raise DoesNotApply(f"not a plain ReLU network: it has {what}")
    try:
        links = [link.module for link in chain_of(nn.Sequential(point.model) if _bare(point.model) else point.model)]
    except DoesNotApply as reason:
        raise DoesNotApply(f"not a plain ReLU network: {reason}") from reason
    links = [m for m in links if not isinstance(m, nn.Flatten)]
    linears = [m for m in links if isinstance(m, nn.Linear)]
    for module in links:
        if not isinstance(module, (nn.Linear, nn.ReLU)):
            raise DoesNotApply(f"not a plain ReLU network: it has {type(module).__name__}")
    alternates = len(links) == 2 * len(linears) - 1 and all(isinstance(m, nn.Linear) for m in links[::2])
    if not linears or not alternates:
        raise DoesNotApply(
            "not a plain ReLU network: linear layers and ReLU do not alternate, or the last layer is not linear"
        )
    return linears


def _bare(model: nn.Module) -> bool:
    """Whether the model is one linear layer, which cannot be traced from inside."""
    return type(model) is nn.Linear


def _inputs(point: Point) -> torch.Tensor:
    inputs = split(point.batch)[0]
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point() or inputs.dim() < 2:
        raise DoesNotApply("the inputs are not a tensor of numbers [samples, ...]")
    return inputs.flatten(1)


def _scale(point: Point, linear: nn.Linear) -> LayerScale:
    rates = {id(p): float(g["lr"]) / point.lr for g in point.optimizer.param_groups for p in g["params"]}
    trains = lambda p: rates.get(id(p), 0.0) if p is not None and p.requires_grad else 0.0
    bias = linear.bias
    return LayerScale(
        fan_in=linear.in_features,
        gain=linear.in_features * float(linear.weight.detach().double().square().mean()),
        bias_variance=0.0 if bias is None else float(bias.detach().double().square().mean()),
        multiplier=trains(linear.weight),
        bias_multiplier=trains(bias),
    )


def _looks_random(weight: torch.Tensor, iterations: int = 20) -> bool:
    """By power iteration from a fixed start, which cannot overestimate the largest singular value."""
    w = weight.double()
    rms = float(w.square().mean().sqrt())
    if rms == 0:
        return True
    v = torch.ones(w.shape[1], dtype=w.dtype, device=w.device) + torch.linspace(0, 1, w.shape[1], dtype=w.dtype).to(w.device)
    size = 0.0
    for _ in range(iterations):
        u = w @ (v / v.norm())
        size = float(u.norm())
        if size == 0:
            return True
        v = w.mT @ u
    return size <= RANDOM_WITHIN * rms * (w.shape[0] ** 0.5 + w.shape[1] ** 0.5)
