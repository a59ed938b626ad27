"""Define decoders that segmentation-models-pytorch lacks, or has slower: SegFormer's, DAFormer's and DeepLab-V2's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import torch
from segmentation_models_pytorch.base.modules import Conv2dReLU
from torch import Tensor, nn
from torch.nn import functional as F


class Separable(nn.Sequential):
    """Depthwise 3x3 and pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, before: int, after: int, dilation: int) -> None:
        super().__init__(
            nn.Conv2d(before, before, 3, padding=dilation, dilation=dilation, groups=before, bias=False),
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Conv2d(before, after, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )


def four_deepest(channels: Sequence[int]) -> list[int]:
    """Find the indices of the levels at strides 4 to 32 of a pyramid whose first level is the image.

    MiT has no level at stride 2.
    """
    return [k for k, c in enumerate(channels) if k and c][-4:]


class AllMLPDecoder(nn.Module):
    """SegFormer's decoder (Xie et al., NeurIPS 2021). Each level gets ``width`` channels, all at the size of the
    finest, concatenated, fused by a 1x1 convolution, batch norm, ReLU.

    A 1x1 convolution and a bilinear resize can change places. One convolution of concatenated parts is a sum over the
    parts, and two in a row are one whose weight is the product. So each level passes one convolution at its own small
    size and the sum is taken after resizing. This is the same function for a tenth of the work.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = four_deepest(channels)
        self.embed = nn.ModuleList(nn.Conv2d(channels[k], width, 1) for k in self.levels)
        self.fuse = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in self.levels)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        size = pyramid[self.levels[0]].shape[-2:]
        parts = [
            in_a_row(cast(nn.Conv2d, embed), cast(nn.Conv2d, fuse), pyramid[k])
            for k, embed, fuse in zip(self.levels, self.embed, self.fuse, strict=True)
        ]
        coarse = [F.interpolate(part, size=size, mode="bilinear", align_corners=False) for part in parts[1:]]
        total = coarse[0]
        for part in [*coarse[1:], parts[0]]:
            total = total.add_(part)  # no gradient needs what is overwritten
        return cast(Tensor, self.norm(total)).relu_()


class FoldedMLPDecoder(nn.Module):
    """``AllMLPDecoder`` for prediction: one weight a level, with the batch norm folded in.

    Attributes:
        products: a linear layer of each level; the first one has the bias of their sum.
    """

    def __init__(self, decoder: AllMLPDecoder) -> None:
        super().__init__()
        self.levels, norm = decoder.levels, decoder.norm
        assert norm.running_var is not None and norm.running_mean is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = norm.bias - scale * norm.running_mean
        self.products = nn.ModuleList()
        for embed, fuse in zip(decoder.embed, decoder.fuse, strict=True):
            outer = scale[:, None] * cast(nn.Conv2d, fuse).weight.flatten(1)
            weight = outer @ cast(nn.Conv2d, embed).weight.flatten(1)
            bias = bias + outer @ cast(Tensor, cast(nn.Conv2d, embed).bias)
            product = nn.Linear(weight.shape[1], weight.shape[0], bias=not self.products, device="meta")
            product.weight = nn.Parameter(weight)
            self.products.append(product)
        cast(nn.Linear, self.products[0]).bias = nn.Parameter(bias)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        size = pyramid[self.levels[0]].shape[-2:]
        total, *coarse = [
            product(pyramid[k].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for k, product in zip(self.levels, self.products, strict=True)
        ]
        for part in coarse:
            total = total.add_(F.interpolate(part, size=size, mode="bilinear", align_corners=False))
        return cast(Tensor, total.relu_())


def in_a_row(first: nn.Conv2d, second: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply 1x1 convolutions as ``second(first(x))``, as one matrix product wherever that is less work.

    The second has no bias.
    """
    if x.shape[-2] * x.shape[-1] <= first.in_channels:  # then the product of the weights costs more than it saves
        return cast(Tensor, second(first(x)))
    kind = x.device.type
    # a product rounded to bfloat16 would be another weight; an exported program must hold no such context
    with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
        outer = second.weight.flatten(1)
        weight, bias = outer @ first.weight.flatten(1), None if first.bias is None else outer @ first.bias
    # with one thread torch takes a slow path for 1x1 convolutions, whose result is not channels last besides
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


class ContextDecoder(nn.Module):
    """DAFormer's decoder: each level to ``width`` channels, all at the size of the finest, then ASPP without image pooling.

    The four deepest levels are used (MiT has no others). Dilations 1, 6, 12, 18, all but the first (1x1) depthwise
    separable; 3x3 bottleneck to ``width`` channels.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = four_deepest(channels)
        self.embed = nn.ModuleList(nn.Conv2d(channels[k], width, 1) for k in self.levels)
        fused = width * len(self.levels)
        branches = [Conv2dReLU(fused, width, 1), *(Separable(fused, width, d) for d in (6, 12, 18))]
        self.context = nn.ModuleList(branches)
        self.bottleneck = Conv2dReLU(width * len(branches), width, 3, padding=1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        size = pyramid[self.levels[0]].shape[-2:]
        levels_at_one_size = [
            F.interpolate(embed(pyramid[k]), size=size, mode="bilinear", align_corners=False)
            for k, embed in zip(self.levels, self.embed, strict=True)
        ]
        x = torch.cat(levels_at_one_size, 1)
        fused: Tensor = self.bottleneck(torch.cat([branch(x) for branch in self.context], 1))
        return fused


class DilatedClassifier(nn.Module):
    """DeepLab-V2's decoder: parallel dilated 3x3 convolutions of the last level, each to one channel a class.

    Their concatenation is the fused feature (BiCL contrasts in it), their sum is the logits. All four dilations are
    summed; AdaptSegNet's released code returns after two by mistake.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=d, dilation=d) for d in (6, 12, 18, 24))

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        return torch.cat([branch(pyramid[-1]) for branch in self.branches], 1)


class SumOfBranches(nn.Module):
    """Logits (B, K, h, w) from concatenated branches (B, n K, h, w)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, branches: Tensor) -> Tensor:
        by_branch: Tensor = branches.unflatten(1, (-1, self.classes))
        return by_branch.sum(1)
