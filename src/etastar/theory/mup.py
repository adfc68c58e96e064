"""muP and depth-muP as tables: what each parameter's rate, initialisation and multiplier become in a larger network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import nn

from etastar.errors import ProblemError
from etastar.theory.kaiming import check_number


class Role(StrEnum):
    """Which dimensions of a parameter grow with the width: only outputs (biases, too), both, only inputs, none."""

    INPUT = "input"
    HIDDEN = "hidden"
    OUTPUT = "output"
    FIXED = "fixed"


@dataclass(frozen=True)
class MupRule:
    """Factors relative to the base network, for one role at width ratio m.

    Args:
        init_std: standard deviation of the weights relative to 1 / sqrt(fan_in) initialisation of the SAME network (so 1
            means: leave torch's or He's initialisation as it is).
        multiplier: of the parameter in the forward pass (weight x multiplier).
        lr: rate relative to the base network's.
    """

    init_std: float
    multiplier: float
    lr: float


TABLE_3, TABLE_9 = "table3", "table9"
FORMS = (TABLE_3, TABLE_9)
SGD, ADAM = "sgd", "adam"
EXPONENTS: dict[str, dict[Role, tuple[float, float, float, float]]] = {
    TABLE_3: {
        Role.INPUT: (0.0, 0.0, 1.0, 0.0),
        Role.HIDDEN: (0.0, 0.0, 0.0, -1.0),
        Role.OUTPUT: (-0.5, 0.0, -1.0, -1.0),
        Role.FIXED: (0.0, 0.0, 0.0, 0.0),
    },
    TABLE_9: {
        Role.INPUT: (-0.5, 0.5, 0.0, -0.5),
        Role.HIDDEN: (0.0, 0.0, 0.0, -1.0),
        Role.OUTPUT: (0.0, -0.5, 0.0, -0.5),
        Role.FIXED: (0.0, 0.0, 0.0, 0.0),
    },
}
"""form -> role -> exponents of the width ratio in (init_std, multiplier, SGD's rate, Adam's rate)."""


def mup_rule(role: Role | str, ratio: float, *, optimizer: Any = SGD, form: str = TABLE_3) -> MupRule:
    """One cell of muP's table at width ratio m = width / base width, as factors relative to the base network.

    | | input weights, all biases | hidden weights | output weights |
    |---|---|---|---|
    | table 3: init std, SGD, Adam | 1, m, 1 | 1, 1, 1/m | 1/sqrt(m), 1/m, 1/m |
    | table 9: init std, mult., SGD, Adam | 1/sqrt(m), sqrt(m), 1, 1/sqrt(m) | 1, 1, 1, 1/m | 1, 1/sqrt(m), 1, 1/sqrt(m) |

    Both forms train the same network, step for step (with Adam's eps tiny). Initialisations are relative to 1 /
    sqrt(fan_in).

    Args:
        role: "input" (also biases and gains), "hidden", "output" or "fixed".
        ratio: m.
        optimizer: "sgd" or "adam", or a class or instance of torch.optim of one of the two families.
        form: "table3" (no multipliers, the usual one) or "table9".

    Raises:
        ProblemError: an unknown role, form or optimizer, or a ratio out of range.

    >>> mup_rule("output", 4.0, optimizer="adam")
    MupRule(init_std=0.5, multiplier=1.0, lr=0.25)
    >>> mup_rule("output", 4.0, optimizer="adam", form="table9")
    MupRule(init_std=1.0, multiplier=0.5, lr=0.5)

    Source: Yang et al. 2022 (arXiv 2203.03466), tables 3 and 9.
    """
    if form not in FORMS:
        raise ProblemError(f"form is {form!r}; expected one of {', '.join(FORMS)}")
    if role not in list(Role):
        raise ProblemError(f"role is {role!r}; expected one of {', '.join(Role)}")
    m = check_number("ratio", ratio)
    std, multiplier, sgd, adam = EXPONENTS[form][Role(role)]
    return MupRule(m**std, m**multiplier, m ** (sgd if _family(optimizer) == SGD else adam))


def mup_rules(model: nn.Module, base_model: nn.Module, *, optimizer: Any = SGD, form: str = TABLE_3) -> dict[str, MupRule]:
    """{parameter name: its rule} of `model`, of which `base_model` is the same architecture at the width that was tuned.

    A parameter's role is read off the shapes: dimensions that differ between the two models grow with the width. The ratio
    is that of its fan-out for input weights and biases, of its fan-in for hidden and output weights.

    Args:
        model, base_model: with the same parameter names; lazy modules have to be given their shapes first.
        optimizer, form: as for `mup_rule`.

    Raises:
        ProblemError: the models do not have the same parameters, or a shape that has no role.

    >>> net = lambda n: nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 2))
    >>> {name: rule.lr for name, rule in mup_rules(net(64), net(16)).items() if "weight" in name}
    {'0.weight': 4.0, '2.weight': 1.0, '4.weight': 0.25}
    """
    rules = {}
    for name, (role, ratio) in roles(model, base_model).items():
        rules[name] = mup_rule(role, ratio, optimizer=optimizer, form=form)
    return rules


def mup_multipliers(
    model: nn.Module, base_model: nn.Module, *, optimizer: Any = SGD, form: str = TABLE_3
) -> dict[str, float]:
    """{parameter name: its rate as a multiple of the base network's}; the `lr` of `mup_rules`, arguments as there.

    With table 3 the output weights must also be initialised at `init_std`; `mup_init_` does it.

    >>> net = lambda n: nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 2))
    >>> mup_multipliers(net(64), net(16), optimizer="adam")
    {'0.weight': 1.0, '0.bias': 1.0, '2.weight': 0.25, '2.bias': 1.0}
    """
    return {name: rule.lr for name, rule in mup_rules(model, base_model, optimizer=optimizer, form=form).items()}


def mup_groups(model: nn.Module, base_model: nn.Module, lr: float, *, optimizer: Any = SGD) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer, one per distinct rate, when `lr` is the base network's rate (table 3).

    >>> net = lambda n: nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 2))
    >>> [(group["lr"], group["name"]) for group in mup_groups(net(64), net(16), 0.1, optimizer=torch.optim.Adam)]
    [(0.1, 'mup x1'), (0.025, 'mup x0.25')]
    """
    groups: dict[float, list[torch.Tensor]] = {}
    parameters = dict(model.named_parameters())
    for name, factor in mup_multipliers(model, base_model, optimizer=optimizer).items():
        groups.setdefault(factor, []).append(parameters[name])
    return [{"params": params, "lr": lr * factor, "name": f"mup x{factor:g}"} for factor, params in groups.items()]


def mup_init_(model: nn.Module, base_model: nn.Module, *, form: str = TABLE_3) -> nn.Module:
    """Multiply a model initialised at 1 / sqrt(fan_in) (torch's default, He's) by muP's `init_std`, in place.

    >>> net = lambda n: nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 2))
    >>> wide = net(64)
    >>> before = wide[2].weight.detach().clone()
    >>> bool(torch.equal(mup_init_(wide, net(16))[2].weight, before / 2))
    True
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, rule in mup_rules(model, base_model, form=form).items():
            parameters[name].mul_(rule.init_std)
    return model


def depth_mup(depth: int, base_depth: int, *, optimizer: Any = SGD) -> MupRule:
    """Depth-muP for residual networks with blocks of one layer: branches x sqrt(l/L); SGD's rate stays, Adam's x sqrt(l/L).

    Args:
        depth, base_depth: residual blocks L and l.
        optimizer: as for `mup_rule`.

    Raises:
        ProblemError: a depth that is not an integer >= 1, or an unknown optimizer.

    It fails for blocks of two layers and more, transformers included.

    >>> depth_mup(16, 4), depth_mup(16, 4, optimizer="adam").lr
    (MupRule(init_std=1.0, multiplier=0.5, lr=1.0), 0.5)

    Source: Yang et al. 2023 (arXiv 2310.02244), table 1.
    """
    for name, value in (("depth", depth), ("base_depth", base_depth)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ProblemError(f"{name} is {value!r}; expected an integer >= 1")
    branch = math.sqrt(base_depth / depth)
    return MupRule(1.0, branch, 1.0 if _family(optimizer) == SGD else branch)


def roles(model: nn.Module, base_model: nn.Module) -> dict[str, tuple[Role, float]]:
    """{parameter name: (role, width ratio)}, from the shapes that differ.

    >>> roles(nn.Linear(8, 64), nn.Linear(8, 16))
    {'weight': (<Role.INPUT: 'input'>, 4.0), 'bias': (<Role.INPUT: 'input'>, 4.0)}
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    base = {name: tuple(p.shape) for name, p in base_model.named_parameters()}
    if shapes.keys() != base.keys():
        different = sorted(shapes.keys() ^ base.keys())
        raise ProblemError(
            f"model and base_model differ in parameters ({', '.join(different[:3])}); expected the same architecture at "
            "another width"
        )
    tables = {
        f"{prefix}.weight".lstrip(".")
        for prefix, module in model.named_modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag))
    }
    return {name: _role(name, shape, base[name], name in tables) for name, shape in shapes.items()}


def _role(name: str, shape: tuple[int, ...], base: tuple[int, ...], is_table: bool) -> tuple[Role, float]:
    if len(shape) != len(base) or any(n != b for n, b in zip(shape[2:], base[2:], strict=True)):
        raise ProblemError(f"{name} has shape {shape}, {base} in base_model; expected a difference in width only")
    if shape == base:
        return Role.FIXED, 1.0
    if len(shape) == 1:
        return Role.INPUT, shape[0] / base[0]
    fan_out, fan_in = shape[0] / base[0], shape[1] / base[1]
    if is_table:  # rows are looked up: [vocabulary, width]
        fan_out, fan_in = fan_in, fan_out
    if fan_in == 1:
        return Role.INPUT, fan_out
    return (Role.OUTPUT if fan_out == 1 else Role.HIDDEN), fan_in


def _family(optimizer: Any) -> str:
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    name = optimizer if isinstance(optimizer, str) else kind.__name__
    families = {"sgd": SGD, "momentum": SGD, "nesterov": SGD, "adam": ADAM, "adamw": ADAM}
    if name.lower() not in families:
        raise ProblemError(f"optimizer is {name!r}; muP's tables are for {', '.join(families)}: use one of them")
    return families[name.lower()]
