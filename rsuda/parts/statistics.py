"""Which images the running statistics of batch norm follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Inside, batch norm normalises by the batch as ever but leaves its running statistics as they are."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [n.momentum for n in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
