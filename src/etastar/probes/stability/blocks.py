"""The blocks of a network: found by themselves, or named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from etastar.arguments import Whole, shown
from etastar.errors import ProblemError

ROWS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
MOST = 24
"""Blocks of a picture that can be read, and of a look's memory."""
LISTED = 16
"""Names that a refusal lists."""
COUNT = Whole(1, 10_000, "blocks at most")


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, out of `torch.compile` and `DistributedDataParallel`: hooks fire there.

    >>> net = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(net)) is net
    True
    """
    while True:
        if isinstance(inner := model._modules.get("_orig_mod"), nn.Module):
            model = inner
        elif isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        else:
            return model


def blocks_of(model: nn.Module, blocks: str | Sequence[str] | None = None, *, most: int = MOST) -> tuple[str, ...]:
    """Names of the blocks of a network, in the order of its definition.

    A block is a module that stands in a row (`Sequential`, `ModuleList`) beside another of its class, or one without a row
    of composite modules below it; anything else is looked into. So a ResNet has its residual blocks, a transformer its
    layers, and both their stem and head.

    Args:
        model: compiled and distributed ones are unwrapped.
        blocks: names or globs of modules, also in one text with commas; `*` does not reach over a dot. None: automatic.
        most: of automatic blocks; from more, so many are taken at equal distances, the first and the last among them.

    Raises:
        ProblemError: a name that no module has, or a model without parameters.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))
    >>> blocks_of(net), blocks_of(net, "*"), blocks_of(net, most=2)
    (('0', '2', '4'), ('0', '1', '2', '3', '4'), ('0', '4'))
    """
    model = unwrapped(model)
    if blocks is not None:
        return _named(model, blocks)
    COUNT("most", most)
    found = list(dict.fromkeys(_within(model, "")))
    while len(found) == 1 and (deeper := list(dict.fromkeys(_within(model.get_submodule(found[0]), f"{found[0]}.")))):
        found = deeper
    if not found:
        if not any(True for _ in model.parameters()):
            raise ProblemError("the model has no parameters; expected a network whose blocks have weights")
        return ("",)
    if len(found) > most:
        last = max(most - 1, 1)
        found = [found[round(i * (len(found) - 1) / last)] for i in range(most)]
    return tuple(found)


def _within(module: nn.Module, prefix: str) -> Iterator[str]:
    """The blocks below a module that is none itself."""
    weighty = {name: child for name, child in module.named_children() if any(True for _ in child.parameters())}
    kinds = Counter(map(type, weighty.values()))
    for name, child in weighty.items():
        stands = isinstance(module, ROWS) and kinds[type(child)] > 1
        if isinstance(child, ROWS) or (not stands and _has_row(child)):
            yield from _within(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def _has_row(module: nn.Module) -> bool:
    """Whether below it composite modules of one class with weights stand side by side."""
    for row in module.modules():
        if isinstance(row, ROWS):
            kinds = Counter(type(m) for m in row.children() if any(True for _ in m.parameters()) and any(m.children()))
            if any(count > 1 for count in kinds.values()):
                return True
    return False


def _named(model: nn.Module, blocks: str | Sequence[str]) -> tuple[str, ...]:
    wanted = [part.strip() for part in blocks.split(",")] if isinstance(blocks, str) else blocks
    if not isinstance(wanted, Sequence) or not wanted or not all(isinstance(name, str) and name for name in wanted):
        raise ProblemError(f"blocks is {shown(blocks)}; expected names or globs of modules, e.g. ['layer*.*', 'fc']")
    names = [name for name, _ in model.named_modules() if name]
    found = {pattern: [name for name in names if _matches(name, pattern)] for pattern in wanted}
    for pattern, matching in found.items():
        if not matching:
            raise ProblemError(f"no module is called {shown(pattern)}; expected names or globs of {_listed(names)}")
    chosen = {name for matching in found.values() for name in matching}
    return tuple(name for name in names if name in chosen)


def _matches(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _listed(names: Sequence[str]) -> str:
    top = [name for name in names if name.count(".") < 2]
    more = f" ... ({len(names):,} in all)" if len(names) > len(top[:LISTED]) else ""
    return ", ".join(top[:LISTED]) + more
