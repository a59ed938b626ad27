"""Let pretrained encoders take images standardised by ImageNet's statistics, whatever statistics they were trained with.

The first convolutions change once, when weights are loaded. So all encoders of a run see the same pixels, and saved networks
need to know nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD
from rsuda.learning.first_layer import first_convolutions

_STANDARDISED = (ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame)  # their weights undo any scale


class Statistics(NamedTuple):
    """Mean and deviation of each band on the 0..1 scale: one number for all, or numbers that repeat over the bands."""

    mean: Sequence[float]
    std: Sequence[float]


IMAGENET = Statistics(IMAGENET_MEAN, IMAGENET_STD)


def take_imagenet_statistics(encoder: nn.Module, tensors: dict[str, Tensor], statistics: Statistics) -> None:
    """Change an encoder's tensors for (v - mean) / std so that they take ImageNet's statistics, in place.

    The offset goes into the convolution's bias, or into the running mean of the batch norm behind it. The answer is the same,
    but for the border where a convolution pads. Convolutions that standardise their weights, or have neither bias nor
    batch norm, stay as they are.
    """
    if (tuple(statistics.mean), tuple(statistics.std)) == IMAGENET:
        return
    leaves = [
        (name, module)
        for name, module in encoder.named_modules()
        if isinstance(module, _BatchNorm) or not list(module.children())  # timm's batch norms hold their activation
    ]
    following = {name: after for (name, _), after in itertools.pairwise(leaves)}
    for name, convolution in first_convolutions(encoder):
        weight = tensors.get(f"{name}.weight")
        next_name, next_layer = following[name]
        bias, mean = f"{name}.bias", f"{next_name}.running_mean"
        has_norm = isinstance(next_layer, _BatchNorm) and mean in tensors
        if weight is None or isinstance(convolution, _STANDARDISED) or not (bias in tensors or has_norm):
            continue
        ours, our_std, theirs, their_std = (_by_band(values, weight) for values in (*IMAGENET, *statistics))
        offset = (weight * ((ours - theirs) / their_std)).sum((1, 2, 3))
        tensors[f"{name}.weight"] = weight * (our_std / their_std)
        if bias in tensors:
            tensors[bias] = tensors[bias] + offset
        else:
            tensors[mean] = tensors[mean] - offset


def _by_band(values: Sequence[float], weight: Tensor) -> Tensor:
    """Arrange values as (1, bands, 1, 1) for a weight (F, bands, h, w); bands repeat red, green and blue."""
    bands = torch.arange(weight.shape[1]) % len(values)
    return torch.tensor(values, dtype=weight.dtype)[bands].view(1, -1, 1, 1)
