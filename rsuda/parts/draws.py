"""Random draws for one item of a batch, which do not depend on its place in the batch."""

from __future__ import annotations

import torch
from torch import Tensor


def generators(key: Tensor, purpose: int) -> list[torch.Generator]:
    """A generator for each item, from its ``key`` (B,) int64; another ``purpose`` draws other numbers."""
    return [torch.Generator().manual_seed((int(k) * 31 + purpose) % (2**63)) for k in key]


def uniform(key: Tensor, purpose: int, *shape: int) -> Tensor:
    """(B, *shape) numbers in 0..1, on the device of ``key``."""
    return torch.stack([torch.rand(shape, generator=g) for g in generators(key, purpose)]).to(key.device)
