"""Mask blocks of images (MIC, Hoyer et al., CVPR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.learning.random_draws import uniform

MASK = 2  # purpose of the draw


def block_mask(image: Tensor, key: Tensor, block: int, ratio: float) -> Tensor:
    """Draw a mask (B, 1, H, W) of 0 and 1: blocks of ``block`` px are 1 where a uniform number u > ``ratio``."""
    height, width = image.shape[-2:]
    cells = uniform(key, MASK, 1, max(1, round(height / block)), max(1, round(width / block)))
    return F.interpolate((cells > ratio).to(torch.float32), size=(height, width), mode="nearest")
