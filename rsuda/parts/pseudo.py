"""Pseudo labels of unlabelled pixels, and how far they are trusted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PseudoLabels(NamedTuple):
    """``label`` (B, H, W) int64, ``confidence`` (B, H, W) in 0..1, ``weight`` (B, H, W), ``quality`` scalar in 0..1."""

    label: Tensor
    confidence: Tensor
    weight: Tensor
    quality: Tensor


@torch.no_grad()
def quality_weighted(
    logits: Tensor,
    valid: Tensor | None,
    class_factor: Tensor | None,
    certain: float = 0.975,
    trusted: float = 0.8,
    scaled: bool = True,
) -> PseudoLabels:
    """ST-DASegNet's pseudo labels: label l = argmax p, quality q = share of pixels with p >= ``certain``;
    weight q * c[l] where p >= ``trusted``, q / 2 elsewhere.

    Args:
        logits: (B, K, H, W).
        valid: (B, H, W) bool; other pixels (nodata) get weight 0 and do not count in q. None: all valid.
        class_factor: (K,), the factor c of each class; None: 1.
        scaled: False leaves q out of the weights (it is still reported).
    """
    confidence, label = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1).max(1)
    if valid is None:
        valid = torch.ones_like(label, dtype=torch.bool)
    quality = ((confidence >= certain) & valid).sum() / valid.sum().clamp(min=1)
    factor = torch.ones_like(confidence) if class_factor is None else class_factor.to(confidence)[label]
    weight = (quality if scaled else 1.0) * torch.where(confidence >= trusted, factor, 0.5) * valid
    return PseudoLabels(label, confidence, weight, quality)
