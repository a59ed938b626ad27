"""Measure the distance of features to a frozen ImageNet encoder's (DAFormer, Hoyer et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.learning.distributed import shared_mean


def thing_cells(label: Tensor, things: list[int], cells: tuple[int, int], least: float = 0.75) -> Tensor:
    """Find the cells (B, h, w) bool of the feature grid of which one thing class covers at least ``least``."""
    masks = [F.adaptive_avg_pool2d((label == k)[:, None].to(torch.float32), cells)[:, 0] >= least for k in things]
    return torch.stack(masks).any(0) if masks else torch.zeros(len(label), *cells, dtype=torch.bool)


def feature_distance(feature: Tensor, frozen: Tensor, cells: Tensor) -> Tensor:
    """Compute the mean Euclidean distance of features (B, C, h, w) over ``cells`` (B, h, w) bool; 0 without cells."""
    wide = torch.promote_types(feature.dtype, torch.float32)
    # the small number keeps the gradient of the root finite where both are equal, as they are before the first step
    distance = ((feature.to(wide) - frozen.to(wide)).square().sum(1) + 1e-12).sqrt()
    cells = cells.to(distance.device)
    return shared_mean((distance * cells).sum(), cells.sum())
