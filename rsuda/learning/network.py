"""Segmentation networks of an encoder and a decoder: (feature pyramid, fused feature, logits)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from segmentation_models_pytorch.base import initialization
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from rsuda.core.errors import InputError, unknown
from rsuda.learning.architecture import STRIDE as STRIDE
from rsuda.learning.architecture import Architecture as Architecture
from rsuda.learning.decoders import AllMLPDecoder, ContextDecoder, DilatedClassifier, SumOfBranches
from rsuda.learning.encoders.build import Encoder as Encoder
from rsuda.learning.encoders.build import build_encoder as build_encoder

DECODERS = ("segformer", "daformer", "deeplabv3plus", "deeplabv2", "unet")


class Output(NamedTuple):
    """Outputs for a batch (B, bands, H, W). ``pyramid`` has features by level, the first is the image itself; ``fused``
    is (B, F, h, w), ``logits`` (B, K, H, W)."""

    pyramid: list[Tensor]
    fused: Tensor
    logits: Tensor


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, C, h, w) to ``size`` (H, W), bilinearly with align_corners=False, as all three papers do."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


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

    Batch norm normalises by each batch, as in the encoder that is trained. With its ImageNet statistics, features of
    the same network are far apart from the first step on. Staying near them unlearns the source (DAFormer's own encoder
    has no batch norm).
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
