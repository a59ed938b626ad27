"""Define discriminators of domains, and their losses."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.learning.distributed import all_sum, world_size


class DataMask(NamedTuple):
    """Where a batch has data: ``cells`` (B, 1, h, w) bool of a feature, ``weight`` (B, 1, H, W) of pixels. The mean of
    ``weight`` over all processes is 1 (0 without any data)."""

    cells: Tensor
    weight: Tensor


def data_mask(valid: Tensor, cells: tuple[int, int]) -> DataMask:
    """Mask cells of which less than half is valid (B, H, W), pixels that are not, and whole images without a valid cell."""
    has_data = F.adaptive_avg_pool2d(valid[:, None].to(torch.float32), cells) >= 0.5
    pixels = valid[:, None] & has_data.any(-1, keepdim=True).any(-2, keepdim=True)
    share = all_sum(pixels.sum()) / (pixels.numel() * world_size())
    return DataMask(has_data, pixels / share.clamp(min=1e-12))


def spatial_softmax(feature: Tensor, cells: Tensor | None = None) -> Tensor:
    """Apply softmax over the h*w positions of each channel: (B, C, h, w) -> same shape, each channel sums to 1.

    Args:
        cells: (B, 1, h, w) bool, positions that take part; the others become 0. An image without any keeps all.
    """
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    if cells is not None:
        alone = ~cells.any(-1, keepdim=True).any(-2, keepdim=True)
        wide = wide.masked_fill(~(cells | alone), -torch.inf)
    return wide.flatten(2).softmax(-1).view_as(feature)


class Discriminator(nn.Sequential):
    """ST-DASegNet's discriminator: 4x4 convolutions with padding 1, all with bias.

    ``strided`` convolutions of stride 2 (channels base, 2 base, …), one of stride 1 that doubles again, one of stride 1
    to a logit map. LeakyReLU 0.2 is between, InstanceNorm before it but for the first layer.
    """

    def __init__(self, channels: int, base: int = 64, strided: int = 2) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = base
        for stride in [2] * (strided - 1) + [1]:
            layers += [nn.Conv2d(width, 2 * width, 4, stride, 1), nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        layers.append(nn.Conv2d(width, 1, 4, 1, 1))
        super().__init__(*layers)


def cells_after(cells: int, strided: int) -> int:
    """Count the cells per side at the last instance norm, which needs 2, for an input of ``cells`` per side."""
    for _ in range(strided):
        cells = cells // 2
    return cells - 1


def strided_layers(cells: int, most: int) -> int:
    """Find the largest number of strided layers, up to ``most``, that a feature of ``cells`` per side can feed.

    Raises InputError when not even one fits.
    """
    for strided in range(most, 0, -1):
        if cells_after(cells, strided) >= 2:
            return strided
    raise InputError(
        f"the discriminator needs at least 6 x 6 feature cells, but this window has {cells} x {cells}: use a larger "
        f"{spell('window')} (192 px at stride 32)"
    )


def domain_loss(logit_map: Tensor, real: bool, size: tuple[int, int], weight: Tensor | None = None) -> Tensor:
    """Compute the mean binary cross entropy of a logit map, resized to the image first as in the released code.

    Args:
        weight: (B, 1, H, W) of pixels; None: 1.
    """
    wide = logit_map.to(torch.promote_types(logit_map.dtype, torch.float32))
    logits = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
    weight = None if weight is None else weight.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)), weight)


class OutputDiscriminator(nn.Sequential):
    """AdaptSegNet's discriminator of class probabilities (B, K, H, W). Five 4x4 convolutions of stride 2 have channels
    K, base, 2 base, 4 base, 8 base, 1, with LeakyReLU 0.2 between and no norm. Needs 32 px at least."""

    def __init__(self, classes: int, base: int = 64) -> None:
        widths = [classes, base, 2 * base, 4 * base, 8 * base, 1]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
        super().__init__(*layers[:-1])


def frozen_discriminator(discriminator: nn.Module, feature: Tensor) -> Tensor:
    """Apply a discriminator to a feature (B, C, h, w); the gradient reaches the feature alone."""
    frozen = {name: p.detach() for name, p in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, frozen, (feature,))


def real_loss(answer: Tensor, real: bool, least_squares: bool) -> Tensor:
    """Compute the mean square distance to 1 (real) or 0, or binary cross entropy."""
    answer = answer.to(torch.promote_types(answer.dtype, torch.float32))
    label = torch.full_like(answer, float(real))
    return F.mse_loss(answer, label) if least_squares else F.binary_cross_entropy_with_logits(answer, label)
