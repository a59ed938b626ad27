"""Tell layers that an encoder's pretrained weights do not have: they always train, at the decoder's learning rate."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from rsuda.learning.encoders.adapters import ADAPTER
from rsuda.learning.encoders.plain_transformer import Finer


def is_new(model: nn.Module, name: str) -> bool:
    """Check whether a tensor of a model, by its name, is one of a layer that no pretrained weights have."""
    path, _, tensor = name.rpartition(".")
    if tensor.startswith(ADAPTER):
        return True
    module = model
    for part in path.split("."):
        if isinstance(module, Finer):
            return True
        module = getattr(module, part)
    return False


def new_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of layers that no pretrained weights have."""
    for module in model.modules():
        if isinstance(module, Finer):
            yield from module.parameters()
        else:
            yield from (p for name, p in module.named_parameters(recurse=False) if name.startswith(ADAPTER))
