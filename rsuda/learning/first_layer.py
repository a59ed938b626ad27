"""Fit the first convolution of encoders that were pretrained on RGB to other bands.

For up to four bands the RGB filters are used in file order. So near infrared in front of red and green has red's
filters, as in the ISPRS papers. The fourth band repeats the first filters. From five bands on, red, green and blue have
their own filters by name, and all other bands have the mean of the three. Filters are scaled by 3 / bands, which keeps
the size of activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

RGB = ("red", "green", "blue")
COLOURS = ("ir", "red", "green", "blue")  # from long waves to short ones, as false-colour images have them
_IN_ORDER = 4  # bands up to which filters follow file order


@torch.no_grad()
def name_filters(network: nn.Module, bands: Sequence[str]) -> None:
    """Give the bands of a network with pretrained encoders their filters by name, in place.

    Encoders of smp and timm repeat the RGB filters over the bands (R, G, B, R, …), scaled by 3 / bands. This function
    moves them to their bands. Nothing changes for up to four bands, and where no band is red, green or blue.
    """
    if len(bands) <= _IN_ORDER or not set(RGB) & set(bands):
        return
    for encoder in (module for module in network.modules() if is_encoder(module)):
        for _, first in first_convolutions(encoder):
            if first.weight.shape[1] != len(bands):
                continue
            filters = first.weight[:, :3].clone()
            for number, band in enumerate(bands):
                first.weight[:, number] = filters[:, RGB.index(band)] if band in RGB else filters.mean(1)


def composite_of(bands: Sequence[str]) -> tuple[int, ...] | None:
    """Choose the bands that an encoder pretrained on RGB reads as it reads photographs, by position.

    Three bands are read in their order, and one as grey. Of others, red, green and blue are, or else the longest waves
    of near infrared, red, green and blue. Of only two of these the shorter wave is read twice, as photographs have much the
    same in green and blue. None without two of them.
    """
    if len(bands) in (1, 3):
        return tuple(range(len(bands)))
    names = RGB if set(RGB) <= set(bands) else [name for name in COLOURS if name in bands][:3]
    if len(names) < 2:
        return None
    return tuple(list(bands).index(name) for name in (*names, names[-1])[:3])


def repeat_filters(encoder: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Repeat the RGB filters of an encoder's tensors over the encoder's bands, scaled by 3 / bands, in place."""
    for name, module in first_convolutions(encoder):
        key, bands = f"{name}.weight", module.weight.shape[1]
        if key in tensors and tensors[key].shape[1] == 3 and bands != 3:
            order = torch.arange(bands) % 3
            filters = tensors[key]
            tensors[key] = filters.sum(1, keepdim=True) if bands == 1 else filters[:, order] * (3 / bands)


def first_convolutions(encoder: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """List the convolutions that read the image, by name: one, or the branches of a block that folds them later."""
    every = [(name, module) for name, module in encoder.named_modules() if isinstance(module, nn.Conv2d)]
    if not every:
        return []
    form = _form(every[0][1])
    if form[0] == form[1]:  # the next layer may look alike
        return every[:1]
    return list(takewhile(lambda item: _form(item[1]) == form, every))


def _form(layer: nn.Conv2d) -> tuple[int, int, tuple[int, ...]]:
    return layer.in_channels, layer.out_channels, tuple(layer.stride)


def is_encoder(module: nn.Module) -> bool:
    """Check whether a module is an encoder of smp, which knows its output stride and the channels of its pyramid."""
    return hasattr(module, "output_stride") and hasattr(module, "out_channels")
