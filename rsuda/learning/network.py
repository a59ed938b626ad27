"""Segmentation networks from segmentation-models-pytorch as (feature pyramid, fused feature, logits); pretrained weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from re import fullmatch
from typing import Any, ClassVar, NamedTuple, cast

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file
from segmentation_models_pytorch.base import initialization
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.packaged_encoders import PACKAGED
from rsuda.core.sample_data import SAMPLE, sample_encoder
from rsuda.core.spelling import spell
from rsuda.learning.decoders import AllMLPDecoder, ContextDecoder, DilatedClassifier, SumOfBranches
from rsuda.learning.downloads import quick_downloads
from rsuda.learning.first_layer import repeat_filters
from rsuda.learning.layers import quicken
from rsuda.learning.packaged_weights import packaged_tensors

DECODERS = ("segformer", "daformer", "deeplabv3plus", "deeplabv2", "unet")
STRIDE = 32  # every encoder used here halves its input five times or dilates from there; crops are multiples of it


@dataclass(frozen=True)
class Architecture:
    """What a network is built from; saved beside its weights.

    Attributes:
        encoder: any encoder name of segmentation-models-pytorch ('mit_b5', 'resnet50', 'mobilenet_v2', 'tu-…').
        decoder: 'segformer' (all-MLP), 'daformer', 'deeplabv3plus', 'deeplabv2' or 'unet'.
        channels: width of the fused feature.
        dropout: Dropout2d before the classifier.
        output_stride: 8, 16 or 32; the encoder's last stages are dilated instead of strided below 32.
    """

    encoder: str
    decoder: str
    classes: int
    bands: int = 3
    channels: int = 256
    dropout: float = 0.0
    output_stride: int = 32

    def as_fields(self) -> dict[str, Any]:
        return asdict(self)


class Output(NamedTuple):
    """Of a batch (B, bands, H, W): ``pyramid``, features by level, the first is the image itself; ``fused`` (B, F, h, w);
    ``logits`` (B, K, H, W)."""

    pyramid: list[Tensor]
    fused: Tensor
    logits: Tensor


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize with align_corners=False, as all three papers use."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """What smp's encoders are to the type checker: image -> pyramid, with the channels of its levels."""

    out_channels: list[int]


def build_encoder(arch: Architecture, weights: str = "none") -> Encoder:
    """An encoder, with weights 'none', 'imagenet' (downloaded by smp or timm), 'packaged', 'sample' or a file.

    Raises:
        InputError: unknown encoder, or the file's tensors do not fit it.
        MissingError: weights cannot be downloaded, or there is no such file.
    """
    if not _is_encoder(arch.encoder):  # timm would fetch 'hf-hub:…', and import what a folder 'local-dir:…' says
        raise unknown("encoder", arch.encoder, smp.encoders.get_encoder_names())
    try:
        encoder = _with_weights(arch, weights)
    except KeyError:
        raise unknown("encoder", arch.encoder, smp.encoders.get_encoder_names()) from None
    except (OSError, RuntimeError) as error:
        if weights != "imagenet" or isinstance(error, MissingError):
            raise
        raise MissingError(
            f"the ImageNet weights of {arch.encoder} could not be downloaded ({type(error).__name__}): go online once, "
            f"or pass {spell('weights', 'FILE')} (a .safetensors or .pth file of the encoder), "
            f"{spell('weights', 'packaged')} or {spell('weights', 'none')}"
        ) from error
    if arch.encoder == "mobilenet_v2":
        # its last 1x1 convolution, 320 -> 1280 channels, serves the classifier; modules that work on channel pairs
        # of the last level would cost 16 times as much with it
        encoder.features[-1] = nn.Identity()
        encoder._out_channels = [*encoder.out_channels[:-1], 320]
    quicken(encoder)
    return cast(Encoder, encoder)


def _with_weights(arch: Architecture, weights: str) -> Any:
    """Build an encoder of smp with its first weights."""
    stride = {} if arch.output_stride == 32 else {"output_stride": arch.output_stride}
    if weights == "imagenet":
        with quick_downloads():
            return smp.encoders.get_encoder(arch.encoder, in_channels=arch.bands, weights="imagenet", **stride)
    if weights == "none":
        return smp.encoders.get_encoder(arch.encoder, in_channels=arch.bands, weights=None, **stride)
    # timm's encoders cannot change their number of bands later, so their tensors change before
    by_timm = arch.encoder.startswith("tu-")
    bands = arch.bands if by_timm else 3
    path = sample_encoder(arch.encoder) if weights == SAMPLE else Path(weights).expanduser()
    file = None if weights == PACKAGED else _read_weights(path)
    encoder = smp.encoders.get_encoder(arch.encoder, in_channels=bands, weights=None, **stride)
    tensors = packaged_tensors(arch.encoder, encoder.state_dict()) if file is None else file
    if by_timm:
        repeat_filters(encoder, tensors)
    _load_encoder(encoder, tensors, arch.encoder, weights)
    if arch.bands != bands:
        encoder.set_in_channels(arch.bands, pretrained=True)
    return encoder


def _is_encoder(name: str) -> bool:
    """Whether smp or timm have an encoder of this name themselves."""
    if name.startswith("tu-"):
        return fullmatch(r"[\w.]+", name[3:]) is not None and timm.is_model(name[3:])
    return name in smp.encoders.get_encoder_names()


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MissingError(f"there is no weights file {path} ({spell('weights')} takes imagenet, none or a file)")
    try:
        safe = path.suffix == ".safetensors"
        tensors = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise many kinds for a file that is not theirs
        kind = (
            "a safetensors file"
            if path.suffix == ".safetensors"
            else "a file of tensors alone, as torch.save writes it"
        )
        raise InputError(
            f"weights file {path} cannot be read as {kind}: pass a .safetensors or .pth file of the encoder's weights"
        ) from error
    if not isinstance(tensors, dict):
        raise InputError(f"weights file {path} holds {type(tensors).__name__}: pass a file of tensors by name")
    state = cast("dict[str, Tensor]", tensors.get("state_dict", tensors))
    return {k.removeprefix("encoder."): v.float() if v.is_floating_point() else v for k, v in state.items()}


def _load_encoder(encoder: nn.Module, tensors: dict[str, Tensor], name: str, path: str) -> None:
    state = encoder.state_dict()
    wrong = [k for k in state if k not in tensors or tensors[k].shape != state[k].shape]
    if wrong:
        raise InputError(
            f"weights file {path} does not fit the encoder {name}: {len(wrong)} of its {len(state)} tensors are missing "
            f"or have another shape, the first is {wrong[0]}"
        )
    for key in list(tensors):
        if key not in state:  # a classifier head, say
            del tensors[key]
    encoder.load_state_dict(tensors)


class Decoder(nn.Module):
    """A decoder and its classifier: pyramid -> (fused feature, logits at the fused feature's size).

    Args:
        channels: channels of the pyramid's levels, the first is the image.
    """

    def __init__(self, arch: Architecture, channels: Sequence[int]) -> None:
        super().__init__()
        width = arch.channels
        self.body: nn.Module
        if arch.decoder == "segformer":
            self.body = AllMLPDecoder(channels, width)
        elif arch.decoder == "deeplabv3plus":
            if arch.output_stride not in (8, 16):
                raise InputError(f"decoder deeplabv3plus needs output_stride 8 or 16, not {arch.output_stride}")
            self.body = DeepLabV3PlusDecoder(
                list(channels), 5, width, (12, 24, 36), arch.output_stride, aspp_separable=True, aspp_dropout=0.0
            )
        elif arch.decoder == "daformer":
            self.body = ContextDecoder(channels, width)
        elif arch.decoder == "deeplabv2":
            self.body, width = DilatedClassifier(channels[-1], arch.classes), 4 * arch.classes
        elif arch.decoder == "unet":
            widths = [width, width // 2, width // 4, width // 8, max(16, width // 16)]
            self.body = UnetDecoder(list(channels), widths, n_blocks=5)
            width = widths[-1]
        else:
            raise unknown("decoder", arch.decoder, DECODERS)
        self.width = width
        self.dropout = nn.Dropout2d(arch.dropout)
        self.classifier: nn.Module = nn.Conv2d(width, arch.classes, 1)
        if arch.decoder == "deeplabv2":
            self.classifier = SumOfBranches(arch.classes)
        initialization.initialize_decoder(self.body)
        initialization.initialize_head(self.classifier)

    def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, Tensor]:
        fused = self.body(pyramid)
        return fused, self.classifier(self.dropout(fused))


class Network(nn.Module):
    """Encoder and decoder."""

    def __init__(self, arch: Architecture, weights: str = "none") -> None:
        super().__init__()
        self.encoder = build_encoder(arch, weights)
        self.decoder = Decoder(arch, self.encoder.out_channels)

    def forward(self, image: Tensor) -> Output:
        pyramid = self.encoder(image)
        fused, logits = self.decoder(pyramid)
        return Output(pyramid, fused, resize(logits, image.shape[-2:]))


class SegmentationNetwork(nn.Module):
    """A network that a run saves: standardised images (B, bands, H, W) -> logits (B, classes, H, W).

    Attributes:
        kind: its name in ``rsuda.learning.networks.NETWORKS``, which a weights file keeps.
    """

    kind: ClassVar[str] = ""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch

    def as_fields(self) -> dict[str, Any]:
        """Describe the network as plain data, from which ``rsuda.learning.networks.build_network`` builds it again."""
        return {"network": self.kind, "architecture": self.arch.as_fields()}


class PlainNetwork(SegmentationNetwork):
    """One encoder and one decoder. Prediction takes its logits; training reads all of ``network``'s output."""

    kind: ClassVar[str] = "plain"

    def __init__(self, arch: Architecture, weights: str = "none") -> None:
        super().__init__(arch)
        self.network = Network(arch, weights)

    def forward(self, image: Tensor) -> Tensor:
        output: Output = self.network(image)
        return output.logits


class FrozenEncoder(nn.Module):
    """An encoder as it was before the first step, without gradients.

    Batch norm normalises by each batch, as in the encoder that is trained. With its ImageNet statistics, features of the
    same network are far apart from the first step on, and staying near them unlearns the source (DAFormer's own encoder has
    no batch norm).
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        for module in self.encoder.modules():
            if isinstance(module, _BatchNorm):
                module.train()
                module.momentum = 0.0

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Change nothing: the encoder stays as it is."""
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        pyramid: list[Tensor] = self.encoder(image)
        return pyramid


@torch.no_grad()
def without_batch_norm(model: nn.Module, bands: int) -> nn.Module:
    """A copy of a network in evaluation mode whose batch norms are folded into the convolutions before them; but for
    rounding it answers the same. Networks in which that changes anything come back as they are.
    """
    if not any(type(m) is nn.BatchNorm2d for m in model.modules()):
        return model
    folded = _folded(copy.deepcopy(model.eval()))
    where = next(iter(model.parameters()), torch.empty(0)).device
    image = torch.randn(1, bands, 4 * STRIDE, 4 * STRIDE, generator=torch.Generator().manual_seed(0)).to(where)
    try:
        before, after = model(image), folded(image)
    except RuntimeError:
        return model
    alike = torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    return folded if alike else model


def _folded(module: nn.Module) -> nn.Module:
    children = list(module.named_children())
    for (name, first), (after, second) in pairwise(children):
        # subclasses of batch norm may do more, such as an activation
        if isinstance(first, nn.Conv2d) and type(second) is nn.BatchNorm2d:
            setattr(module, name, fuse_conv_bn_eval(first, second))
            setattr(module, after, nn.Identity())
    for _, child in children:
        _folded(child)
    return module
