"""Build encoders of timm ('tu-NAME') for images of any size, and say which cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from re import fullmatch
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from timm.models.maxxvit import PartitionAttentionCl
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.display import quoted
from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.learning.encoders.input_statistics import IMAGENET, Statistics, take_imagenet_statistics
from rsuda.learning.encoders.plain_transformer import PATCHES, PlainTransformer
from rsuda.learning.shapes_alone import NoDrawsOfShapes, shapes_alone

PREFIX = "tu-"
_PROBE = (96, 160)  # rows and columns of an image that every encoder takes


@dataclass(frozen=True)
class TimmModel:
    """Facts of timm's model of a name.

    Attributes:
        options: of ``timm.create_model``, which make the image's size free.
        plain: whether all its blocks have one stride, so that ``PlainTransformer`` makes the pyramid.
        one_size: whether timm says that it is made for images of one size.
        convolves_bands: whether a convolution reads the image, so that its filters can be repeated for other bands.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    plain: bool = False
    one_size: bool = False
    convolves_bands: bool = True

    def build(self, bands: int, output_stride: int = 32, *, pretrained: bool = False) -> Any:
        """Build the encoder, with random weights or those that timm downloads."""
        encoder = self._new(bands, output_stride, pretrained)
        if pretrained:
            tensors = encoder.state_dict()
            take_imagenet_statistics(encoder, tensors, self.statistics)
            encoder.load_state_dict(tensors)
        return encoder

    def _new(self, bands: int, output_stride: int, pretrained: bool) -> Any:
        if self.plain:
            return PlainTransformer(self.name, bands, output_stride, self.options, pretrained)
        stride = {} if output_stride == 32 else {"output_stride": output_stride}
        with NoDrawsOfShapes():  # smp builds a model of shapes first
            encoder = smp.encoders.get_encoder(
                f"{PREFIX}{self.name}",
                in_channels=bands,
                weights=True if pretrained else None,
                **stride,
                **self.options,
            )
        for module in encoder.modules():
            if type(module) is PartitionAttentionCl:
                module.__class__ = PaddedPartitions
        return encoder

    def whole(self) -> Any:
        """Build timm's own model without weights, for the shapes and names of its tensors."""
        with shapes_alone():
            return timm.create_model(self.name, **self.options)

    @property
    def statistics(self) -> Statistics:
        """Mean and deviation of the images that timm's weights of this name were trained with."""
        cfg = timm.get_pretrained_cfg(self.name)
        return IMAGENET if cfg is None else Statistics(tuple(cfg.mean), tuple(cfg.std))


class PaddedPartitions(PartitionAttentionCl):
    """MaxViT's attention within windows and grids, for maps of any size: padded with zeros, as Swin's windows are."""

    def _partition_attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        rows, cols = self.partition_size
        padded_map = F.pad(x, (0, 0, 0, -width % cols, 0, -height % rows))
        padded_result: Tensor = super()._partition_attn(padded_map)
        return padded_result[:, :height, :width]


def is_timm(name: str) -> bool:
    """Check whether timm itself has a model of an encoder's name."""
    model = name.removeprefix(PREFIX)  # timm would fetch 'hf-hub:…', and import what a folder 'local-dir:…' says
    return name.startswith(PREFIX) and fullmatch(r"[\w.]+", model) is not None and timm.is_model(model)


@cache
def timm_model(name: str) -> TimmModel:
    """Look at timm's model of a name without building it.

    Raises InputError for one that cannot be an encoder of images of any size.
    """
    with shapes_alone():
        try:
            model: Any = timm.create_model(name)
        except Exception as error:  # of many kinds, in models that need other libraries or sizes
            raise _refused(name, f"timm cannot build it ({quoted(error, 120)})") from None
    kinds = [kind for kind in type(model).__mro__ if issubclass(kind, nn.Module)]
    parameters = {parameter for kind in kinds for parameter in signature(kind).parameters}
    options: dict[str, Any] = {}
    if "dynamic_img_size" in parameters:
        options["dynamic_img_size"] = True
    if "strict_img_size" in parameters:
        options["strict_img_size"] = False
    levels = [level for level in getattr(model, "feature_info", None) or [] if isinstance(level, dict)]
    strides = {int(level["reduction"]) for level in levels if "reduction" in level}
    plain = len(strides) == 1 and hasattr(model, "forward_intermediates")
    if plain and (stride := strides.pop()) not in PATCHES:
        # the weights of 14 px become those of 16 px when they are loaded (FlexiViT, Beyer et al., CVPR 2023)
        options["patch_size"] = min(PATCHES, key=lambda size: abs(size - stride))
    convolves_bands = any(isinstance(layer, nn.Conv2d) and layer.in_channels == 3 for layer in model.modules())
    return TimmModel(name, options, plain, bool(model.pretrained_cfg.get("fixed_input_size")), convolves_bands)


@cache
def check_timm_encoder(name: str, output_stride: int) -> None:
    """Raise InputError for a model of timm that cannot be an encoder of images of any size. Nothing is built."""
    description = timm_model(name)
    if not description.convolves_bands:
        raise _refused(name, "it has no convolution of the bands, so its pretrained weights fit three bands alone")
    if not (description.one_size or description.plain):  # a convolutional network
        return
    try:
        with shapes_alone(), torch.no_grad():
            pyramid = description.build(3, output_stride).eval()(torch.empty(1, 3, *_PROBE))
    except Exception:  # of many kinds, out of models that are made for one size
        if output_stride != 32 and not description.plain:
            check_timm_encoder(name, 32)
            raise _refused(
                name, "it has no output stride but 32", f"pass {spell('network.output_stride', 32)}"
            ) from None
        raise _refused(name, "it is made for images of one size") from None
    strides = [min(stride, output_stride) for stride in (4, 8, 16, 32)]
    if [level.shape[-2:] for level in pyramid[-4:]] != [(_PROBE[0] // s, _PROBE[1] // s) for s in strides]:
        raise _refused(name, "its features do not have the strides 4, 8, 16 and 32")


def _refused(name: str, why: str, instead: str = "") -> InputError:
    instead = instead or f"choose another {spell('encoder')}"
    return InputError(f"the encoder {PREFIX}{name} cannot be used, since {why}: {instead}")
