"""Build the encoder of an architecture, with its first weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import segmentation_models_pytorch as smp
from torch import nn

from rsuda.core.downloads import quick_downloads
from rsuda.core.errors import MissingError
from rsuda.core.packaged_encoders import PACKAGED
from rsuda.core.sample_data import SAMPLE, sample_encoder
from rsuda.core.spelling import spell
from rsuda.learning.architecture import Architecture
from rsuda.learning.encoders.adapters import add_adapters
from rsuda.learning.encoders.names import unknown_encoder
from rsuda.learning.encoders.timm_encoders import PREFIX, TimmModel, check_timm_encoder, is_timm, timm_model
from rsuda.learning.encoders.weights_file import WeightsFile, load_weights, read_weights
from rsuda.learning.layers import quicken
from rsuda.learning.packaged_weights import packaged_tensors


class Encoder(nn.Module):
    """Type of encoders: image -> pyramid, with the channels of its levels.

    Attributes:
        weights_note: what of a weights file is not used; empty where all is.
    """

    out_channels: list[int]
    weights_note: str


def check_encoder(name: str, output_stride: int = 32) -> None:
    """Raise InputError for an encoder that is unknown, or cannot take windows of any size. Nothing is built."""
    if is_timm(name):
        check_timm_encoder(name.removeprefix(PREFIX), output_stride)
    elif name.startswith(PREFIX) or name not in smp.encoders.get_encoder_names():
        raise unknown_encoder(name)


def build_encoder(arch: Architecture, weights: str = "none") -> Encoder:
    """Build an encoder, with weights 'none', 'imagenet' (downloaded by smp or timm), 'packaged', 'sample' or a file.

    Raises:
        InputError: unknown encoder, or the file's tensors do not fit it.
        MissingError: the weights cannot be downloaded, or the file is missing.
    """
    check_encoder(arch.encoder, arch.output_stride)
    try:
        encoder = _with_weights(arch, weights)
    except KeyError:
        raise unknown_encoder(arch.encoder) from None
    except (OSError, RuntimeError) as error:
        if weights != "imagenet" or isinstance(error, MissingError):
            raise
        raise MissingError(
            f"the ImageNet weights of {arch.encoder} could not be downloaded ({type(error).__name__}): go online once, "
            f"or pass {spell('weights', 'FILE')} (a .safetensors or .pth file of the encoder), "
            f"{spell('weights', 'packaged')} or {spell('weights', 'none')}"
        ) from error
    if arch.encoder == "mobilenet_v2":
        # Its last 1x1 convolution, 320 -> 1280 channels, serves the classifier. With it, modules that work on channel
        # pairs of the last level would cost 16 times as much.
        encoder.features[-1] = nn.Identity()
        encoder._out_channels = [*encoder.out_channels[:-1], 320]
    quicken(encoder)
    if arch.adapter_rank:
        add_adapters(encoder, arch.adapter_rank, arch.encoder)
    return cast(Encoder, encoder)


def _with_weights(arch: Architecture, weights: str) -> Any:
    """Build an encoder with its first weights."""
    description = timm_model(arch.encoder.removeprefix(PREFIX)) if arch.encoder.startswith(PREFIX) else None
    if weights == "imagenet":
        with quick_downloads():
            return _new(arch, arch.bands, description, pretrained=True)
    if weights == "none":
        return _new(arch, arch.bands, description)
    path = sample_encoder(arch.encoder) if weights == SAMPLE else Path(weights).expanduser()
    file = None if weights == PACKAGED else read_weights(path)
    # timm's encoders cannot change their number of bands later, so their tensors change before
    bands = arch.bands if description is not None or (file and file.has_other_bands) else 3
    encoder = _new(arch, bands, description)
    if file is None:
        file = WeightsFile(PACKAGED, packaged_tensors(arch.encoder, encoder.state_dict()))
    encoder.weights_note = load_weights(encoder, file, arch.encoder, description)
    if arch.bands != bands:
        encoder.set_in_channels(arch.bands, pretrained=True)
    return encoder


@cache
def made_for_three_bands(weights: str) -> bool:
    """Check whether pretrained weights, a name or a file, are for images of three bands."""
    if weights in ("imagenet", PACKAGED, SAMPLE):
        return True
    return weights != "none" and not read_weights(Path(weights).expanduser()).has_other_bands


def _new(arch: Architecture, bands: int, timm_encoder: TimmModel | None, *, pretrained: bool = False) -> Any:
    """Build an encoder with random weights, or those that timm or smp download."""
    if timm_encoder is not None:
        return timm_encoder.build(bands, arch.output_stride, pretrained=pretrained)
    stride = {} if arch.output_stride == 32 else {"output_stride": arch.output_stride}
    weights = "imagenet" if pretrained else None
    return smp.encoders.get_encoder(arch.encoder, in_channels=bands, weights=weights, **stride)


def encoder_notes(network: nn.Module) -> list[str]:
    """List the notes on the weights files of a network's encoders, each once."""
    notes = (getattr(module, "weights_note", "") for module in network.modules())
    return [note for note in dict.fromkeys(notes) if note]
