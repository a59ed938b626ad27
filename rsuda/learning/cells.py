"""Turn images into cells: features of a frozen encoder on a grid of an eighth of the pixels, and labels on that grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.decoders import four_deepest
from rsuda.learning.most_likely import most_likely
from rsuda.learning.network import Encoder, resize

STRIDE = 8  # pixels of a cell's side
CONTEXT = 32  # pixels that an image is mirrored by at its borders, a multiple of encoders' strides


class CellEncoder(nn.Module):
    """An encoder that stays as it is: images (B, bands, H, W) -> cells (B, D, H / 8, W / 8).

    A cell is the features of the levels of strides 4, 8 and 16, side by side. Stride 32 separated classes less on three
    fields. Batch norm normalises by its running statistics, so a cell depends on its image alone.

    Encoders pad their levels with zeros, at the upper and left borders most. Cells there looked like another class.
    Votes on the upper 8 of 384 pixels were right for 29 % and 20 % of two fields, and for 70 % and 80 % in mirrored
    context.

    Args:
        encoder: becomes a part of this module, without gradients.
        smooth: whether coarse levels are resized to the finest one and averaged with it, which blurs them over the
            cells beside. If not, they are resized to the cells at once.
        bands: positions of the bands that the encoder reads; None for all.
    """

    def __init__(self, encoder: nn.Module, *, smooth: bool = False, bands: Sequence[int] | None = None) -> None:
        super().__init__()
        self.encoder, self.smooth = cast(Encoder, encoder.eval().requires_grad_(False)), smooth
        self.bands = None if bands is None else list(bands)
        self.levels = four_deepest(self.encoder.out_channels)[:3]

    @property
    def widths(self) -> list[int]:
        """Channels of each level in a cell; their sum is D."""
        return [self.encoder.out_channels[k] for k in self.levels]

    def train(self, mode: bool = True) -> CellEncoder:
        """Change nothing: the encoder stays as it is."""
        return self

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        image = image if self.bands is None else image[:, self.bands]
        context = CONTEXT if min(image.shape[-2:]) > CONTEXT else 0  # a mirror shows at most the image itself
        cells = self._cells(F.pad(image, (context,) * 4, mode="reflect") if context else image)
        border = context // STRIDE
        return cells[..., border : cells.shape[-2] - border, border : cells.shape[-1] - border]

    def _cells(self, image: Tensor) -> Tensor:
        """Encode the cells of an image within its context."""
        pyramid, size = self.encoder(image), cells_of(image)
        finest, *coarse = (pyramid[k] for k in self.levels)
        if self.smooth:
            coarse = [resize(level, finest.shape[-2:]) for level in coarse]
            return F.adaptive_avg_pool2d(torch.cat([finest, *coarse], 1), size)
        return torch.cat([F.adaptive_avg_pool2d(finest, size), *(resize(level, size) for level in coarse)], 1)


def cells_of(image: Tensor) -> tuple[int, int]:
    """Count the rows and columns of the cells of images (B, bands, H, W)."""
    return image.shape[-2] // STRIDE, image.shape[-1] // STRIDE


def labels_on_grid(label: Tensor, classes: int, size: tuple[int, int]) -> Tensor:
    """Resample labels (B, H, W) to a coarser grid: the class of at least half of a cell's pixels, else 255.

    BiCL takes the nearest pixel; a majority does not give a whole cell to a thin object that happens to lie at its centre.
    """
    height, width = (-(-n // cells) for n, cells in zip(label.shape[-2:], size, strict=True))
    if label.shape[-2:] != (height * size[0], width * size[1]):  # cells of unequal size
        one_hot = torch.stack([label == k for k in range(classes)], 1).float()
        share, winner = most_likely(F.adaptive_avg_pool2d(one_hot, size))
        return torch.where(share >= 0.5, winner, IGNORE)
    cells = (
        label.to(torch.uint8).unflatten(1, (size[0], height)).unflatten(3, (size[1], width)).transpose(2, 3).flatten(3)
    )
    count, winner = most_likely(torch.stack([(cells == k).sum(-1) for k in range(classes)], 1))
    return torch.where(2 * count >= height * width, winner, IGNORE)
