"""Losses on pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from rsuda.legend import IGNORE


def cross_entropy(
    logits: Tensor, label: Tensor, class_weight: Tensor | None = None, pixel_weight: Tensor | None = None
) -> Tensor:
    """Mean over ALL pixels of weight * cross entropy; ignored pixels count as 0 in that mean.

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
