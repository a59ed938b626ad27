"""Compute losses on pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.distributed import shared_mean


def cross_entropy(
    logits: Tensor, label: Tensor, class_weight: Tensor | None = None, pixel_weight: Tensor | None = None
) -> Tensor:
    """Compute the mean over ALL pixels of weight * cross entropy; ignored pixels count as 0 in that mean.

    This is the convention of the segmentation papers built on mmseg (ST-DASegNet, DAFormer, …). It differs from
    torch's weighted mean, which divides by the sum of the class weights of the pixels that are not ignored.

    Args:
        logits: (B, K, H, W).
        label: (B, H, W) integers, 255 is ignored.
        class_weight: (K,), multiplies, does not normalise.
        pixel_weight: (B, H, W).
    """
    loss = F.cross_entropy(logits, label.long(), class_weight, ignore_index=IGNORE, reduction="none")
    if pixel_weight is not None:
        loss = loss * pixel_weight
    return loss.mean()


def labelled_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Compute the mean cross entropy of logits (B, K, H, W) over pixels whose label (B, H, W) is not 255.

    It is 0 without such a pixel, where torch has 0 / 0.
    """
    loss = F.cross_entropy(logits, label.long(), ignore_index=IGNORE, reduction="sum")
    return shared_mean(loss, (label != IGNORE).sum())


def entropy(logits: Tensor, valid: Tensor) -> Tensor:
    """Compute the mean over valid pixels (B, H, W) of -sum_c p_c log p_c, natural logarithm, not divided by log K."""
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
    return -shared_mean(((log_p.exp() * log_p).sum(1) * valid).sum(), valid.sum())
