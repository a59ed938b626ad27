"""Paste pixels of some classes of one image onto another: ClassMix (Olsson et al., WACV 2021; across domains in DACS)."""

from __future__ import annotations

import torch
from torch import Tensor

from rsuda.core.legend import IGNORE
from rsuda.learning.random_draws import generators

CLASSES = 1  # purposes of draws


def class_mask(label: Tensor, key: Tensor) -> Tensor:
    """Draw a mask (B, H, W) bool: the pixels of half of the classes that each image holds, n = (k + k mod 2) / 2.

    Classes are drawn image by image; the released code of DAFormer draws them over the whole batch. Ignored pixels
    are never pasted; the released codes count 255 as a class.
    """
    masks = []
    for y, generator in zip(label, generators(key, CLASSES), strict=True):
        present = y.unique()
        present = present[present != IGNORE]
        count = (len(present) + len(present) % 2) // 2
        classes = present[torch.randperm(len(present), generator=generator)[:count].to(y.device)]
        masks.append(torch.isin(y, classes))
    return torch.stack(masks)


def paste(mask: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Paste ``source`` onto ``target`` where the mask holds; both (B, H, W) or (B, C, H, W)."""
    return torch.where(mask if source.ndim == 3 else mask[:, None], source, target)
