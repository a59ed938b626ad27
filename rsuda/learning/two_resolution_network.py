"""HRDA's network: the whole image at half resolution for context, a part of it at full resolution for detail.

Hoyer, Dai, Van Gool, "HRDA: context-aware high-resolution domain-adaptive semantic segmentation", ECCV 2022, arXiv 2204.13132.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import STRIDE, Architecture, Decoder, Network, SegmentationNetwork, resize
from rsuda.learning.random_draws import uniform

GRID = 8  # detail windows lie on multiples of 8 px, so that both resolutions' features at stride 4 meet
WINDOW = 4  # purpose of the draw


class Detailed(NamedTuple):
    """Of a batch (B, bands, H, W) and a detail window of half its size for each image.

    ``pyramid`` of the half-resolution image; ``low``, ``high``: fused features of both; ``box`` (B, 2) first row and
    column of the detail window. ``low_logits`` and ``high_logits`` at stride 4 of their own resolutions; ``logits``
    (B, K, H, W).
    """

    pyramid: list[Tensor]
    low: Tensor
    high: Tensor
    box: Tensor
    low_logits: Tensor
    high_logits: Tensor
    logits: Tensor


def cut(x: Tensor, box: Tensor, size: tuple[int, int], scale: int = 1) -> Tensor:
    """Cut the window of each item of (B, ..., H, W); a pixel of it is ``scale`` image pixels long."""
    height, width = (n // scale for n in size)
    corners = (box // scale).tolist()
    return torch.stack([item[..., r : r + height, c : c + width] for item, (r, c) in zip(x, corners, strict=True)])


def put(parts: Tensor, box: Tensor, whole: tuple[int, int], scale: int) -> Tensor:
    """Put windows (B, C, h, w) at their places in zeros of the whole image's size.

    A pixel of the windows is ``scale`` image pixels long.
    """
    height, width = (n // scale for n in whole)
    h, w = parts.shape[-2:]
    corners = (box // scale).tolist()
    return torch.stack(
        [F.pad(part, (c, width - c - w, r, height - r - h)) for part, (r, c) in zip(parts, corners, strict=True)]
    )


def inside(box: Tensor, size: tuple[int, int], whole: tuple[int, int], scale: int) -> Tensor:
    """Make a mask (B, H, W), 1 in the window and 0 outside, on a grid whose cells are ``scale`` image pixels long."""
    return put(torch.ones(len(box), 1, size[0] // scale, size[1] // scale, device=box.device), box, whole, scale)[:, 0]


def random_boxes(key: Tensor, height: int, width: int) -> Tensor:
    """Draw corners (B, 2) of detail windows of half the image from each item's key."""
    u = uniform(key, WINDOW, 2)
    room = torch.tensor([height - height // 2, width - width // 2], device=u.device) // GRID
    return (u * (room + 1)).long().clamp(max=room) * GRID


@torch.no_grad()
def uncertain_boxes(low_logits: Tensor) -> Tensor:
    """Return for each image the window, of 3 x 3 that overlap by half, with the highest mean entropy (CLUDA), (B, 2).
    The entropy is that of the prediction at half resolution. ``low_logits`` (B, K, h, w), a pixel of which is 8 image
    pixels long."""
    log_p = low_logits.float().log_softmax(1)
    uncertain = -(log_p.exp() * log_p).sum(1, keepdim=True)
    height, width = uncertain.shape[-2:]
    size, stride = (height // 2, width // 2), (height // 4, width // 4)
    mean = F.avg_pool2d(uncertain, size, stride)
    best = mean.flatten(1).argmax(1)
    corner = torch.stack([best // mean.shape[-1] * stride[0], best % mean.shape[-1] * stride[1]], 1)
    return corner * GRID


def pasted_on_grid(feature: Tensor, box: Tensor, whole: tuple[int, int]) -> Tensor:
    """Put features (B, C, h, w) of the detail windows at their places on a grid of 8 px, 0 outside."""
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    return put(resize(wide, (whole[0] // 2 // GRID, whole[1] // 2 // GRID)), box, whole, GRID)


def two_resolution_cross_entropy(
    out: Detailed, label: Tensor, detail_weight: float, weight: Tensor | None = None
) -> Tensor:
    """Compute (1 - lambda_d) CE(fused) + lambda_d CE(detail window at full resolution).

    ``label`` and ``weight`` are (B, H, W).
    """
    size = (label.shape[-2] // 2, label.shape[-1] // 2)
    part = None if weight is None else cut(weight, out.box, size)
    whole = cross_entropy(out.logits, label, pixel_weight=weight)
    detail = cross_entropy(resize(out.high_logits, size), cut(label, out.box, size), pixel_weight=part)
    return (1 - detail_weight) * whole + detail_weight * detail


class TwoResolutionNetwork(SegmentationNetwork):
    """One encoder and decoder at both resolutions, and a scale attention that chooses between them pixel by pixel.

    Prediction covers the image by 3 x 3 overlapping detail windows. Image sides are padded to multiples of 64.
    """

    kind: ClassVar[str] = "two-resolution"

    def __init__(self, arch: Architecture, weights: str = "none") -> None:
        super().__init__(arch)
        self.network = Network(arch, weights)
        # the all-MLP decoder is the attention's "1x1 fusion"; one value for each class
        self.attention = Decoder(replace(arch, decoder="segformer"), self.network.encoder.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        image = F.pad(image, (0, -width % (2 * STRIDE), 0, -height % (2 * STRIDE)), mode="replicate")
        whole = (image.shape[-2], image.shape[-1])
        size = (whole[0] // 2, whole[1] // 2)
        pyramid, _, low = self._low(image)
        total = low.new_zeros(image.shape[0], low.shape[1], whole[0] // 4, whole[1] // 4)
        count = total.new_zeros(1, 1, *total.shape[-2:])
        places = [(r, c) for r in (0, size[0] // 2, size[0]) for c in (0, size[1] // 2, size[1])]
        parts = torch.cat([image[..., r : r + size[0], c : c + size[1]] for r, c in places])
        _, logits = self.network.decoder(self.network.encoder(parts))
        logits = resize(logits, (size[0] // 4, size[1] // 4))
        # sizes are asked of shapes and parts unflattened, so that an exported network takes batches of any size
        for (r, c), part in zip(places, logits.unflatten(0, (len(places), -1)), strict=True):
            place = (..., slice(r // 4, (r + size[0]) // 4), slice(c // 4, (c + size[1]) // 4))
            total[place] += part
            count[place] += 1
        everywhere = torch.ones(image.shape[0], whole[0] // 8, whole[1] // 8, device=image.device)
        fused = self._fuse(pyramid, low, total / count, everywhere)
        return resize(fused, whole)[..., :height, :width]

    def with_detail(self, image: Tensor, box: Tensor | Callable[[Tensor], Tensor]) -> Detailed:
        """Predict images (B, bands, H, W) at both resolutions with one detail window each, for training.

        ``box`` holds the corners (B, 2) of the windows, or chooses them by the logits at half resolution.
        """
        whole = (image.shape[-2], image.shape[-1])
        size = (whole[0] // 2, whole[1] // 2)
        pyramid, low, low_logits = self._low(image)
        box = box if isinstance(box, Tensor) else box(low_logits)
        high, high_logits = self.network.decoder(self.network.encoder(cut(image, box, size)))
        high_logits = resize(high_logits, (size[0] // 4, size[1] // 4))
        pasted = put(high_logits, box, whole, 4)
        fused = self._fuse(pyramid, low_logits, pasted, inside(box, size, whole, GRID))
        return Detailed(pyramid, low, high, box, low_logits, high_logits, resize(fused, whole))

    def halved(self, image: Tensor) -> Tensor:
        """Halve the sides of images (B, bands, H, W), as the context branch sees them."""
        return resize(image, (image.shape[-2] // 2, image.shape[-1] // 2))

    def _low(self, image: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Compute the pyramid, fused feature and logits, at stride 4, of the image at half its resolution."""
        half = self.halved(image)
        pyramid = self.network.encoder(half)
        fused, logits = self.network.decoder(pyramid)
        return pyramid, fused, resize(logits, (half.shape[-2] // 4, half.shape[-1] // 4))

    def _fuse(self, pyramid: list[Tensor], low: Tensor, high: Tensor, mask: Tensor) -> Tensor:
        """Compute up((1 - A) low) + up(A) high, with the attention A = 0 where there is no detail."""
        attention = resize(self.attention(pyramid)[1], low.shape[-2:]).sigmoid() * mask[:, None]
        return resize((1 - attention) * low, high.shape[-2:]) + resize(attention, high.shape[-2:]) * high
