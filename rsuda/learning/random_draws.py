"""Draw random numbers for one item of a batch, whatever its place in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class BatchShard:
    """One of ``of`` equal parts into which processes or accumulated batches divide a step's whole batch.

    What is drawn by the order of a batch is drawn for the whole one, and each part takes its own rows. So the parts
    together draw what one batch of all items would have drawn.
    """

    index: int = 0
    of: int = 1

    def whole(self, items: int) -> int:
        """Count the items of the whole batch of which ``items`` are a part."""
        return items * self.of

    def rows(self, items: int) -> slice:
        """Slice of the part's items in the whole batch."""
        return slice(self.index * items, (self.index + 1) * items)


def generators(key: Tensor, purpose: int) -> list[torch.Generator]:
    """Make a generator for each item, from its ``key`` (B,) int64; another ``purpose`` draws other numbers."""
    return [torch.Generator().manual_seed((int(k) * 31 + purpose) % (2**63)) for k in key]


def uniform(key: Tensor, purpose: int, *shape: int) -> Tensor:
    """Draw numbers (B, *shape) in 0..1, on the device of ``key``."""
    return torch.stack([torch.rand(shape, generator=g) for g in generators(key, purpose)]).to(key.device)
