"""The class with the highest score, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def most_likely(score: Tensor) -> tuple[Tensor, Tensor]:
    """Highest score (B, ...) over the classes of (B, K, ...) and the first class that has it (int64).

    As ``score.max(1)``, which is slow on CPUs where classes are few.
    """
    best, label = score[:, 0].clone(), torch.zeros_like(score[:, 0], dtype=torch.uint8)
    for k in range(1, score.shape[1]):
        label.masked_fill_(score[:, k] > best, k)
        torch.maximum(best, score[:, k], out=best)
    return best, label.long()
